#include "core/analytic/trajectory_moments.h"

#include <torch/utils.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/math/counter_random.h"
#include "core/math/heun.h"

namespace retort::analytic {
namespace {

// Times from t to u, inclusive, uniform in t^(1/rho) as the grid itself.
std::vector<double> SubTimes(const math::NoiseSchedule& schedule, double t,
                             double u, int64_t steps) {
  std::vector<double> times(steps + 1);
  const double from = std::pow(t, 1 / schedule.rho);
  const double to = std::pow(u, 1 / schedule.rho);
  for (int64_t k = 0; k <= steps; ++k) {
    times[k] = std::pow(from + (to - from) * k / steps, schedule.rho);
  }
  times.front() = t;
  times.back() = u;
  return times;
}

// One batch of trajectories: x_i and D_i as the rows of [2N, n d].
class TrajectoryRun {
 public:
  TrajectoryRun(const TeacherSource& source,
                const math::NoiseSchedule& schedule,
                const TrajectoryOptions& options,
                const std::vector<double>& times, const StopCallback& stop)
      : source_(source),
        schedule_(schedule),
        options_(options),
        times_(times),
        stop_(stop) {}

  absl::StatusOr<at::Tensor> Run(int64_t begin, int64_t end) {
    RETORT_ASSIGN_OR_RETURN(at::Tensor x, Start(begin, end));
    const int64_t n = static_cast<int64_t>(times_.size());
    at::Tensor states = at::empty({2 * n, x.numel()}, x.options());
    for (int64_t i = 0; i < n; ++i) {
      states[i].copy_(x.flatten());
      const double t = times_[i];
      at::Tensor denoised;
      if (i + 1 == n) {
        denoised = Denoise(x, at::full({x.size(0)}, t, x.options()));
      } else {
        RETORT_RETURN_IF_ERROR(Advance(t, times_[i + 1], &x, &denoised));
      }
      states[n + i].copy_(denoised.flatten());
    }
    return states;
  }

  int64_t network_calls() const { return network_calls_; }

 private:
  absl::StatusOr<at::Tensor> Start(int64_t begin, int64_t end) {
    std::vector<int64_t> which(end - begin);
    std::iota(which.begin(), which.end(), begin);
    RETORT_ASSIGN_OR_RETURN(CleanBatch clean,
                            source_.clean(options_.seed, which));
    labels_ = clean.labels;
    const math::Stream stream =
        math::MakeStream(options_.seed, math::RandomStream::kTrajectory, 0);
    const at::Tensor noise =
        math::NormalPerSample(stream, which, source_.shape);
    return clean.x0 + times_[0] * noise.to(clean.x0.options());
  }

  at::Tensor Denoise(const at::Tensor& x, const at::Tensor& t) {
    network_calls_ += x.size(0);
    return source_.denoise(x, t, labels_).to(at::kDouble);
  }

  // Moves x from t to u; *first becomes D at the start, which Heun's first
  // evaluation computes anyway.
  absl::Status Advance(double t, double u, at::Tensor* x, at::Tensor* first) {
    const math::Denoiser denoiser = [&](const at::Tensor& at_x,
                                        const at::Tensor& at_t) {
      at::Tensor out = Denoise(at_x, at_t);
      if (!first->defined()) *first = out;
      return out;
    };
    const std::vector<double> steps =
        SubTimes(schedule_, t, u, options_.sub_steps);
    for (size_t k = 0; k + 1 < steps.size(); ++k) {
      if (stop_ && stop_()) {
        return absl::CancelledError("the estimation was stopped");
      }
      const at::Tensor from = at::full({x->size(0)}, steps[k], x->options());
      *x =
          math::HeunStep(denoiser, *x, from, at::full_like(from, steps[k + 1]));
    }
    return absl::OkStatus();
  }

  const TeacherSource& source_;
  const math::NoiseSchedule& schedule_;
  const TrajectoryOptions& options_;
  const std::vector<double>& times_;
  const StopCallback& stop_;
  at::Tensor labels_;
  int64_t network_calls_ = 0;
};

}  // namespace

absl::Status TrajectoryOptions::Validate() const {
  if (grid >= 2 && trajectories >= 1 && batch >= 1 && sub_steps >= 1) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "fitting needs a grid of at least 2 times and at least 1 trajectory, "
      "batch and sub-step; got grid ",
      grid, ", trajectories ", trajectories, ", batch ", batch, ", sub-steps ",
      sub_steps));
}

double TrajectoryMoments::StateGap(int64_t i, int64_t j, double a,
                                   double b) const {
  const auto g = gram.accessor<double, 2>();
  const int64_t k = n() + i;  // D_i
  // |a x_i + b D_i - x_j|^2 with x_i = D_i + z and x_j = D_i + y: the D_i,
  // nearly all of x at small t, cancels by hand.
  const double rest = a + b - 1;
  const double dd = g[k][k];
  const double dz = g[k][i] - dd, dy = g[k][j] - dd;
  const double zz = g[i][i] - 2 * g[k][i] + dd;
  const double yy = g[j][j] - 2 * g[k][j] + dd;
  const double zy = g[i][j] - g[k][i] - g[k][j] + dd;
  const double square = rest * rest * dd + a * a * zz + yy + 2 * rest * a * dz -
                        2 * rest * dy - 2 * a * zy;
  return std::sqrt(std::max(square, 0.0));
}

absl::StatusOr<TrajectoryMoments> CollectTrajectoryMoments(
    const TeacherSource& source, const math::NoiseSchedule& schedule,
    const TrajectoryOptions& options, const ProgressCallback& progress,
    const StopCallback& stop, const StatesCallback& on_states) {
  RETORT_RETURN_IF_ERROR(options.Validate());
  torch::NoGradGuard no_grad;
  TrajectoryMoments moments;
  moments.times = math::TimeGrid(schedule, options.grid);
  moments.trajectories = options.trajectories;
  const int64_t n = moments.n();
  moments.gram = at::zeros({2 * n, 2 * n}, at::kDouble);
  TrajectoryRun run(source, schedule, options, moments.times, stop);
  for (int64_t done = 0; done < options.trajectories;) {
    const int64_t end = std::min(done + options.batch, options.trajectories);
    RETORT_ASSIGN_OR_RETURN(const at::Tensor states, run.Run(done, end));
    moments.gram += at::mm(states, states.t()).cpu();
    if (on_states) on_states(states);
    done = end;
    if (!progress) continue;
    EstimateProgress report;
    report.stage = "trajectories";
    report.done = done;
    report.total = options.trajectories;
    report.fraction = static_cast<double>(done) / options.trajectories;
    report.network_calls = run.network_calls();
    progress(report);
  }
  moments.gram /=
      static_cast<double>(options.trajectories * source.dimension());
  moments.network_calls = run.network_calls();
  if (!at::isfinite(moments.gram).all().item<bool>()) {
    return absl::FailedPreconditionError(
        "a trajectory of the teacher is not finite; check that its weights "
        "are those of an EDM denoiser and that training did not diverge");
  }
  return moments;
}

}  // namespace retort::analytic
