#include "core/analytic/spectral_fit.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/check.h"
#include "core/base/sha256.h"
#include "core/base/status_macros.h"

namespace retort::analytic {
namespace {

// Samples transformed at a time.
constexpr int64_t kSpectralChunk = 32;
// Relative: keeps 0/0 away, and is far below what one could measure.
constexpr double kSpectralTiny = 1e-14;

absl::Status BadSpectral(absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(
      "the spectral fit's ", what,
      "; the artefact is damaged: estimate it again with spectral: true"));
}

absl::Status CheckTensor(const at::Tensor& tensor, const char* name,
                         at::IntArrayRef shape) {
  if (!tensor.defined() || tensor.scalar_type() != at::kDouble ||
      tensor.sizes() != shape) {
    return BadSpectral(absl::StrCat("tensor '", name,
                                    "' has not the type or shape that the "
                                    "others ask for"));
  }
  if (at::isfinite(tensor).all().item<bool>()) return absl::OkStatus();
  return BadSpectral(absl::StrCat("tensor '", name, "' is not finite"));
}

}  // namespace

absl::Status SpectralFit::Validate() const {
  if (n() < 2) return BadSpectral("grid has fewer than two times");
  for (int64_t i = 0; i < n(); ++i) {
    if (!(times[i] > 0) || !std::isfinite(times[i]) ||
        (i > 0 && times[i] >= times[i - 1])) {
      return BadSpectral("times are not positive and decreasing");
    }
  }
  if (!u.defined() || u.dim() != 4 || u.numel() == 0) {
    return BadSpectral("tensor 'u' has not four dimensions");
  }
  const int64_t c = u.size(1);
  const std::vector<int64_t> shape = {n() * (n() - 1) / 2, c, u.size(2),
                                      u.size(3)};
  RETORT_RETURN_IF_ERROR(CheckTensor(u, "u", shape));
  RETORT_RETURN_IF_ERROR(CheckTensor(v, "v", shape));
  RETORT_RETURN_IF_ERROR(CheckTensor(mixing, "mixing", {c, c}));
  RETORT_RETURN_IF_ERROR(CheckTensor(state_gap, "state_gap", {n(), n()}));
  RETORT_RETURN_IF_ERROR(CheckTensor(denoiser_gap, "denoiser_gap", {n(), n()}));
  const at::Tensor product = at::mm(mixing, mixing.t());
  if (!at::allclose(product, at::eye(c, product.options()), 1e-9, 1e-9)) {
    return BadSpectral("mix of channels is not orthonormal");
  }
  return absl::OkStatus();
}

std::string SpectralFit::Hash() const {
  base::Sha256 hash;
  const auto add = [&](const char* name, const at::Tensor& tensor) {
    const at::Tensor whole = tensor.contiguous();
    hash.Update(absl::StrCat("\n", name));
    for (int64_t side : whole.sizes()) hash.Update(absl::StrCat(" ", side));
    hash.Update("\n");
    hash.Update(absl::string_view(
        static_cast<const char*>(whole.const_data_ptr()), whole.nbytes()));
  };
  add("options",
      at::tensor({options.ridge, options.v_low, options.v_high}, at::kDouble));
  add("times", at::tensor(times, at::kDouble));
  add("mixing", mixing);
  add("u", u);
  add("v", v);
  add("state_gap", state_gap);
  add("denoiser_gap", denoiser_gap);
  return hash.HexDigest();
}

SpectralMoments::SpectralMoments(std::vector<double> times,
                                 const SpectralBasis& basis)
    : times_(std::move(times)), basis_(basis) {
  const auto& shape = basis_.image_shape();
  const int64_t n = static_cast<int64_t>(times_.size());
  const int64_t k = shape[0] * shape[1] * shape[2];
  xx_ = at::zeros({k, n, n}, at::kDouble);
  dx_ = at::zeros({k, n, n}, at::kDouble);
  dd_ = at::zeros({k, n}, at::kDouble);
}

void SpectralMoments::Add(const at::Tensor& states) {
  const int64_t n = static_cast<int64_t>(times_.size()), k = dd_.size(0);
  RETORT_CHECK(states.size(0) == 2 * n && states.size(1) % k == 0);
  const int64_t count = states.size(1) / k;
  const at::Tensor samples = states.view({2 * n, count, k});
  for (int64_t begin = 0; begin < count; begin += kSpectralChunk) {
    const int64_t size = std::min(kSpectralChunk, count - begin);
    const at::Tensor chunk = samples.narrow(1, begin, size);
    // [K, 2N, size]
    const at::Tensor y = basis_.Forward(chunk.reshape({2 * n * size, k}))
                             .reshape({2 * n, size, k})
                             .permute({2, 0, 1})
                             .contiguous()
                             .cpu();
    const at::Tensor x = y.narrow(1, 0, n), d = y.narrow(1, n, n);
    xx_.baddbmm_(x, x.transpose(1, 2));
    dx_.baddbmm_(d, x.transpose(1, 2));
    dd_ += d.square().sum(2);
  }
  count_ += count;
}

// Means over trajectories of products of x = x_i, h = D_i - c x_i and r, one
// for each frequency, [K].
struct SpectralMoments::PairSums {
  double c = 0;  // EDM's c_skip(t_i): h is what D adds to x
  double rho = 0;
  at::Tensor xx, hx, hh, rx, rh, rr;
};

SpectralMoments::PairSums SpectralMoments::SumsOf(int64_t i, int64_t j,
                                                  double sigma_data) const {
  const double t = times_[i], sd2 = sigma_data * sigma_data;
  PairSums out;
  out.c = sd2 / (sd2 + t * t);
  out.rho = times_[j] / t;
  const double w = 1 - out.rho, scale = 1.0 / static_cast<double>(count_);
  const auto mean = [&](const at::Tensor& sums, int64_t a, int64_t b) {
    return sums.select(1, a).select(1, b) * scale;
  };
  const at::Tensor dd = dd_.select(1, i) * scale;
  const at::Tensor xd = mean(dx_, i, i), yd = mean(dx_, i, j);
  const at::Tensor xy = mean(xx_, i, j), yy = mean(xx_, j, j);
  out.xx = mean(xx_, i, i) * (1 + kSpectralTiny);
  out.hx = xd - out.c * out.xx;
  out.hh = dd - 2 * out.c * xd + out.c * out.c * out.xx;
  out.rx = (xy - out.rho * out.xx) / w - xd;
  const at::Tensor rd = (yd - out.rho * xd) / w - dd;
  out.rh = rd - out.c * out.rx;
  // |(x_j - rho x_i)/w - D|^2
  out.rr = (yy - 2 * out.rho * xy + out.rho * out.rho * out.xx) / (w * w) -
           2 / w * (yd - out.rho * xd) + dd;
  return out;
}

SpectralFit SpectralMoments::Fit(const FittedTable& scalar, double sigma_data,
                                 const SpectralOptions& options) const {
  const int64_t n = static_cast<int64_t>(times_.size());
  RETORT_CHECK(count_ > 0 && scalar.moments().n() == n);
  SpectralFit fit;
  fit.options = options;
  fit.times = times_;
  fit.mixing = basis_.mixing();
  fit.state_gap = at::zeros({n, n}, at::kDouble);
  fit.denoiser_gap = at::zeros({n, n}, at::kDouble);
  const auto& shape = basis_.image_shape();
  fit.u =
      at::empty({n * (n - 1) / 2, shape[0], shape[1], shape[2]}, at::kDouble);
  fit.v = at::empty_like(fit.u);
  int64_t row = 0;
  for (int64_t i = 0; i < n; ++i) {
    const double t = times_[i], sd2 = sigma_data * sigma_data;
    const double network = options.ridge * t * t * sd2 / (t * t + sd2);
    for (int64_t j = i + 1; j < n; ++j, ++row) {
      const PairSums m = SumsOf(i, j, sigma_data);
      const double w = 1 - m.rho;
      const double v_scalar =
          std::clamp(scalar.Pair(FitTarget::kState, i, j).b / w, options.v_low,
                     options.v_high);
      // r ~ P x + Q h with P = u + (v - 1) c, Q = v - 1; P eliminated.
      const at::Tensor hh = m.hh - m.hx.square() / m.xx;
      const at::Tensor rh = m.rh - m.rx * m.hx / m.xx;
      at::Tensor q = (rh + network * (v_scalar - 1)) /
                     (hh.clamp_min(0) + network + kSpectralTiny * m.xx);
      q = q.clamp(options.v_low - 1, options.v_high - 1);
      const at::Tensor p = (m.rx - q * m.hx) / m.xx;
      const at::Tensor v = q + 1;
      fit.u[row].copy_((p - q * m.c).view({shape[0], shape[1], shape[2]}));
      fit.v[row].copy_(v.view({shape[0], shape[1], shape[2]}));
      const at::Tensor square = (m.rr - 2 * p * m.rx - 2 * q * m.rh +
                                 p * p * m.xx + 2 * p * q * m.hx + q * q * m.hh)
                                    .clamp_min(0);
      // |f - x_j| = w |r - P x - Q h|, and b = w v.
      fit.state_gap[i][j] = w * square.mean().sqrt();
      fit.denoiser_gap[i][j] = (square / v.square()).mean().sqrt();
    }
  }
  return fit;
}

}  // namespace retort::analytic
