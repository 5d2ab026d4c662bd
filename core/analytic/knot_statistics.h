#ifndef RETORT_CORE_ANALYTIC_KNOT_STATISTICS_H_
#define RETORT_CORE_ANALYTIC_KNOT_STATISTICS_H_

#include <cstdint>
#include <vector>

namespace retort::analytic {

// What the estimator learns about the teacher D at one time t. Everything
// per dimension (divided by d). arXiv 2502.02922, section 3, in the form of
// three identities for D = g + l x:
//
//   l(t) = E<eps, D(x0 + t eps, t) - x0> / (t d)    Stein; = E tr(dD/dx) / d
//   S(t) = const / sqrt(E|g|^2 / d)                 because p_t moves with
//                                                   the ODE
//   l(t) = E|x0 - D|^2 / (d t^2)                    for an ideal teacher only
//
// Two products of the draws have a known mean of zero, |eps|^2/d - 1 and
// <eps, x0>/d, and carry most of the noise of Stein's term (all of it but what
// the denoiser does differently from a multiple of x). They serve as control
// variates: l is the mean of the term less its regression on them. Without
// that, at t = 0.002 the error of l alone would hide g.
struct KnotStatistics {
  double t = 0;
  int64_t samples = 0;

  double l = 0;
  double l_se = 0;  // standard error of l

  // E|g|^2 / d, corrected for the bias that comes from using the estimated l;
  // the correction can take it below zero where g is nearly zero.
  double g_mean_square = 0;
  double g_mean_square_se = 0;

  // E|D|^2 / d, the scale that g_mean_square's rounding is judged by.
  double denoised_mean_square = 0;

  // s = -E<g, dg/dlambda>/E|g|^2, d/dlambda being the total derivative along
  // the ODE, and its standard error; 0 unless estimated
  // (ScaleEstimator::kJvp). S = exp(int s dlambda).
  double s = 0;
  double s_se = 0;

  // The third identity: a check on the teacher, not used by the table.
  double l_from_loss = 0;
  double l_from_loss_se = 0;

  // False where |g| cannot be told from zero: its mean square is below two
  // standard errors or at the rounding noise of a network that computes with
  // `relative_rounding` (2^-23 for float32). S is then 0/0 and the table
  // takes it from the neighbours.
  bool Resolved(double relative_rounding) const;

  // -1/2 ln(E|g|^2/d) and its standard error; Resolved() knots only.
  double LnS() const;
  double LnSStandardError() const;

  double lambda() const;  // -ln t
};

// Collects per-sample products at one knot and turns any prefix of them into
// statistics. It holds nine doubles a sample, so that the errors can follow
// from the joint distribution of the samples: the estimated l enters g, hence
// E|g|^2, computed from the same samples.
//
// Write D = h + c x with a fixed c near l; then |g|^2 = |h - (l - c) x|^2 is a
// quadratic in l of the recorded |h|^2, <h,x>, |x|^2, and small g does not
// drown in the cancellation of |D|^2 - 2 l <D,x> + l^2 |x|^2.
//
// Not thread-safe.
class KnotAccumulator {
 public:
  // `c` is any number of the order of l(t); `c_slope` its derivative in lambda
  // as a function of t, which matters for SummarizeScale only.
  KnotAccumulator(double t, double c, double c_slope = 0)
      : t_(t), c_(c), c_slope_(c_slope) {}

  double c() const { return c_; }
  double c_slope() const { return c_slope_; }
  int64_t size() const { return static_cast<int64_t>(samples_.size()); }

  // Products of one sample, each divided by d.
  struct Sample {
    double l;       // <eps, D - x0> / t, or another unbiased term for l
    double noise;   // |eps|^2 - d, mean zero
    double cross;   // <eps, x0>, mean zero
    double hh;      // |D - c x|^2
    double hx;      // <D - c x, x>
    double xx;      // |x|^2
    double loss_l;  // |x0 - D|^2 / t^2
    // With h' the total derivative of h = D - c x along the ODE.
    double hh1 = 0;  // <h, h'>
    double xh1 = 0;  // <x, h'>
  };
  void Add(const Sample& sample) { samples_.push_back(sample); }

  // Statistics of the first `count` samples; 2 <= count <= size().
  KnotStatistics Summarize(int64_t count) const;

  // Sets s and s_se of a summary of the same samples. `l_slope` is dl/dlambda,
  // which neighbouring knots tell, and `l_slope_se` its standard error.
  void SummarizeScale(double l_slope, double l_slope_se,
                      KnotStatistics* knot) const;

 private:
  // Returns l from the first `count` samples and its terms, whose spread is
  // its error.
  double ControlledL(int64_t count, std::vector<double>* terms) const;

  const double t_;
  const double c_;
  const double c_slope_;
  std::vector<Sample> samples_;
};

}  // namespace retort::analytic

#endif  // RETORT_CORE_ANALYTIC_KNOT_STATISTICS_H_
