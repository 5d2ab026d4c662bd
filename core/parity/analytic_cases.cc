// analytic_gaussian: closed forms of l, S, L and the analytic jumps for data
// N(0, diag(v)), against the tables, the jumps and the Stein estimator.

#include <cmath>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "core/analytic/analytic_table.h"
#include "core/analytic/estimator.h"
#include "core/analytic/gaussian_source.h"
#include "core/analytic/tabulated_jump.h"
#include "core/base/status_macros.h"
#include "core/parity/parity.h"

namespace retort::parity {
namespace {

using analytic::AnalyticJump;
using analytic::AnalyticTable;

constexpr int64_t kGaussianSamples = 4096;
constexpr double kStandardErrors = 5;
constexpr double kShareWithin = 0.99;
// Where D is a multiple of x the standard error vanishes, rounding does not.
constexpr double kGaussianRounding = 1e-12;

std::vector<double> DoublesOf(const at::Tensor& tensor) {
  const at::Tensor flat = tensor.to(at::kDouble).contiguous();
  const double* data = flat.const_data_ptr<double>();
  return std::vector<double>(data, data + flat.numel());
}

at::Tensor DoubleTensor(const std::vector<double>& values) {
  return at::tensor(values, at::kDouble);
}

struct GaussianCase {
  at::Tensor v, lambda, l, g_square;
  bool isotropic = false;
};

absl::StatusOr<GaussianCase> ReadGaussianCase(const TensorMap& io) {
  GaussianCase out;
  RETORT_ASSIGN_OR_RETURN(out.v, CaseContext::Get(io, "v"));
  RETORT_ASSIGN_OR_RETURN(out.lambda, CaseContext::Get(io, "lambda_knots"));
  RETORT_ASSIGN_OR_RETURN(out.l, CaseContext::Get(io, "l"));
  const at::Tensor spread = out.v.max() - out.v.min();
  out.isotropic = spread.item<double>() <= 1e-12 * out.v.max().item<double>();
  if (io.count("g_mean_square")) {
    out.g_square = io.at("g_mean_square");
  } else {
    out.g_square = at::zeros_like(out.l);
  }
  return out;
}

// l and E|g|^2 from v alone.
void CheckClosedForms(CaseContext& c, const GaussianCase& g,
                      const Tolerance& tolerance) {
  std::vector<double> l, g_square;
  for (double lambda : DoublesOf(g.lambda)) {
    const auto exact =
        analytic::ExactGaussianStatistics(g.v, std::exp(-lambda));
    l.push_back(exact.l);
    g_square.push_back(exact.g_square);
  }
  c.Compare("l", DoubleTensor(l), g.l, tolerance);
  if (!g.isotropic) {
    c.Compare("g_mean_square", DoubleTensor(g_square), g.g_square, tolerance);
  }
}

absl::StatusOr<std::shared_ptr<const AnalyticTable>> ExactTable(
    const GaussianCase& g) {
  const int64_t d = g.v.numel();
  const std::vector<double> g_square = DoublesOf(g.g_square / d);
  return AnalyticTable::FromMeanSquares(
      DoublesOf(g.lambda), DoublesOf(g.l), g_square,
      std::vector<bool>(g_square.size(), !g.isotropic));
}

absl::Status CheckTable(CaseContext& c, const TensorMap& io,
                        const GaussianCase& g, const Tolerance& tolerance) {
  RETORT_ASSIGN_OR_RETURN(const auto table, ExactTable(g));
  std::vector<double> ln_l, ln_s;
  for (double lambda : table->lambda()) {
    ln_l.push_back(table->LnL(std::exp(-lambda)));
    ln_s.push_back(table->LnS(std::exp(-lambda)));
  }
  if (io.count("lnL")) {
    c.Compare("lnL", DoubleTensor(ln_l), io.at("lnL"), tolerance);
  }
  if (io.count("lnS") && !g.isotropic) {
    c.Compare("lnS", DoubleTensor(ln_s), io.at("lnS"), tolerance);
  }
  RETORT_ASSIGN_OR_RETURN(const at::Tensor t, CaseContext::Get(io, "pair_t"));
  RETORT_ASSIGN_OR_RETURN(const at::Tensor s, CaseContext::Get(io, "pair_s"));
  for (const std::string form : {"backward", "forward"}) {
    RETORT_ASSIGN_OR_RETURN(const at::Tensor want_a,
                            CaseContext::Get(io, "a_" + form));
    RETORT_ASSIGN_OR_RETURN(const at::Tensor want_b,
                            CaseContext::Get(io, "b_" + form));
    at::Tensor a, b;
    AnalyticJump(table, form == "forward").Coefficients(t, s, &a, &b);
    c.Compare("a_" + form, a, want_a, tolerance);
    c.Compare("b_" + form, b, want_b, tolerance);
    const at::Tensor same = t == s;
    c.Expect(absl::StrCat("a = 1, b = 0 exactly at t = s (", form, ")"),
             (a.masked_select(same) == 1).all().item<bool>() &&
                 (b.masked_select(same) == 0).all().item<bool>());
  }
  return absl::OkStatus();
}

// The recorded ends of the trajectories, by the ideal denoiser: D, and the
// jump on isotropic data, which is exact.
absl::Status CheckTrajectories(CaseContext& c, const TensorMap& io,
                               const GaussianCase& g, const Tolerance& closed,
                               const Tolerance& table_tolerance) {
  RETORT_ASSIGN_OR_RETURN(const at::Tensor t, CaseContext::Get(io, "pair_t"));
  RETORT_ASSIGN_OR_RETURN(const at::Tensor s, CaseContext::Get(io, "pair_s"));
  RETORT_ASSIGN_OR_RETURN(const at::Tensor x, CaseContext::Get(io, "x_t"));
  RETORT_ASSIGN_OR_RETURN(const at::Tensor x_s, CaseContext::Get(io, "x_s"));
  const auto source = analytic::MakeGaussianSource(g.v);
  const at::Tensor d = source.denoise(x, t, {});
  if (io.count("D_x_t")) c.Compare("D_x_t", d, io.at("D_x_t"), closed);
  const at::Tensor t2 = t.unsqueeze(1).square(), s2 = s.unsqueeze(1).square();
  c.Compare("x_s", x * ((g.v + s2) / (g.v + t2)).sqrt(), x_s, closed);
  if (!g.isotropic) return absl::OkStatus();
  RETORT_ASSIGN_OR_RETURN(const auto table, ExactTable(g));
  at::Tensor a, b;
  AnalyticJump(table, true).Coefficients(t, s, &a, &b);
  c.Compare("isotropic jump", a.unsqueeze(1) * x + b.unsqueeze(1) * d, x_s,
            table_tolerance);
  return absl::OkStatus();
}

// The estimator itself, on draws of our own.
absl::Status CheckEstimated(CaseContext& c, const GaussianCase& g) {
  math::NoiseSchedule schedule;
  schedule.sigma_max = std::exp(-g.lambda[0].item<double>());
  schedule.sigma_min = std::exp(-g.lambda[-1].item<double>());
  analytic::EstimateOptions options;
  options.knots = g.lambda.numel();
  options.samples = kGaussianSamples;
  options.batch = kGaussianSamples;
  RETORT_ASSIGN_OR_RETURN(
      const auto found,
      analytic::EstimateStatistics(analytic::MakeGaussianSource(g.v), schedule,
                                   options));
  const std::vector<double> l = DoublesOf(g.l);
  const std::vector<double> g_square = DoublesOf(g.g_square / g.v.numel());
  int64_t l_within = 0, s_within = 0, s_known = 0;
  for (int64_t k = 0; k < options.knots; ++k) {
    const auto& knot = found.knots[k];
    l_within += std::abs(knot.l - l[k]) <=
                kStandardErrors * knot.l_se + kGaussianRounding;
    if (!knot.Resolved(found.relative_rounding)) {
      // S is left open there; what remains to be right is E|g|^2.
      s_within += std::abs(knot.g_mean_square - g_square[k]) <=
                  kStandardErrors * knot.g_mean_square_se;
      continue;
    }
    ++s_known;
    s_within += std::abs(knot.LnS() + 0.5 * std::log(g_square[k])) <=
                kStandardErrors * knot.LnSStandardError();
  }
  const double need = kShareWithin * options.knots;
  c.Expect(absl::StrFormat("estimated l within 5 standard errors at %d of %d "
                           "knots",
                           l_within, options.knots),
           l_within >= need);
  if (g.isotropic) {
    c.Expect(absl::StrFormat("g = 0 recognised (%d of %d knots claim more)",
                             s_known, options.knots),
             2 * s_known < options.knots);
    return absl::OkStatus();
  }
  c.Expect(absl::StrFormat("estimated ln S within 5 standard errors at %d of "
                           "%d knots, %d of them resolved",
                           s_within, options.knots, s_known),
           s_within >= need && 2 * s_known > options.knots);
  return absl::OkStatus();
}

absl::Status RunAnalyticGaussian(CaseContext& c) {
  RETORT_ASSIGN_OR_RETURN(const TensorMap io, c.Load("io.safetensors"));
  RETORT_ASSIGN_OR_RETURN(const GaussianCase g, ReadGaussianCase(io));
  RETORT_ASSIGN_OR_RETURN(const Tolerance closed,
                          c.ToleranceOf("closed_form_l"));
  RETORT_ASSIGN_OR_RETURN(const Tolerance table, c.ToleranceOf("table"));
  CheckClosedForms(c, g, closed);
  RETORT_RETURN_IF_ERROR(CheckTable(c, io, g, table));
  RETORT_RETURN_IF_ERROR(CheckTrajectories(c, io, g, closed, table));
  return CheckEstimated(c, g);
}

RETORT_PARITY_CASE("analytic_gaussian", RunAnalyticGaussian);

}  // namespace
}  // namespace retort::parity
