#include "core/analytic/tabulated_jump.h"

#include <algorithm>
#include <utility>

namespace retort::analytic {
namespace {

// How far outside the table a time may lie: e.g. 80.00000000001 from a time
// grid's powers, or a time that went through float32.
constexpr double kSlack = 1e-6;

}  // namespace

bool ClampToTable(double t_min, double t_max, double* t, double* s) {
  if (*t == *s) return false;
  TORCH_CHECK_VALUE(*s <= *t * (1 + kSlack),
                    "a jump goes to a smaller time: t = ", *t, ", s = ", *s);
  TORCH_CHECK_VALUE(
      *s >= t_min * (1 - kSlack) && *t <= t_max * (1 + kSlack), "jump ", *t,
      " -> ", *s, " leaves the preconditioning's table, which covers ", t_min,
      " to ", t_max,
      "; use times within it or estimate it for the schedule in use");
  *t = std::clamp(*t, t_min, t_max);
  *s = std::clamp(*s, t_min, t_max);
  return *s < *t;
}

JumpCoefficients TabulatedJump::At(double t, double s) const {
  if (!ClampToTable(t_min_, t_max_, &t, &s)) return {1.0, 0.0};
  return Lookup(t, s);
}

void TabulatedJump::Coefficients(const at::Tensor& t, const at::Tensor& s,
                                 at::Tensor* a, at::Tensor* b) const {
  const auto pair = at::broadcast_tensors({t, s});
  const at::Tensor ts = pair[0].detach().to(at::kCPU, at::kDouble).contiguous();
  const at::Tensor ss = pair[1].detach().to(at::kCPU, at::kDouble).contiguous();
  const at::Tensor as = at::empty_like(ts), bs = at::empty_like(ts);
  const double* t_in = ts.const_data_ptr<double>();
  const double* s_in = ss.const_data_ptr<double>();
  double* a_out = as.mutable_data_ptr<double>();
  double* b_out = bs.mutable_data_ptr<double>();
  for (int64_t i = 0; i < ts.numel(); ++i) {
    const JumpCoefficients at = At(t_in[i], s_in[i]);
    a_out[i] = at.a;
    b_out[i] = at.b;
  }
  *a = as.to(t.device());
  *b = bs.to(t.device());
}

AnalyticJump::AnalyticJump(std::shared_ptr<const AnalyticTable> table,
                           bool forward)
    : TabulatedJump(table->t_min(), table->t_max()),
      table_(std::move(table)),
      forward_(forward) {}

absl::string_view AnalyticJump::name() const {
  return forward_ ? "analytic-forward" : "analytic";
}

JumpCoefficients AnalyticJump::Lookup(double t, double s) const {
  return forward_ ? table_->Forward(t, s) : table_->Backward(t, s);
}

FittedJump::FittedJump(std::shared_ptr<const FittedTable> table,
                       FitTarget target)
    : TabulatedJump(table->t_min(), table->t_max()),
      table_(std::move(table)),
      target_(target) {}

absl::string_view FittedJump::name() const {
  return target_ == FitTarget::kState ? "fitted-state" : "fitted-denoiser";
}

JumpCoefficients FittedJump::Lookup(double t, double s) const {
  return table_->At(target_, t, s);
}

}  // namespace retort::analytic
