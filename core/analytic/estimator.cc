#include "core/analytic/estimator.h"

#include <torch/autograd.h>
#include <torch/utils.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/math/counter_random.h"

namespace retort::analytic {
namespace {

constexpr int64_t kCheckEvery = 256;

// Disjoint streams of one knot.
enum Purpose : uint64_t { kNoise = 0, kProbe = 1, kPurposes = 2 };

math::Stream KnotStream(uint64_t seed, int64_t knot, Purpose purpose) {
  return math::MakeStream(seed, math::RandomStream::kEstimate,
                          static_cast<uint64_t>(knot) * kPurposes + purpose);
}

// Per-sample inner product divided by d; float64 [n].
at::Tensor Dot(const at::Tensor& a, const at::Tensor& b) {
  return (a * b).flatten(1).mean(1);
}

struct Draw {
  at::Tensor x0, eps, x, t, labels;
  std::vector<int64_t> samples;
};

absl::StatusOr<Draw> DrawBatch(const TeacherSource& source,
                               const EstimateOptions& options, int64_t knot,
                               double t, int64_t begin, int64_t end) {
  Draw draw;
  draw.samples.resize(end - begin);
  std::iota(draw.samples.begin(), draw.samples.end(), begin);
  // Each knot walks through the data in an order of its own.
  const uint64_t order = options.seed + 0x9e3779b97f4a7c15u * (knot + 1);
  RETORT_ASSIGN_OR_RETURN(CleanBatch clean, source.clean(order, draw.samples));
  draw.x0 = clean.x0;
  draw.labels = clean.labels;
  draw.eps = math::NormalPerSample(KnotStream(options.seed, knot, kNoise),
                                   draw.samples, source.shape)
                 .to(draw.x0.options());
  draw.x = draw.x0 + t * draw.eps;
  draw.t = at::full({end - begin}, t, draw.x0.options());
  return draw;
}

// The term whose mean is l, and D along the way.
at::Tensor SteinTerm(const TeacherSource& source, const Draw& draw, double t,
                     at::Tensor* denoised) {
  torch::NoGradGuard no_grad;
  *denoised = source.denoise(draw.x, draw.t, draw.labels).to(at::kDouble);
  return Dot(draw.eps, *denoised - draw.x0) / t;
}

at::Tensor HutchinsonTerm(const TeacherSource& source, const Draw& draw,
                          const math::Stream& probe_stream,
                          at::Tensor* denoised) {
  torch::AutoGradMode with_grad(true);
  const at::Tensor v =
      at::sign(math::NormalPerSample(probe_stream, draw.samples, source.shape)
                   .to(draw.x.options()));
  at::Tensor x = draw.x.detach().requires_grad_(true);
  const at::Tensor out = source.denoise(x, draw.t, draw.labels);
  // v' J v = <J' v, v>: one backward pass is enough for a trace.
  const at::Tensor jv =
      torch::autograd::grad({out}, {x}, {v.to(out.scalar_type())})[0];
  *denoised = out.detach().to(at::kDouble);
  return Dot(jv, v);
}

void AddBatch(const Draw& draw, const at::Tensor& l_term,
              const at::Tensor& denoised, double t, KnotAccumulator* knot) {
  const at::Tensor h = denoised - knot->c() * draw.x;
  const at::Tensor error = draw.x0 - denoised;
  const at::Tensor rows =
      at::stack({l_term, Dot(draw.eps, draw.eps) - 1, Dot(draw.eps, draw.x0),
                 Dot(h, h), Dot(h, draw.x), Dot(draw.x, draw.x),
                 Dot(error, error) / (t * t)},
                1)
          .to(at::kDouble)
          .cpu()
          .contiguous();
  const double* row = rows.data_ptr<double>();
  for (int64_t i = 0; i < rows.size(0); ++i, row += 7) {
    knot->Add({row[0], row[1], row[2], row[3], row[4], row[5], row[6]});
  }
}

bool IsFinite(const KnotStatistics& k) {
  return std::isfinite(k.l) && std::isfinite(k.g_mean_square) &&
         std::isfinite(k.g_mean_square_se);
}

// Shared state of one EstimateStatistics call.
class Estimator {
 public:
  Estimator(const TeacherSource& source, const EstimateOptions& options,
            const ProgressCallback& progress, const StopCallback& stop)
      : source_(source), options_(options), progress_(progress), stop_(stop) {}

  absl::StatusOr<KnotStatistics> EstimateKnot(int64_t knot, double t) {
    const double sd2 = source_.sigma_data * source_.sigma_data;
    KnotAccumulator accumulator(t, sd2 / (sd2 + t * t));
    int64_t checked = 0;
    while (accumulator.size() < options_.samples) {
      if (stop_ && stop_()) {
        return absl::CancelledError("the estimation was stopped");
      }
      RETORT_RETURN_IF_ERROR(AddNextBatch(knot, t, &accumulator));
      for (int64_t n = checked + kCheckEvery;
           options_.tolerance > 0 && n <= accumulator.size();
           n += kCheckEvery) {
        checked = n;
        const KnotStatistics found = accumulator.Summarize(n);
        if (Converged(found)) return Finish(knot, found);
      }
    }
    return Finish(knot, accumulator.Summarize(options_.samples));
  }

  int64_t network_calls() const { return network_calls_; }

 private:
  absl::Status AddNextBatch(int64_t knot, double t,
                            KnotAccumulator* accumulator) {
    const int64_t begin = accumulator->size();
    const int64_t end = std::min(begin + options_.batch, options_.samples);
    RETORT_ASSIGN_OR_RETURN(const Draw draw,
                            DrawBatch(source_, options_, knot, t, begin, end));
    at::Tensor denoised;
    const at::Tensor l_term =
        options_.trace == TraceEstimator::kStein
            ? SteinTerm(source_, draw, t, &denoised)
            : HutchinsonTerm(source_, draw,
                             KnotStream(options_.seed, knot, kProbe),
                             &denoised);
    AddBatch(draw, l_term, denoised, t, accumulator);
    network_calls_ += end - begin;
    Report(knot, static_cast<double>(end) / options_.samples, nullptr);
    return absl::OkStatus();
  }

  bool Converged(const KnotStatistics& k) const {
    return k.l_se <= options_.tolerance &&
           k.Resolved(source_.relative_rounding) &&
           k.LnSStandardError() <= options_.tolerance;
  }

  absl::StatusOr<KnotStatistics> Finish(int64_t knot,
                                        const KnotStatistics& found) {
    if (!IsFinite(found)) {
      return absl::FailedPreconditionError(absl::StrCat(
          "the teacher's output at t = ", found.t,
          " is not finite; check that its weights are those of an EDM "
          "denoiser and that training did not diverge"));
    }
    Report(knot + 1, 0, &found);
    return found;
  }

  void Report(int64_t knots_done, double part, const KnotStatistics* latest) {
    if (!progress_) return;
    EstimateProgress report;
    report.stage = "statistics";
    report.done = knots_done;
    report.total = options_.knots;
    report.fraction = std::min(1.0, (knots_done + part) / options_.knots);
    report.network_calls = network_calls_;
    report.latest = latest;
    progress_(report);
  }

  const TeacherSource& source_;
  const EstimateOptions& options_;
  const ProgressCallback& progress_;
  const StopCallback& stop_;
  int64_t network_calls_ = 0;
};

}  // namespace

absl::Status EstimateOptions::Validate() const {
  if (knots < 2 || samples < 2 || batch < 1) {
    return absl::InvalidArgumentError(absl::StrCat(
        "estimation needs at least 2 knots, 2 samples per knot and a batch of "
        "1; got knots ",
        knots, ", samples ", samples, ", batch ", batch));
  }
  if (!(tolerance >= 0) || !std::isfinite(tolerance)) {
    return absl::InvalidArgumentError(
        absl::StrCat("tolerance must be 0 (off) or a positive standard error; "
                     "got ",
                     tolerance));
  }
  return absl::OkStatus();
}

std::vector<double> KnotTimes(const math::NoiseSchedule& schedule,
                              int64_t knots) {
  std::vector<double> times(knots);
  const double top = std::log(schedule.sigma_max);
  const double bottom = std::log(schedule.sigma_min);
  for (int64_t k = 0; k < knots; ++k) {
    times[k] = std::exp(top + (bottom - top) * k / (knots - 1));
  }
  // The ends exactly, so that no jump of the schedule leaves the table.
  times.front() = schedule.sigma_max;
  times.back() = schedule.sigma_min;
  return times;
}

absl::StatusOr<TeacherStatistics> EstimateStatistics(
    const TeacherSource& source, const math::NoiseSchedule& schedule,
    const EstimateOptions& options, const ProgressCallback& progress,
    const StopCallback& stop) {
  RETORT_RETURN_IF_ERROR(options.Validate());
  TeacherStatistics result;
  result.dimension = source.dimension();
  result.relative_rounding = source.relative_rounding;
  Estimator estimator(source, options, progress, stop);
  const std::vector<double> times = KnotTimes(schedule, options.knots);
  for (int64_t k = 0; k < options.knots; ++k) {
    RETORT_ASSIGN_OR_RETURN(KnotStatistics knot,
                            estimator.EstimateKnot(k, times[k]));
    result.knots.push_back(knot);
  }
  result.network_calls = estimator.network_calls();
  return result;
}

}  // namespace retort::analytic
