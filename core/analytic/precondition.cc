#include "core/analytic/precondition.h"

#include <algorithm>
#include <memory>
#include <numeric>
#include <set>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "core/analytic/jump_gaps.h"
#include "core/base/status_macros.h"

namespace retort::analytic {
namespace {

constexpr double kMaxSpectralBytes = 4e9;
// Images that the channels' covariance is measured on.
constexpr int64_t kMixImages = 512;

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

absl::StatusOr<SpectralBasis> MakeBasis(const TeacherSource& source,
                                        const TrajectoryOptions& options) {
  const std::vector<int64_t> shape = ImageShape(source.shape);
  std::vector<int64_t> which(std::min(kMixImages, options.trajectories));
  std::iota(which.begin(), which.end(), 0);
  RETORT_ASSIGN_OR_RETURN(const CleanBatch clean,
                          source.clean(options.seed, which));
  return SpectralBasis(
      DecorrelatingMix(clean.x0.reshape({-1, shape[0], shape[1], shape[2]})),
      source.shape);
}

// Trajectories, and what is fitted on them.
absl::Status FitTrajectories(const TeacherSource& source,
                             const PreconditionOptions& options,
                             const ProgressCallback& progress,
                             const StopCallback& stop,
                             PreconditioningArtefact* artefact) {
  artefact->fit = options.trajectory;
  std::unique_ptr<SpectralMoments> spectral;
  StatesCallback states;
  if (options.fit_spectral) {
    RETORT_ASSIGN_OR_RETURN(const SpectralBasis basis,
                            MakeBasis(source, options.trajectory));
    spectral = std::make_unique<SpectralMoments>(
        math::TimeGrid(options.schedule, options.trajectory.grid), basis);
    states = [&spectral](const at::Tensor& batch) { spectral->Add(batch); };
  }
  RETORT_ASSIGN_OR_RETURN(
      artefact->moments,
      CollectTrajectoryMoments(source, options.schedule, options.trajectory,
                               progress, stop, states));
  if (spectral == nullptr) return absl::OkStatus();
  RETORT_ASSIGN_OR_RETURN(
      const auto scalar,
      FittedTable::Fit(*artefact->moments, options.schedule.sigma_data));
  artefact->spectral =
      spectral->Fit(*scalar, options.schedule.sigma_data, options.spectral);
  artefact->spectral_hash = artefact->spectral->Hash();
  return absl::OkStatus();
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

}  // namespace

absl::Status PreconditionOptions::Validate(int64_t dimension) const {
  RETORT_RETURN_IF_ERROR(schedule.Validate());
  RETORT_RETURN_IF_ERROR(estimate.Validate());
  if (fit) RETORT_RETURN_IF_ERROR(trajectory.Validate());
  if (!fit_spectral) return absl::OkStatus();
  if (!fit) {
    return absl::InvalidArgumentError(
        "the spectral fit is made from trajectories; switch them on");
  }
  const double bytes = SpectralMoments::Bytes(trajectory.grid, dimension);
  if (bytes <= kMaxSpectralBytes) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrFormat(
      "the spectral fit of %d values at %d times takes %.1f GB, more than "
      "%.1f; "
      "choose a smaller grid_size",
      dimension, trajectory.grid, bytes / 1e9, kMaxSpectralBytes / 1e9));
}

int64_t PreconditionOptions::MaxNetworkCalls() const {
  return StatisticsCalls(estimate) + (fit ? TrajectoryCalls(trajectory) : 0);
}

absl::StatusOr<PreconditioningArtefact> EstimatePreconditioning(
    const TeacherSource& source, const PreconditionOptions& options,
    base::Clock* clock, const ProgressCallback& progress,
    const StopCallback& stop) {
  RETORT_RETURN_IF_ERROR(options.Validate(source.dimension()));
  const absl::Time start = clock->Now();
  PreconditioningArtefact artefact;
  artefact.schedule = options.schedule;
  artefact.teacher_hash = source.teacher_hash;
  artefact.data_hash = source.data_hash;
  artefact.estimate = options.estimate;
  artefact.served = options.served;
  const double part = static_cast<double>(StatisticsCalls(options.estimate)) /
                      options.MaxNetworkCalls();
  RETORT_ASSIGN_OR_RETURN(
      artefact.statistics,
      EstimateStatistics(source, options.schedule, options.estimate,
                         Within(progress, 0, part, 0), stop));
  if (options.fit) {
    RETORT_RETURN_IF_ERROR(FitTrajectories(
        source, options,
        Within(progress, part, 1, artefact.statistics.network_calls), stop,
        &artefact));
  }
  artefact.seconds = absl::ToDoubleSeconds(clock->Now() - start);
  return artefact;
}

std::string CostSentence(const PreconditioningArtefact& artefact) {
  std::string out =
      absl::StrFormat("cost: %d forward passes, %.3g s",
                      artefact.forward_equivalents(), artefact.seconds);
  const std::optional<double> share = artefact.CostShare();
  if (!share) return out;
  absl::StrAppendFormat(&out, ", at most %.2g %% of %d iterations of %d images",
                        100 * *share, artefact.served.iterations,
                        artefact.served.batch_size);
  if (*share > kLargestCostShare)
    out += " (above 1 %: take fewer samples, or a tolerance)";
  return out;
}

absl::StatusOr<std::string> GapTable(const PreconditioningArtefact& artefact) {
  RETORT_ASSIGN_OR_RETURN(const std::vector<JumpGaps> all,
                          MeasureGaps(artefact));
  const std::vector<double>& times = artefact.moments->times;
  std::string out = absl::StrFormat("%-22s", "jump");
  for (const JumpGaps& gaps : all) {
    absl::StrAppendFormat(&out, "%18s", gaps.name);
  }
  out += "\n";
  for (const auto& [i, j] : ShownJumps(artefact.moments->n())) {
    absl::StrAppendFormat(&out, "%-22s",
                          absl::StrFormat("%.4g -> %.4g", times[i], times[j]));
    for (const JumpGaps& gaps : all) {
      absl::StrAppendFormat(&out, "%18.4g", gaps.state[i][j].item<double>());
    }
    out += "\n";
  }
  return out;
}

}  // namespace retort::analytic
