// Golden cases of scalars and schedules: cm_preconditioning,
// ctm_preconditioning.

#include <algorithm>
#include <cmath>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "core/base/status_macros.h"
#include "core/distill/cm_loss.h"
#include "core/distill/ctm_loss.h"
#include "core/distill/edm_loss.h"
#include "core/math/consistency_schedule.h"
#include "core/math/edm_precond.h"
#include "core/math/jump.h"
#include "core/math/noise_schedule.h"
#include "core/parity/parity.h"
#include "core/train/ema.h"

namespace retort::parity {
namespace {

// What is compared with which recorded tensor.
using Computed = std::vector<std::pair<std::string, at::Tensor>>;

absl::Status CompareAll(CaseContext& c, const TensorMap& io,
                        const Computed& computed, const Tolerance& tolerance) {
  for (const auto& [name, actual] : computed) {
    RETORT_ASSIGN_OR_RETURN(const at::Tensor expected, c.Get(io, name));
    c.Compare(name, actual, expected, tolerance);
  }
  return absl::OkStatus();
}

// The cases' analytic network F; `s` may be undefined. Times are rescaled, rt =
// 250 ln t.
at::Tensor AnalyticF(const at::Tensor& x, const at::Tensor& t,
                     const at::Tensor& s, double sigma_data) {
  const at::Tensor xin =
      x * math::ExpandLike(math::EdmScalings(t, sigma_data).c_in, x);
  const at::Tensor rt = math::ExpandLike(250 * t.log(), x);
  at::Tensor f = (0.7 * xin).tanh() * (1 + 0.1 * (0.004 * rt).sin()) +
                 0.05 * (0.003 * rt).cos();
  if (s.defined()) {
    const at::Tensor rs = math::ExpandLike(250 * s.log(), x);
    f = f + 0.2 * (xin + 0.002 * rs).sin() * (0.0015 * rs).cos();
  }
  return f;
}

at::Tensor Combine(const at::Tensor& c_skip, const at::Tensor& x,
                   const at::Tensor& c_out, const at::Tensor& f) {
  return math::ExpandLike(c_skip, x) * x + math::ExpandLike(c_out, x) * f;
}

at::Tensor EdmDenoised(const at::Tensor& x, const at::Tensor& t,
                       const at::Tensor& f, double sigma_data) {
  const math::Scalings k = math::EdmScalings(t, sigma_data);
  return Combine(k.c_skip, x, k.c_out, f);
}

// f(x, t, s) of a preconditioning, through its coefficients on D.
at::Tensor JumpWith(const math::JumpPrecond& jump, const at::Tensor& x,
                    const at::Tensor& t, const at::Tensor& s,
                    const at::Tensor& d) {
  at::Tensor a, b;
  jump.Coefficients(t, s, &a, &b);
  return Combine(a, x, b, d);
}

void CompareGrids(CaseContext& c, const TensorMap& io,
                  const std::string& prefix, bool then_zero,
                  const math::NoiseSchedule& schedule,
                  const Tolerance& tolerance) {
  for (const auto& [name, expected] : io) {
    int64_t n = 0;
    if (!absl::StartsWith(name, prefix) ||
        !absl::SimpleAtoi(name.substr(prefix.size()), &n)) {
      continue;
    }
    std::vector<double> grid = math::TimeGrid(schedule, n);
    if (then_zero) grid.push_back(0);
    c.Compare(name, torch::tensor(grid, at::kDouble), expected, tolerance);
  }
}

absl::StatusOr<math::ConsistencyScheduleOptions> ScheduleOf(
    const nlohmann::json& entry) {
  using Scale = math::ConsistencyScheduleOptions::Scale;
  math::ConsistencyScheduleOptions o;
  const std::string mode = entry.at("scale_mode");
  if (mode == "progressive") {
    o.scale = Scale::kProgressive;
  } else if (mode == "progdist") {
    o.scale = Scale::kProgressiveDistillation;
  } else if (mode != "fixed") {
    return absl::InvalidArgumentError(
        absl::StrCat("unknown scale_mode ", mode));
  }
  o.adaptive_ema = entry.at("target_ema_mode") == "adaptive";
  o.start_ema = entry.at("start_ema");
  o.start_scales = entry.at("start_scales");
  o.end_scales = entry.at("end_scales");
  o.total_steps = entry.at("total_steps");
  o.distill_steps_per_iter = entry.at("distill_steps_per_iter");
  return o;
}

absl::Status CompareSchedules(CaseContext& c, const Tolerance& tolerance) {
  std::vector<double> actual, expected;
  for (const auto& entry : c.json().at("ema_and_scales")) {
    RETORT_ASSIGN_OR_RETURN(const auto options, ScheduleOf(entry));
    const math::ConsistencyStage stage =
        math::StageAt(options, entry.at("step"));
    actual.insert(actual.end(),
                  {static_cast<double>(stage.num_times), stage.target_ema});
    expected.insert(expected.end(), {entry.at("num_scales").get<double>(),
                                     entry.at("target_ema").get<double>()});
  }
  c.Compare("ema_and_scales", torch::tensor(actual, at::kDouble),
            torch::tensor(expected, at::kDouble), tolerance);
  return absl::OkStatus();
}

void CompareEma(CaseContext& c, const TensorMap& io) {
  const std::string prefix = "ema_target_after_";
  for (const auto& [name, expected] : io) {
    double rate = 0;
    if (!absl::StartsWith(name, prefix) ||
        !absl::SimpleAtod(name.substr(prefix.size()), &rate)) {
      continue;
    }
    train::Ema ema({io.at("ema_target_before")});
    ema.Update({io.at("ema_source")}, rate);
    // A rounding of float32 more or less, of the terms and not of their sum.
    const double size =
        std::max(io.at("ema_target_before").abs().max().item<double>(),
                 io.at("ema_source").abs().max().item<double>());
    c.Compare(name, ema.values()[0], expected, {2e-7, 1.2e-7 * size});
  }
}

constexpr char kJumpWeight[] = "uniform_g_mult";  // then the exponent
constexpr char kNoSuchWeight[] = "this project has no such weight";

// Weights by their names in the references; the rest is reported.
void CompareWeights(CaseContext& c, const TensorMap& io, const at::Tensor& t,
                    double sigma_data, const Tolerance& tolerance) {
  for (const auto& [name, expected] : io) {
    if (!absl::StartsWith(name, "weight_")) continue;
    const std::string kind = name.substr(7);
    at::Tensor actual;
    if (kind == "karras_weight") {
      actual = distill::EdmWeight(t, sigma_data);
    } else if (const auto weight = distill::ParseCmWeight(kind); weight.ok()) {
      actual = distill::PairWeight(*weight, t, sigma_data);
    } else if (absl::EndsWith(name, "_s")) {
      continue;  // an input of a weight
    } else if (double exponent = 0;
               absl::StartsWith(kind, kJumpWeight) &&
               absl::SimpleAtod(absl::StripPrefix(kind, kJumpWeight),
                                &exponent) &&
               io.count(name + "_s") > 0) {
      actual = distill::JumpWeight(t, io.at(name + "_s"), exponent);
    } else {
      c.NotCompared(name, kNoSuchWeight);
      continue;
    }
    c.Compare(name, actual, expected, tolerance);
  }
}

absl::Status RunCmPreconditioning(CaseContext& c) {
  RETORT_ASSIGN_OR_RETURN(const TensorMap io, c.Load("io.safetensors"));
  RETORT_ASSIGN_OR_RETURN(const Tolerance tolerance, c.ToleranceOf("float64"));
  RETORT_ASSIGN_OR_RETURN(const at::Tensor t, c.Get(io, "t"));
  RETORT_ASSIGN_OR_RETURN(const at::Tensor x, c.Get(io, "x"));
  const auto schedule = c.config().get<math::NoiseSchedule>();
  const double sd = schedule.sigma_data;
  const math::Scalings edm = math::EdmScalings(t, sd);
  const math::RawScalings cm = math::CmScalings(t, schedule.sigma_min, sd);
  const at::Tensor d = EdmDenoised(x, t, AnalyticF(x, t, {}, sd), sd);
  const at::Tensor eps = at::full_like(t, schedule.sigma_min);
  RETORT_RETURN_IF_ERROR(CompareAll(
      c, io,
      {{"boundary_c_skip", cm.c_skip},
       {"boundary_c_out", cm.c_out},
       {"boundary_c_in", edm.c_in},
       {"edm_c_skip", edm.c_skip},
       {"edm_c_out", edm.c_out},
       {"edm_c_in", edm.c_in},
       {"rescaled_t", 1000 * edm.c_noise},
       {"teacher_denoised", d},
       {"student_denoised",
        JumpWith(math::CmJump(schedule.sigma_min, sd), x, t, eps, d)}},
      tolerance));
  CompareGrids(c, io, "sigmas_karras_", /*then_zero=*/true, schedule,
               tolerance);
  CompareWeights(c, io, t, sd, tolerance);
  CompareEma(c, io);
  return CompareSchedules(c, tolerance);
}
RETORT_PARITY_CASE("cm_preconditioning", RunCmPreconditioning);

// The references' other parametrisations of CTM.
bool IsOtherParametrization(const std::string& name) {
  return absl::StrContains(name, "variance");
}

absl::Status CompareCtmJumps(CaseContext& c, const TensorMap& io,
                             const Tolerance& tolerance) {
  RETORT_ASSIGN_OR_RETURN(const at::Tensor t, c.Get(io, "t"));
  RETORT_ASSIGN_OR_RETURN(const at::Tensor s, c.Get(io, "s"));
  RETORT_ASSIGN_OR_RETURN(const at::Tensor x, c.Get(io, "x"));
  const auto schedule = c.config().get<math::NoiseSchedule>();
  const double sd = schedule.sigma_data;
  const math::RawScalings cm = math::CmScalings(t, schedule.sigma_min, sd);
  const at::Tensor f = AnalyticF(x, t, s, sd);
  const at::Tensor g = EdmDenoised(x, t, f, sd);
  const at::Tensor g_cm = Combine(cm.c_skip, x, cm.c_out, f);
  const math::CtmJump ctm;
  const at::Tensor f_t = AnalyticF(x, t, {}, sd);
  const at::Tensor teacher = EdmDenoised(x, t, f_t, sd);
  return CompareAll(c, io,
                    {{"denoised_euler_edm", g},
                     {"G_euler_edm", JumpWith(ctm, x, t, s, g)},
                     {"denoised_euler_cm", g_cm},
                     {"G_euler_cm", JumpWith(ctm, x, t, s, g_cm)},
                     {"denoised_euler_no", f},
                     {"G_euler_no", JumpWith(ctm, x, t, s, f)},
                     {"teacher_denoised", teacher},
                     {"cm_denoised",
                      JumpWith(math::CmJump(schedule.sigma_min, sd), x, t,
                               at::full_like(t, schedule.sigma_min), teacher)}},
                    tolerance);
}

absl::Status RunCtmPreconditioning(CaseContext& c) {
  RETORT_ASSIGN_OR_RETURN(const TensorMap io, c.Load("io.safetensors"));
  RETORT_ASSIGN_OR_RETURN(const Tolerance tolerance, c.ToleranceOf("float64"));
  RETORT_ASSIGN_OR_RETURN(const at::Tensor t, c.Get(io, "t"));
  RETORT_ASSIGN_OR_RETURN(const at::Tensor s, c.Get(io, "s"));
  RETORT_ASSIGN_OR_RETURN(const at::Tensor u, c.Get(io, "u_continuous"));
  const auto schedule = c.config().get<math::NoiseSchedule>();
  const double sd = schedule.sigma_data;
  std::vector<double> continuous;
  for (int64_t i = 0; i < u.numel(); ++i) {
    continuous.push_back(math::TimeAt(schedule, u[i].item<double>()));
  }
  const math::Scalings edm = math::EdmScalings(t, sd);
  const math::RawScalings cm = math::CmScalings(t, schedule.sigma_min, sd);
  at::Tensor a, b;
  math::CtmJump().Coefficients(t, s, &a, &b);
  CompareGrids(c, io, "t_grid_N", /*then_zero=*/false, schedule, tolerance);
  RETORT_RETURN_IF_ERROR(
      CompareAll(c, io,
                 {{"t_continuous", torch::tensor(continuous, at::kDouble)},
                  {"rescaled_t", 1000 * edm.c_noise},
                  {"c_in", edm.c_in},
                  {"inner_edm_c_skip", edm.c_skip},
                  {"inner_edm_c_out", edm.c_out},
                  {"inner_cm_c_skip", cm.c_skip},
                  {"inner_cm_c_out", cm.c_out},
                  {"outer_euler_c_skip", a},
                  {"outer_euler_c_out", b}},
                 tolerance));
  CompareWeights(c, io, t, sd, tolerance);
  RETORT_RETURN_IF_ERROR(CompareCtmJumps(c, io, tolerance));
  for (const auto& [name, expected] : io) {
    if (IsOtherParametrization(name)) {
      c.NotCompared(name, "this project has no such parametrisation");
    }
  }
  return absl::OkStatus();
}
RETORT_PARITY_CASE("ctm_preconditioning", RunCtmPreconditioning);

}  // namespace
}  // namespace retort::parity
