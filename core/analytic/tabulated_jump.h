#ifndef RETORT_CORE_ANALYTIC_TABULATED_JUMP_H_
#define RETORT_CORE_ANALYTIC_TABULATED_JUMP_H_

#include <ATen/ATen.h>

#include <memory>
#include <string>

#include "absl/strings/string_view.h"
#include "core/analytic/analytic_table.h"
#include "core/analytic/fitted_table.h"
#include "core/math/jump.h"

namespace retort::analytic {

// For a table of t_min to t_max: checks the jump *t -> *s, moves what rounding
// put outside back in, and returns whether it moves anything. Throws c10::Error
// when a time lies outside by more than rounding, or s > t; at t = s it returns
// false for any t: a loss may ask for that anywhere.
bool ClampToTable(double t_min, double t_max, double* t, double* s);

// A preconditioning that is looked up, one (t, s) at a time, in float64 on
// the CPU (cheap next to a network: some microseconds a sample); the results
// go to the device of t.
//
// Coefficients() throws c10::Error as ClampToTable does; at t = s it returns
// exactly 1 and 0. Immutable, thread-safe.
class TabulatedJump : public math::JumpPrecond {
 public:
  void Coefficients(const at::Tensor& t, const at::Tensor& s, at::Tensor* a,
                    at::Tensor* b) const override;

  // The same for one pair: for plots, reports and tests.
  JumpCoefficients At(double t, double s) const;

 protected:
  TabulatedJump(double t_min, double t_max) : t_min_(t_min), t_max_(t_max) {}

  // t_min <= s < t <= t_max.
  virtual JumpCoefficients Lookup(double t, double s) const = 0;

 private:
  const double t_min_;
  const double t_max_;
};

// Analytic-Precond, backward Euler ("analytic") or forward
// ("analytic-forward").
class AnalyticJump : public TabulatedJump {
 public:
  explicit AnalyticJump(std::shared_ptr<const AnalyticTable> table,
                        bool forward = false);
  absl::string_view name() const override;

 private:
  JumpCoefficients Lookup(double t, double s) const override;

  const std::shared_ptr<const AnalyticTable> table_;
  const bool forward_;
};

// Least squares on teacher trajectories, "fitted-state" or
// "fitted-denoiser".
class FittedJump : public TabulatedJump {
 public:
  FittedJump(std::shared_ptr<const FittedTable> table, FitTarget target);
  absl::string_view name() const override;

 private:
  JumpCoefficients Lookup(double t, double s) const override;

  const std::shared_ptr<const FittedTable> table_;
  const FitTarget target_;
};

}  // namespace retort::analytic

#endif  // RETORT_CORE_ANALYTIC_TABULATED_JUMP_H_
