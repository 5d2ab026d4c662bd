#include "core/analytic/precondition.h"

#include <set>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "core/base/status_macros.h"

namespace retort::analytic {
namespace {

int64_t StatisticsCalls(const EstimateOptions& options) {
  return options.knots * options.samples;
}

int64_t TrajectoryCalls(const TrajectoryOptions& options) {
  // Two evaluations a Heun step, and one at the last time.
  return options.trajectories *
         (2 * (options.grid - 1) * options.sub_steps + 1);
}

// Maps a stage's fraction to the job's.
ProgressCallback Within(const ProgressCallback& progress, double from,
                        double to, int64_t calls_before) {
  if (!progress) return nullptr;
  return [=, &progress](const EstimateProgress& stage) {
    EstimateProgress whole = stage;
    whole.fraction = from + (to - from) * stage.fraction;
    whole.network_calls += calls_before;
    progress(whole);
  };
}

// Jumps of the grid worth showing: whole, halves, quarters, neighbours.
std::vector<std::pair<int64_t, int64_t>> ShownJumps(int64_t n) {
  std::set<std::pair<int64_t, int64_t>> jumps;
  const int64_t last = n - 1;
  for (int64_t parts : {1, 2, 4}) {
    for (int64_t k = 0; k < parts; ++k) {
      const int64_t i = k * last / parts, j = (k + 1) * last / parts;
      if (i < j) jumps.insert({i, j});
      if (i < last) jumps.insert({i, last});
      jumps.insert({i, i + 1});
    }
  }
  return {jumps.begin(), jumps.end()};
}

double At(const at::Tensor& one) { return one.item<double>(); }

}  // namespace

absl::Status PreconditionOptions::Validate() const {
  RETORT_RETURN_IF_ERROR(schedule.Validate());
  RETORT_RETURN_IF_ERROR(estimate.Validate());
  return fit ? trajectory.Validate() : absl::OkStatus();
}

int64_t PreconditionOptions::MaxNetworkCalls() const {
  return StatisticsCalls(estimate) + (fit ? TrajectoryCalls(trajectory) : 0);
}

absl::StatusOr<PreconditioningArtefact> EstimatePreconditioning(
    const TeacherSource& source, const PreconditionOptions& options,
    base::Clock* clock, const ProgressCallback& progress,
    const StopCallback& stop) {
  RETORT_RETURN_IF_ERROR(options.Validate());
  const absl::Time start = clock->Now();
  PreconditioningArtefact artefact;
  artefact.schedule = options.schedule;
  artefact.teacher_hash = source.teacher_hash;
  artefact.data_hash = source.data_hash;
  artefact.estimate = options.estimate;
  const double part = static_cast<double>(StatisticsCalls(options.estimate)) /
                      options.MaxNetworkCalls();
  RETORT_ASSIGN_OR_RETURN(
      artefact.statistics,
      EstimateStatistics(source, options.schedule, options.estimate,
                         Within(progress, 0, part, 0), stop));
  if (options.fit) {
    artefact.fit = options.trajectory;
    RETORT_ASSIGN_OR_RETURN(
        artefact.moments,
        CollectTrajectoryMoments(
            source, options.schedule, options.trajectory,
            Within(progress, part, 1, artefact.statistics.network_calls),
            stop));
  }
  artefact.seconds = absl::ToDoubleSeconds(clock->Now() - start);
  return artefact;
}

absl::StatusOr<std::string> GapTable(const PreconditioningArtefact& artefact) {
  if (!artefact.moments) {
    return absl::InvalidArgumentError(
        "gaps are measured on trajectories; estimate with the fit switched on");
  }
  const TrajectoryMoments& moments = *artefact.moments;
  std::vector<std::shared_ptr<const math::JumpPrecond>> jumps;
  std::string out = absl::StrFormat("%-22s", "jump");
  for (const std::string& name : JumpNames()) {
    if (name == "cm") continue;  // to sigma_min only
    RETORT_ASSIGN_OR_RETURN(auto jump,
                            MakeJumpFrom(name, artefact.schedule, &artefact));
    jumps.push_back(std::move(jump));
    absl::StrAppendFormat(&out, "%18s", name);
  }
  out += "\n";
  for (const auto& [i, j] : ShownJumps(moments.n())) {
    absl::StrAppendFormat(
        &out, "%-22s",
        absl::StrFormat("%.4g -> %.4g", moments.times[i], moments.times[j]));
    const at::Tensor t = at::full({1}, moments.times[i], at::kDouble);
    const at::Tensor s = at::full({1}, moments.times[j], at::kDouble);
    for (const auto& jump : jumps) {
      at::Tensor a, b;
      jump->Coefficients(t, s, &a, &b);
      absl::StrAppendFormat(&out, "%18.4g",
                            moments.StateGap(i, j, At(a), At(b)));
    }
    out += "\n";
  }
  return out;
}

}  // namespace retort::analytic
