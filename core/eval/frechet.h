#ifndef RETORT_CORE_EVAL_FRECHET_H_
#define RETORT_CORE_EVAL_FRECHET_H_

#include <ATen/ATen.h>

#include "absl/status/statusor.h"
#include "core/eval/feature_statistics.h"

namespace retort::eval {

// Returns the Fréchet distance between two Gaussians (Dowson and Landau
// 1982; Heusel et al. 2017, Eq. 6), squared as is the custom:
//
//   |m_a - m_b|^2 + tr(A + B - 2 (A B)^(1/2)).
//
// tr (A B)^(1/2) is the sum of the square roots of the eigenvalues of
// A^(1/2) B A^(1/2), which is symmetric and positive semi-definite: no complex
// parts arise and matrices without full rank (fewer samples than features)
// need no care. Eigenvalues that rounding made negative count as 0, and so
// does a distance that it made negative.
//
// Means are [d], covariances [d,d] and symmetric, any floating dtype; all is
// computed in float64 on the CPU. InvalidArgument when shapes do not fit, a
// value is not finite, or a matrix is not symmetric or plainly not positive
// semi-definite; Internal when LAPACK does not converge.
absl::StatusOr<double> FrechetDistance(const at::Tensor& mean_a,
                                       const at::Tensor& covariance_a,
                                       const at::Tensor& mean_b,
                                       const at::Tensor& covariance_b);

// The same between what two streams of features have seen; each needs two.
absl::StatusOr<double> FrechetDistance(const FeatureStatistics& a,
                                       const FeatureStatistics& b);

}  // namespace retort::eval

#endif  // RETORT_CORE_EVAL_FRECHET_H_
