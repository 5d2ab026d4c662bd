#include "core/eval/frechet.h"

#include <algorithm>
#include <string>
#include <tuple>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"

namespace retort::eval {
namespace {

// Relative to the largest entry or eigenvalue: far above rounding, far below
// anything that a mistaken matrix would show.
constexpr double kTolerance = 1e-6;

absl::Status BadGaussian(absl::string_view problem) {
  return absl::InvalidArgumentError(
      absl::StrCat("Fréchet distance: ", problem));
}

absl::Status CheckGaussian(absl::string_view name, const at::Tensor& mean,
                           const at::Tensor& sigma) {
  if (!mean.defined() || !sigma.defined() || mean.dim() != 1 ||
      mean.size(0) < 1 || sigma.dim() != 2 || sigma.size(0) != mean.size(0) ||
      sigma.size(1) != mean.size(0)) {
    return BadGaussian(absl::StrCat(
        "the ", name, " side needs a mean [d] and a covariance [d,d]"));
  }
  if (!at::isfinite(mean).all().item<bool>() ||
      !at::isfinite(sigma).all().item<bool>()) {
    return BadGaussian(
        absl::StrCat("the ", name, " side holds NaN or infinity"));
  }
  const double largest = sigma.abs().max().item<double>();
  if ((sigma - sigma.t()).abs().max().item<double>() > kTolerance * largest) {
    return BadGaussian(
        absl::StrCat("the ", name, " covariance is not symmetric"));
  }
  return absl::OkStatus();
}

// The square root of a symmetric positive semi-definite matrix.
absl::StatusOr<at::Tensor> Root(absl::string_view name, const at::Tensor& m) {
  auto [values, vectors] = at::linalg_eigh((m + m.t()) / 2);
  const double least = values.min().item<double>();
  const double largest = values.abs().max().item<double>();
  if (least < -kTolerance * largest) {
    return BadGaussian(absl::StrCat("the ", name,
                                    " covariance has the eigenvalue ", least,
                                    ", so it is no covariance"));
  }
  return (vectors * values.clamp_min(0).sqrt()).mm(vectors.t());
}

absl::StatusOr<double> GaussianDistance(const at::Tensor& mean_a,
                                        const at::Tensor& a,
                                        const at::Tensor& mean_b,
                                        const at::Tensor& b) {
  RETORT_RETURN_IF_ERROR(CheckGaussian("first", mean_a, a));
  RETORT_RETURN_IF_ERROR(CheckGaussian("second", mean_b, b));
  if (mean_a.size(0) != mean_b.size(0)) {
    return BadGaussian(absl::StrCat("features of length ", mean_a.size(0),
                                    " and ", mean_b.size(0),
                                    " do not compare"));
  }
  RETORT_ASSIGN_OR_RETURN(at::Tensor root_a, Root("first", a));
  const at::Tensor product = root_a.mm(b).mm(root_a);
  const at::Tensor values =
      at::linalg_eigvalsh((product + product.t()) / 2).clamp_min(0);
  const double distance = (mean_a - mean_b).square().sum().item<double>() +
                          a.trace().item<double>() + b.trace().item<double>() -
                          2 * values.sqrt().sum().item<double>();
  return std::max(distance, 0.0);
}

at::Tensor ToDouble(const at::Tensor& x) {
  return x.defined() ? x.detach().to(at::kCPU, at::kDouble) : x;
}

}  // namespace

absl::StatusOr<double> FrechetDistance(const at::Tensor& mean_a,
                                       const at::Tensor& covariance_a,
                                       const at::Tensor& mean_b,
                                       const at::Tensor& covariance_b) {
  try {
    return GaussianDistance(ToDouble(mean_a), ToDouble(covariance_a),
                            ToDouble(mean_b), ToDouble(covariance_b));
  } catch (const c10::Error& e) {
    return absl::InternalError(absl::StrCat(
        "Fréchet distance: eigenvalues failed: ", e.what_without_backtrace()));
  }
}

absl::StatusOr<double> FrechetDistance(const FeatureStatistics& a,
                                       const FeatureStatistics& b) {
  RETORT_ASSIGN_OR_RETURN(at::Tensor mean_a, a.Mean());
  RETORT_ASSIGN_OR_RETURN(at::Tensor sigma_a, a.Covariance());
  RETORT_ASSIGN_OR_RETURN(at::Tensor mean_b, b.Mean());
  RETORT_ASSIGN_OR_RETURN(at::Tensor sigma_b, b.Covariance());
  return FrechetDistance(mean_a, sigma_a, mean_b, sigma_b);
}

}  // namespace retort::eval
