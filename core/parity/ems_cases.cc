// ems_*: the statistics of DPM-Solver-v3 (arXiv 2310.13268, section 3.2), l, s
// and b for each dimension with their integrals, and the scalar pair l, s of
// Analytic-Precond, on recorded samples: closed forms, a Gaussian mixture and a
// small network, through the same Jacobian products that the estimators use.

#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "core/analytic/analytic_table.h"
#include "core/analytic/gaussian_source.h"
#include "core/analytic/linearized_denoiser.h"
#include "core/analytic/mixture_source.h"
#include "core/base/status_macros.h"
#include "core/parity/network_support.h"
#include "core/parity/parity.h"

namespace retort::parity {
namespace {

using analytic::LinearizedDenoiser;
using analytic::TeacherSource;

// d y/d lambda along the first dimension: second order inside, first order at
// the ends (numpy.gradient).
at::Tensor EmsGradient(const at::Tensor& lambda, const at::Tensor& y) {
  const int64_t n = lambda.numel();
  at::Tensor out = at::empty_like(y);
  const auto at = lambda.accessor<double, 1>();
  out[0] = (y[1] - y[0]) / (at[1] - at[0]);
  out[n - 1] = (y[n - 1] - y[n - 2]) / (at[n - 1] - at[n - 2]);
  for (int64_t k = 1; k + 1 < n; ++k) {
    const double h = at[k] - at[k - 1], g = at[k + 1] - at[k];
    out[k] = (h * h * y[k + 1] + (g * g - h * h) * y[k] - g * g * y[k - 1]) /
             (h * g * (h + g));
  }
  return out;
}

// Integral from the first knot to each, by the trapezoid rule.
at::Tensor EmsIntegral(const at::Tensor& lambda, const at::Tensor& y) {
  const at::Tensor h = at::diff(lambda).unsqueeze(1);
  const at::Tensor area = h * (y.slice(0, 1) + y.slice(0, 0, -1)) / 2;
  return at::cat({at::zeros_like(y.slice(0, 0, 1)), area.cumsum(0)});
}

// The recorded samples, and what is computed at all of them: D, dD/dlambda
// along the ODE, diagonals and probe products of the Jacobian; [grid, n, d].
struct EmsSamples {
  at::Tensor lambda, sigma, x, probes;
  at::Tensor d, d1, diagonal, probed;
};

absl::StatusOr<EmsSamples> ReadEmsSamples(const TensorMap& io) {
  EmsSamples out;
  RETORT_ASSIGN_OR_RETURN(out.lambda, CaseContext::Get(io, "lambda"));
  RETORT_ASSIGN_OR_RETURN(out.sigma, CaseContext::Get(io, "sigma"));
  RETORT_ASSIGN_OR_RETURN(out.x, CaseContext::Get(io, "x"));
  RETORT_ASSIGN_OR_RETURN(out.probes, CaseContext::Get(io, "probes"));
  out.lambda = out.lambda.to(at::kDouble).contiguous();
  out.x = out.x.to(at::kDouble);
  out.probes = out.probes.to(at::kDouble);
  return out;
}

// `source.shape` is that of a sample; x is flat.
void EvaluateEms(const TeacherSource& source, EmsSamples* samples) {
  const int64_t grid = samples->x.size(0), n = samples->x.size(1);
  const int64_t dim = samples->x.size(2);
  std::vector<int64_t> shape = {n};
  shape.insert(shape.end(), source.shape.begin(), source.shape.end());
  const auto flat = [&](const at::Tensor& y) { return y.reshape({n, dim}); };
  std::vector<at::Tensor> d, d1, diagonal, probed;
  for (int64_t k = 0; k < grid; ++k) {
    const at::Tensor x = samples->x[k].reshape(shape);
    const at::Tensor t =
        at::full({n}, samples->sigma[k].item<double>(), at::kDouble);
    LinearizedDenoiser linear(source, x, t, {});
    d.push_back(flat(linear.value()));
    d1.push_back(flat(linear.AlongOde()));
    probed.push_back(flat(
        linear.Product(samples->probes[k].reshape(shape), at::zeros_like(t))));
    at::Tensor rows = at::empty({n, dim}, at::kDouble);
    for (int64_t i = 0; i < dim; ++i) {
      at::Tensor unit = at::zeros({n, dim}, at::kDouble);
      unit.select(1, i).fill_(1);
      rows.select(1, i).copy_(
          flat(linear.Transposed(unit.reshape(shape))).select(1, i));
    }
    diagonal.push_back(rows);
  }
  samples->d = at::stack(d);
  samples->d1 = at::stack(d1);
  samples->probed = at::stack(probed);
  samples->diagonal = at::stack(diagonal);
}

struct EmsCoefficients {
  at::Tensor s, b, f_mean, f1_mean, f1;
};

// Least squares of f1 on f and 1 for each dimension: f = sigma eps - l x,
// f1 = df/dlambda along the ODE, sigma eps = x - D.
EmsCoefficients FitEms(const EmsSamples& m, const at::Tensor& l,
                       const at::Tensor& l_dot) {
  const at::Tensor noise = m.x - m.d;
  const at::Tensor each_l = l.unsqueeze(1), each_dot = l_dot.unsqueeze(1);
  const at::Tensor f = noise - each_l * m.x;
  EmsCoefficients out;
  out.f1 = (each_l - 1) * noise - m.d1 - each_dot * m.x;
  out.f_mean = f.mean(1);
  out.f1_mean = out.f1.mean(1);
  out.s = ((f * out.f1).mean(1) - out.f_mean * out.f1_mean) /
          (f.square().mean(1) - out.f_mean.square());
  out.b = out.f1_mean - out.s * out.f_mean;
  return out;
}

// s of Analytic-Precond: g = D - l x, s = -E<g, dg/dlambda>/E|g|^2.
at::Tensor EmsScalarScale(const EmsSamples& m, const at::Tensor& l,
                          const at::Tensor& l_dot) {
  const at::Tensor each_l = l.view({-1, 1, 1});
  const at::Tensor g = m.d - each_l * m.x;
  const at::Tensor g1 =
      m.d1 - each_l * (m.d - m.x) - l_dot.view({-1, 1, 1}) * m.x;
  return -(g * g1).sum({1, 2}) / g.square().sum({1, 2});
}

// Compares those of the results that the case has recorded.
class EmsReport {
 public:
  EmsReport(CaseContext* context, const TensorMap& io, Tolerance tolerance)
      : context_(context), io_(io), tolerance_(tolerance) {}

  void Check(const std::string& name, const at::Tensor& actual) const {
    Check(name, actual, tolerance_);
  }
  // Quotients of small numbers.
  void CheckRatio(const std::string& name, const at::Tensor& actual) const {
    Tolerance ratio = tolerance_;
    ratio.rtol = std::max(ratio.rtol, 1e-6);
    Check(name, actual, ratio);
  }

 private:
  void Check(const std::string& name, const at::Tensor& actual,
             const Tolerance& tolerance) const {
    const auto found = io_.find(name);
    if (found == io_.end()) return;
    context_->Compare(name, actual, found->second, tolerance);
  }

  CaseContext* const context_;
  const TensorMap& io_;
  const Tolerance tolerance_;
};

void CheckEmsIntegrals(const EmsReport& report, const at::Tensor& lambda,
                       const at::Tensor& l, const EmsCoefficients& fit) {
  const at::Tensor int_l = EmsIntegral(lambda, l);
  const at::Tensor int_s = EmsIntegral(lambda, fit.s);
  const at::Tensor weight = at::exp(int_l + int_s);
  const at::Tensor int_b = EmsIntegral(lambda, fit.b * at::exp(-int_s));
  report.Check("int_L", int_l);
  report.CheckRatio("int_S", int_s);
  report.CheckRatio("int_I", EmsIntegral(lambda, weight));
  report.CheckRatio("int_B", int_b);
  report.CheckRatio("int_C", EmsIntegral(lambda, int_b * weight));
}

absl::Status CheckEms(CaseContext& c, const TensorMap& io,
                      const TeacherSource& source) {
  RETORT_ASSIGN_OR_RETURN(const Tolerance tolerance, c.ToleranceOf("float64"));
  RETORT_ASSIGN_OR_RETURN(EmsSamples m, ReadEmsSamples(io));
  EvaluateEms(source, &m);
  const EmsReport report(&c, io, tolerance);
  const at::Tensor sigma = m.sigma.view({-1, 1, 1});
  report.Check("eps", (m.x - m.d) / sigma);
  // eps = (x - D)/t: the parts of x and t cancel along the ODE.
  report.Check("eps1", -m.d1 / sigma);
  const at::Tensor l = 1 - m.diagonal.mean(1);
  const at::Tensor l_dot = EmsGradient(m.lambda, l);
  report.Check("l", l);
  report.Check("l_dot", l_dot);
  const at::Tensor hutchinson = (m.probes * (m.probes - m.probed)).mean(1);
  report.Check("hutch_l", hutchinson);
  report.Check("hutch_tr", hutchinson.mean(1));
  const at::Tensor scalar_l = 1 - l.mean(1);
  report.Check("lD", scalar_l);
  const EmsCoefficients fit = FitEms(m, l, l_dot);
  report.CheckRatio("s", fit.s);
  report.CheckRatio("b", fit.b);
  report.Check("f_mean", fit.f_mean);
  report.Check("f1_mean", fit.f1_mean);
  report.Check("f1_first_sample", fit.f1.select(1, 0));
  const EmsCoefficients still = FitEms(m, l, at::zeros_like(l));
  report.CheckRatio("s_no_ldot", still.s);
  report.CheckRatio("b_no_ldot", still.b);
  report.CheckRatio(
      "sD", EmsScalarScale(m, scalar_l, EmsGradient(m.lambda, scalar_l)));
  report.CheckRatio("sD_no_ldot",
                    EmsScalarScale(m, scalar_l, at::zeros_like(scalar_l)));
  CheckEmsIntegrals(report, m.lambda, l, fit);
  return absl::OkStatus();
}

absl::Status RunEmsMixture(CaseContext& c) {
  RETORT_ASSIGN_OR_RETURN(const TensorMap io, c.Load("io.safetensors"));
  analytic::GaussianMixture mixture;
  RETORT_ASSIGN_OR_RETURN(mixture.means, CaseContext::Get(io, "gmm_means"));
  RETORT_ASSIGN_OR_RETURN(mixture.variances, CaseContext::Get(io, "gmm_vars"));
  RETORT_ASSIGN_OR_RETURN(mixture.weights, CaseContext::Get(io, "gmm_weights"));
  return CheckEms(c, io, analytic::MakeMixtureSource(mixture));
}

absl::Status RunEmsNet(CaseContext& c) {
  RETORT_ASSIGN_OR_RETURN(const TensorMap io, c.Load("io.safetensors"));
  RETORT_ASSIGN_OR_RETURN(const nn::NetworkConfig config,
                          CaseNetworkConfig(c.config()));
  RETORT_ASSIGN_OR_RETURN(
      const auto net,
      LoadCaseNetwork(c, config, "weights.safetensors", at::kDouble));
  for (at::Tensor& p : net->parameters()) p.requires_grad_(false);
  TeacherSource source;
  source.shape = {config.img_channels, config.img_resolution,
                  config.img_resolution};
  source.denoise = [net](const at::Tensor& x, const at::Tensor& t,
                         const at::Tensor& labels) {
    return net->Denoise(x, t, labels);
  };
  return CheckEms(c, io, source);
}

// l of isotropic Gaussian data, where f and g vanish and the jump is known.
absl::Status RunEmsGaussian(CaseContext& c) {
  RETORT_ASSIGN_OR_RETURN(const TensorMap io, c.Load("io.safetensors"));
  RETORT_ASSIGN_OR_RETURN(const Tolerance tolerance, c.ToleranceOf("float64"));
  RETORT_ASSIGN_OR_RETURN(const at::Tensor lambda,
                          CaseContext::Get(io, "lambda"));
  RETORT_ASSIGN_OR_RETURN(const at::Tensor t, CaseContext::Get(io, "t"));
  RETORT_ASSIGN_OR_RETURN(const at::Tensor s, CaseContext::Get(io, "s"));
  const double v = c.config().at("v").get<double>();
  const TeacherSource source =
      analytic::MakeGaussianSource(at::full({2}, v, at::kDouble));
  const at::Tensor sigma = at::exp(-lambda.to(at::kDouble));
  const at::Tensor x = at::randn({sigma.numel(), 2}, at::kDouble);
  LinearizedDenoiser linear(source, x, sigma, {});
  const at::Tensor trace = linear.Transposed(at::ones_like(x)).mean(1);
  const EmsReport report(&c, io, tolerance);
  // 1 - trace, without the difference.
  const at::Tensor l_exact = sigma.square() / (v + sigma.square());
  report.Check("l", l_exact);
  c.Expect("l is 1 less the trace",
           (1 - trace - l_exact).abs().max().item<double>() < 1e-14);
  report.Check("lD", trace);
  const at::Tensor f = x - linear.value() - (1 - trace).unsqueeze(1) * x;
  c.Expect("f vanishes", f.abs().max().item<double>() < 1e-12);
  report.Check("exact_jump_factor",
               ((v + s.square()) / (v + t.square())).sqrt());
  // The table's jumps, from l at 120 knots, are that up to its interpolation.
  std::vector<double> knots, l;
  const double top = std::max(t.max().item<double>(), s.max().item<double>());
  const double bottom =
      std::min(t.min().item<double>(), s.min().item<double>());
  for (int k = 0; k < 120; ++k) {
    knots.push_back(-std::log(top) + k / 119.0 * std::log(top / bottom));
    l.push_back(v / (v + std::exp(-2 * knots.back())));
  }
  RETORT_ASSIGN_OR_RETURN(
      const auto table,
      analytic::AnalyticTable::Create(knots, l, std::vector<double>(120, 0.0)));
  double worst = 0;
  for (int64_t i = 0; i < t.numel(); ++i) {
    const double from = t[i].item<double>(), to = s[i].item<double>();
    if (to > from) continue;
    const auto ab = table->Forward(from, to);
    const double exact = std::sqrt((v + to * to) / (v + from * from));
    worst = std::max(
        worst, std::abs(ab.a + ab.b * v / (v + from * from) - exact) / exact);
  }
  c.Expect("analytic jumps of the closed form's l are exact to 1e-4",
           worst < 1e-4);
  return absl::OkStatus();
}

RETORT_PARITY_CASE("ems_gaussian", RunEmsGaussian);
RETORT_PARITY_CASE("ems_gmm", RunEmsMixture);
RETORT_PARITY_CASE("ems_", RunEmsNet);

}  // namespace
}  // namespace retort::parity
