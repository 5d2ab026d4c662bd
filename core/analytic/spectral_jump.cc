#include "core/analytic/spectral_jump.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/analytic/tabulated_jump.h"
#include "core/base/status_macros.h"
#include "core/math/edm_precond.h"

namespace retort::analytic {
namespace {

// Place of (i, j), i < j, among the pairs row by row.
int64_t PairIndex(int64_t n, int64_t i, int64_t j) {
  return i * (2 * n - i - 1) / 2 + (j - i - 1);
}

}  // namespace

absl::StatusOr<std::shared_ptr<const SpectralJump>> SpectralJump::Create(
    const SpectralFit& fit, std::vector<int64_t> shape) {
  RETORT_RETURN_IF_ERROR(fit.Validate());
  const std::vector<int64_t> own = fit.u.sizes().slice(1).vec();
  if (shape.empty()) shape = own;
  if ((shape.size() != 1 && shape.size() != 3) || ImageShape(shape) != own) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the spectral fit is for samples of ", absl::StrJoin(own, "x"),
        ", not ", absl::StrJoin(shape, "x"),
        "; estimate a preconditioning with this teacher and its data"));
  }
  // Not make_shared: the constructor is private.
  return std::shared_ptr<const SpectralJump>(new SpectralJump(fit, shape));
}

SpectralJump::SpectralJump(const SpectralFit& fit,
                           const std::vector<int64_t>& shape)
    : t_min_(fit.times.back()),
      t_max_(fit.times.front()),
      n_(fit.n()),
      grid_(fit.times),
      basis_(fit.mixing, shape) {
  const at::Tensor pairs = at::stack({fit.u, fit.v}, 1).flatten(1);
  at::Tensor diagonal = at::zeros({1, pairs.size(1)}, at::kDouble);
  diagonal.narrow(1, pairs.size(1) / 2, pairs.size(1) / 2).fill_(1);
  table_ = at::cat({diagonal, pairs}).contiguous();
}

at::Tensor SpectralJump::Lookup(const at::Tensor& t, const at::Tensor& s,
                                at::Tensor* ratio) const {
  const auto pair = at::broadcast_tensors({t, s});
  const at::Tensor ts = pair[0].detach().to(at::kCPU, at::kDouble).contiguous();
  const at::Tensor ss = pair[1].detach().to(at::kCPU, at::kDouble).contiguous();
  const int64_t count = ts.numel();
  *ratio = at::ones({count}, at::kDouble);
  at::Tensor rows = at::zeros({count, 4}, at::kLong);
  at::Tensor weights = at::zeros({count, 4}, at::kDouble);
  for (int64_t k = 0; k < count; ++k) {
    double from = ts.const_data_ptr<double>()[k];
    double to = ss.const_data_ptr<double>()[k];
    double* weight = weights.mutable_data_ptr<double>() + 4 * k;
    weight[0] = 1;  // row 0, where nothing moves
    if (!ClampToTable(t_min_, t_max_, &from, &to)) continue;
    ratio->mutable_data_ptr<double>()[k] = to / from;
    GridInterpolation::Node nodes[4];
    grid_.Nodes(from, to, nodes);
    for (int c = 0; c < 4; ++c) {
      const auto& node = nodes[c];
      weight[c] = node.weight;
      rows.mutable_data_ptr<int64_t>()[4 * k + c] =
          node.i == node.j ? 0 : 1 + PairIndex(n_, node.i, node.j);
    }
  }
  // The weighted sum of four rows for each sample.
  const at::Tensor mixed = std::get<0>(at::embedding_bag(
      table_, rows.flatten(), at::arange(0, 4 * count, 4, at::kLong),
      /*scale_grad_by_freq=*/false, /*mode=*/0, /*sparse=*/false,
      weights.flatten()));
  const auto& shape = basis_.image_shape();
  return mixed.view({count, 2, shape[0], shape[1], shape[2]});
}

void SpectralJump::Coefficients(const at::Tensor& t, const at::Tensor& s,
                                at::Tensor* a, at::Tensor* b) const {
  at::Tensor ratio;
  const at::Tensor means = Lookup(t, s, &ratio).flatten(2).mean(2);
  *a = (ratio + (1 - ratio) * means.select(1, 0)).to(t.device());
  *b = ((1 - ratio) * means.select(1, 1)).to(t.device());
}

at::Tensor SpectralJump::Apply(const at::Tensor& x, const at::Tensor& d,
                               const at::Tensor& t, const at::Tensor& s) const {
  TORCH_CHECK_VALUE(x.sizes().slice(1).vec() == basis_.shape(),
                    "fitted-spectral is for samples of ",
                    absl::StrJoin(basis_.shape(), "x"), ", not ",
                    absl::StrJoin(x.sizes().slice(1), "x"));
  at::Tensor ratio;
  const at::Tensor uv = Lookup(t, s, &ratio).to(x.options());
  const at::Tensor moved = basis_.Inverse(at::addcmul(
      basis_.Forward(x) * uv.select(1, 0), basis_.Forward(d), uv.select(1, 1)));
  return at::addcmul(x * math::ExpandLike(ratio, x), moved,
                     math::ExpandLike(1 - ratio, x));
}

}  // namespace retort::analytic
