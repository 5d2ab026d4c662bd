#ifndef RETORT_CORE_ANALYTIC_SPECTRAL_FIT_H_
#define RETORT_CORE_ANALYTIC_SPECTRAL_FIT_H_

#include <ATen/ATen.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/analytic/fitted_table.h"
#include "core/analytic/spectral_basis.h"

namespace retort::analytic {

// How the fit per frequency is held back; see SpectralMoments::Fit.
struct SpectralOptions {
  // Variance of the errors of a student's network at one frequency, as a share
  // of EDM's c_out(t)^2. 0 fits the teacher and nothing else.
  double ridge = 0.01;
  // Bounds of v, the gain of the network at one frequency relative to ctm's.
  double v_low = 0.5;
  double v_high = 2;
};

// Coefficients per frequency for the pairs of a time grid ("fitted-spectral"):
// what an artefact stores, and all that a student needs. With rho = s/t,
//
//   f = rho x + (1 - rho) U'(u . U x + v . U D),
//
// so a = rho + (1 - rho) u and b = (1 - rho) v are operators that are diagonal
// in the basis U (SpectralBasis).
struct SpectralFit {
  SpectralOptions options;
  std::vector<double> times;  // N, decreasing
  at::Tensor mixing;          // of the basis, [C, C]
  // [N (N - 1)/2, C, H, W], pairs i < j row by row; all float64, on the CPU.
  at::Tensor u, v;
  // [N, N], root mean square over dimensions with the teacher as the student,
  // measured on the trajectories of the fit; 0 where i >= j. The denoiser gap
  // is |b^-1 (f - x_j)|.
  at::Tensor state_gap, denoiser_gap;

  int64_t n() const { return static_cast<int64_t>(times.size()); }

  // InvalidArgument, naming the tensor, unless shapes fit together, all is
  // finite, times decrease and the mix is orthonormal.
  absl::Status Validate() const;

  // SHA-256 over everything.
  std::string Hash() const;
};

// Second moments per frequency of the teacher's trajectories, for samples that
// come in batches, and the fit that follows from them. 16 N^2 bytes per
// dimension: 5 MB for 32x32, N = 18; 64 MB for 3x64x64. Not thread-safe.
class SpectralMoments {
 public:
  SpectralMoments(std::vector<double> times, const SpectralBasis& basis);

  // Bytes that n times of samples of d entries take, tables included.
  static double Bytes(int64_t n, int64_t d) { return 32.0 * n * n * d; }

  // `states` [2N, count d]: x at the grid's times, then D; as
  // CollectTrajectoryMoments passes them on.
  void Add(const at::Tensor& states);

  // For every pair (t_i, t_j) and frequency solves
  //
  //   min |r - u x_i - (v - 1) D_i|^2 + ridge c_out(t_i)^2 (v - v_scalar)^2,
  //   r = (x_j - rho x_i)/(1 - rho) - D_i,
  //
  // the mean over trajectories, with v_scalar of the scalar state fit; then
  // clamps v to its bounds, and solves for u again.
  //
  // Why. At high frequencies D is far smaller than x, so that least squares
  // alone takes any v, up to 5 in practice, to express what u could: and b
  // multiplies every error that a student's network makes. These errors are
  // about white, being c_out times those of EDM's raw network; so the second
  // term is what a gain of v costs where the network's relative error is
  // sqrt(ridge): nothing at frequencies where the teacher's D is large, and
  // nearly all at those where it is not. The bounds do the rest: at no
  // frequency does the network count more than twice, or less than half, of
  // what it does in ctm, so what the fit got wrong it can mend.
  SpectralFit Fit(const FittedTable& scalar, double sigma_data,
                  const SpectralOptions& options) const;

 private:
  struct PairSums;
  PairSums SumsOf(int64_t i, int64_t j, double sigma_data) const;

  const std::vector<double> times_;
  const SpectralBasis basis_;
  // Sums over samples: x_i x_j and D_i x_j [K, N, N], D_i D_i [K, N].
  at::Tensor xx_, dx_, dd_;
  int64_t count_ = 0;
};

}  // namespace retort::analytic

#endif  // RETORT_CORE_ANALYTIC_SPECTRAL_FIT_H_
