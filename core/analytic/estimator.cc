#include "core/analytic/estimator.h"

#include <torch/utils.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "core/analytic/linearized_denoiser.h"
#include "core/analytic/pchip.h"
#include "core/base/status_macros.h"
#include "core/math/counter_random.h"

namespace retort::analytic {
namespace {

constexpr int64_t kCheckEvery = 256;
// Samples whose graph is kept at a time: several times a training step's
// memory.
constexpr int64_t kDerivativeBatch = 32;

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

// The term whose mean is l.
at::Tensor SteinTerm(const Draw& draw, double t, const at::Tensor& denoised) {
  return Dot(draw.eps, denoised - draw.x0) / t;
}

// <v, J v>/d = <J' v, v>/d with random signs v: one backward pass is enough for
// a trace.
at::Tensor HutchinsonTerm(const LinearizedDenoiser& linear, const Draw& draw,
                          const TeacherSource& source,
                          const math::Stream& probe_stream) {
  const at::Tensor v =
      at::sign(math::NormalPerSample(probe_stream, draw.samples, source.shape)
                   .to(draw.x.options()));
  return Dot(linear.Transposed(v).to(at::kDouble), v);
}

// What a batch of draws says: D, the terms of l, and dD/dlambda along the ODE
// if that is asked for.
struct Evaluation {
  at::Tensor denoised, l_term, along_ode;
};

Evaluation Evaluate(const TeacherSource& source, const EstimateOptions& options,
                    const Draw& draw, double t, const math::Stream& probes) {
  Evaluation out;
  const bool stein = options.trace == TraceEstimator::kStein;
  const bool jvp = options.scale == ScaleEstimator::kJvp;
  if (stein && !jvp) {
    torch::NoGradGuard no_grad;
    out.denoised = source.denoise(draw.x, draw.t, draw.labels).to(at::kDouble);
    out.l_term = SteinTerm(draw, t, out.denoised);
    return out;
  }
  LinearizedDenoiser linear(source, draw.x, draw.t, draw.labels);
  out.denoised = linear.value();
  out.l_term = stein ? SteinTerm(draw, t, out.denoised)
                     : HutchinsonTerm(linear, draw, source, probes);
  if (jvp) out.along_ode = linear.AlongOde();
  return out;
}

void AddBatch(const Draw& draw, const Evaluation& found, double t,
              KnotAccumulator* knot) {
  const at::Tensor h = found.denoised - knot->c() * draw.x;
  const at::Tensor error = draw.x0 - found.denoised;
  std::vector<at::Tensor> columns = {found.l_term,
                                     Dot(draw.eps, draw.eps) - 1,
                                     Dot(draw.eps, draw.x0),
                                     Dot(h, h),
                                     Dot(h, draw.x),
                                     Dot(draw.x, draw.x),
                                     Dot(error, error) / (t * t)};
  if (found.along_ode.defined()) {
    const at::Tensor h1 = found.along_ode -
                          knot->c() * (found.denoised - draw.x) -
                          knot->c_slope() * draw.x;
    columns.push_back(Dot(h, h1));
    columns.push_back(Dot(draw.x, h1));
  }
  const at::Tensor rows =
      at::stack(columns, 1).to(at::kDouble).cpu().contiguous();
  const double* row = rows.const_data_ptr<double>();
  const int64_t width = rows.size(1);
  for (int64_t i = 0; i < rows.size(0); ++i, row += width) {
    KnotAccumulator::Sample sample = {row[0], row[1], row[2], row[3],
                                      row[4], row[5], row[6]};
    if (width > 7) sample.hh1 = row[7], sample.xh1 = row[8];
    knot->Add(sample);
  }
}

bool IsFinite(const KnotStatistics& k) {
  return std::isfinite(k.l) && std::isfinite(k.g_mean_square) &&
         std::isfinite(k.g_mean_square_se);
}

// Shared state of one EstimateStatistics call.
class Estimator {
 public:
  // `width` is that of the schedule, in lambda.
  Estimator(const TeacherSource& source, const EstimateOptions& options,
            double width, const ProgressCallback& progress,
            const StopCallback& stop)
      : source_(source),
        options_(options),
        width_(width),
        progress_(progress),
        stop_(stop) {}

  // EDM's c_skip, and its derivative in lambda, make good c's.
  KnotAccumulator Accumulator(double t) const {
    const double sd2 = source_.sigma_data * source_.sigma_data;
    const double c = sd2 / (sd2 + t * t);
    return KnotAccumulator(t, c, 2 * c * (1 - c));
  }

  absl::StatusOr<KnotStatistics> EstimateKnot(int64_t knot, double t,
                                              KnotAccumulator* into) {
    KnotAccumulator& accumulator = *into;
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
        if (Converged(found, accumulator)) return Finish(knot, found);
      }
    }
    return Finish(knot, accumulator.Summarize(options_.samples));
  }

  int64_t network_calls() const { return network_calls_; }

 private:
  absl::Status AddNextBatch(int64_t knot, double t,
                            KnotAccumulator* accumulator) {
    const int64_t begin = accumulator->size();
    const int64_t batch = options_.ForwardsPerSample() > kForwardCost
                              ? std::min(options_.batch, kDerivativeBatch)
                              : options_.batch;
    const int64_t end = std::min(begin + batch, options_.samples);
    RETORT_ASSIGN_OR_RETURN(const Draw draw,
                            DrawBatch(source_, options_, knot, t, begin, end));
    AddBatch(draw,
             Evaluate(source_, options_, draw, t,
                      KnotStream(options_.seed, knot, kProbe)),
             t, accumulator);
    network_calls_ += end - begin;
    Report(knot, static_cast<double>(end) / options_.samples, nullptr);
    return absl::OkStatus();
  }

  bool Converged(KnotStatistics k, const KnotAccumulator& accumulator) const {
    if (k.l_se > options_.tolerance || !k.Resolved(source_.relative_rounding)) {
      return false;
    }
    if (options_.scale == ScaleEstimator::kRms) {
      return k.LnSStandardError() <= options_.tolerance;
    }
    // The slope of l is not known yet; c's will do for the error. That of ln S
    // at the end is sqrt(knots) steps' worth.
    accumulator.SummarizeScale(accumulator.c_slope(), 0, &k);
    return k.s_se * width_ / std::sqrt(options_.knots) <= options_.tolerance;
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
  const double width_;
  const ProgressCallback& progress_;
  const StopCallback& stop_;
  int64_t network_calls_ = 0;
};

// s of every knot, for which l must be known at its neighbours.
absl::Status SummarizeScales(const std::vector<KnotAccumulator>& accumulators,
                             std::vector<KnotStatistics>* knots) {
  std::vector<double> lambda, l;
  for (const KnotStatistics& knot : *knots) {
    lambda.push_back(knot.lambda());
    l.push_back(knot.l);
  }
  RETORT_ASSIGN_OR_RETURN(const Pchip curve, Pchip::Create(lambda, l));
  const size_t last = knots->size() - 1;
  for (size_t k = 0; k <= last; ++k) {
    const size_t before = k == 0 ? 0 : k - 1, after = std::min(k + 1, last);
    const double slope_se =
        std::hypot((*knots)[before].l_se, (*knots)[after].l_se) /
        (lambda[after] - lambda[before]);
    accumulators[k].SummarizeScale(curve.slopes()[k], slope_se, &(*knots)[k]);
  }
  return absl::OkStatus();
}

}  // namespace

const char* TraceName(TraceEstimator trace) {
  return trace == TraceEstimator::kStein ? "stein" : "hutchinson";
}

const char* ScaleName(ScaleEstimator scale) {
  return scale == ScaleEstimator::kRms ? "rms" : "jvp";
}

int64_t EstimateOptions::ForwardsPerSample() const {
  const bool hutchinson = trace == TraceEstimator::kHutchinson;
  const bool jvp = scale == ScaleEstimator::kJvp;
  return kForwardCost + (hutchinson ? kBackwardCost : 0) +
         (jvp ? kBackwardCost + kProductCost : 0);
}

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
  result.scale = options.scale;
  const bool jvp = options.scale == ScaleEstimator::kJvp;
  Estimator estimator(source, options,
                      std::log(schedule.sigma_max / schedule.sigma_min),
                      progress, stop);
  const std::vector<double> times = KnotTimes(schedule, options.knots);
  std::vector<KnotAccumulator> accumulators;  // kept for s
  for (int64_t k = 0; k < options.knots; ++k) {
    if (!jvp) accumulators.clear();
    accumulators.push_back(estimator.Accumulator(times[k]));
    RETORT_ASSIGN_OR_RETURN(
        KnotStatistics knot,
        estimator.EstimateKnot(k, times[k], &accumulators.back()));
    result.knots.push_back(knot);
  }
  if (jvp) {
    RETORT_RETURN_IF_ERROR(SummarizeScales(accumulators, &result.knots));
  }
  result.network_calls = estimator.network_calls();
  result.forward_equivalents =
      result.network_calls * options.ForwardsPerSample();
  return result;
}

}  // namespace retort::analytic
