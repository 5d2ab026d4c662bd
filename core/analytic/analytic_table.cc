#include "core/analytic/analytic_table.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"

namespace retort::analytic {
namespace {

// Eight-point Gauss-Legendre rule on [-1, 1], positive half. Exact to degree
// 15; over one of 119 knot intervals the integrand is far smoother than that.
constexpr double kNode[4] = {0.1834346424956498, 0.5255324099163290,
                             0.7966664774136267, 0.9602898564975363};
constexpr double kWeight[4] = {0.3626837833783620, 0.3137066458778873,
                               0.2223810344533745, 0.1012285362903763};

// A backward step divides by 1 + q l_s; below this it amplifies noise beyond
// use.
constexpr double kSmallestDenominator = 1e-3;

// Fills gaps linearly in lambda from the known neighbours, constant beyond
// the outermost. At least one must be known.
void FillGaps(const std::vector<double>& lambda, const std::vector<bool>& known,
              std::vector<double>* values) {
  const int n = static_cast<int>(lambda.size());
  for (int k = 0; k < n; ++k) {
    if (known[k]) continue;
    int below = k, above = k;
    while (below >= 0 && !known[below]) --below;
    while (above < n && !known[above]) ++above;
    if (below < 0 || above >= n) {
      (*values)[k] = (*values)[below < 0 ? above : below];
      continue;
    }
    const double w =
        (lambda[k] - lambda[below]) / (lambda[above] - lambda[below]);
    (*values)[k] = (1 - w) * (*values)[below] + w * (*values)[above];
  }
}

absl::Status CheckTimes(double t_min, double t_max) {
  if (t_min > 0 && std::isfinite(t_max)) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("the knots' times overflow: ", t_min, " to ", t_max));
}

}  // namespace

absl::StatusOr<std::shared_ptr<const AnalyticTable>> AnalyticTable::Create(
    std::vector<double> lambda, std::vector<double> l,
    std::vector<double> ln_s) {
  if (!ln_s.empty()) {
    const double origin = ln_s.front();
    for (double& value : ln_s) value -= origin;
  }
  RETORT_ASSIGN_OR_RETURN(Pchip l_curve, Pchip::Create(lambda, std::move(l)));
  RETORT_ASSIGN_OR_RETURN(Pchip s_curve,
                          Pchip::Create(std::move(lambda), std::move(ln_s)));
  // Not make_shared: the constructor is private.
  std::shared_ptr<const AnalyticTable> table(
      new AnalyticTable(std::move(l_curve), std::move(s_curve)));
  RETORT_RETURN_IF_ERROR(CheckTimes(table->t_min_, table->t_max_));
  const std::vector<double>& knots = table->lambda();
  for (size_t i = 0; i < knots.size(); ++i) {
    for (size_t j = i + 1; j < knots.size(); ++j) {
      const double q = table->RelativeStep(knots[i], knots[j]);
      const double denominator = 1 + q * table->l()[j];
      if (std::isfinite(q) && denominator >= kSmallestDenominator) continue;
      return absl::InvalidArgumentError(absl::StrCat(
          "the jump from t = ", std::exp(-knots[i]), " to ",
          std::exp(-knots[j]), " is singular (1 + q l = ", denominator,
          ", l = ", table->l()[j],
          "); l should lie in [0, 1] up to noise: estimate with more samples, "
          "or check that the teacher is trained"));
    }
  }
  return table;
}

absl::StatusOr<std::shared_ptr<const AnalyticTable>>
AnalyticTable::FromMeanSquares(std::vector<double> lambda,
                               std::vector<double> l,
                               const std::vector<double>& g_mean_square,
                               const std::vector<bool>& resolved) {
  if (g_mean_square.size() != lambda.size() ||
      resolved.size() != lambda.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("one E|g|^2 per knot is needed: ", lambda.size(),
                     " knots, ", g_mean_square.size(), " values"));
  }
  std::vector<double> ln_s(lambda.size(), 0.0);
  const auto known = std::count(resolved.begin(), resolved.end(), true);
  if (2 * known > static_cast<std::ptrdiff_t>(lambda.size())) {
    for (size_t k = 0; k < lambda.size(); ++k) {
      // S = 1 / RMS of g.
      if (resolved[k]) ln_s[k] = -0.5 * std::log(g_mean_square[k]);
    }
    FillGaps(lambda, resolved, &ln_s);
  }
  return Create(std::move(lambda), std::move(l), std::move(ln_s));
}

absl::StatusOr<std::shared_ptr<const AnalyticTable>>
AnalyticTable::FromLogSlopes(std::vector<double> lambda, std::vector<double> l,
                             std::vector<double> s,
                             const std::vector<bool>& resolved) {
  if (s.size() != lambda.size() || resolved.size() != lambda.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("one s per knot is needed: ", lambda.size(), " knots, ",
                     s.size(), " values"));
  }
  const auto known = std::count(resolved.begin(), resolved.end(), true);
  if (2 * known > static_cast<std::ptrdiff_t>(lambda.size())) {
    FillGaps(lambda, resolved, &s);
  } else {
    std::fill(s.begin(), s.end(), 0.0);
  }
  RETORT_ASSIGN_OR_RETURN(const Pchip curve, Pchip::Create(lambda, s));
  return Create(std::move(lambda), std::move(l), curve.knot_integrals());
}

absl::StatusOr<std::shared_ptr<const AnalyticTable>>
AnalyticTable::FromStatistics(const TeacherStatistics& statistics) {
  std::vector<double> lambda, l, g_mean_square, s;
  std::vector<bool> resolved;
  for (const KnotStatistics& knot : statistics.knots) {
    lambda.push_back(knot.lambda());
    l.push_back(knot.l);
    g_mean_square.push_back(knot.g_mean_square);
    s.push_back(knot.s);
    resolved.push_back(knot.Resolved(statistics.relative_rounding));
  }
  if (statistics.scale == ScaleEstimator::kJvp) {
    return FromLogSlopes(std::move(lambda), std::move(l), std::move(s),
                         resolved);
  }
  return FromMeanSquares(std::move(lambda), std::move(l), g_mean_square,
                         resolved);
}

AnalyticTable::AnalyticTable(Pchip l, Pchip ln_s)
    : l_(std::move(l)), ln_s_(std::move(ln_s)) {
  t_min_ = std::exp(-lambda().back());
  t_max_ = std::exp(-lambda().front());
  for (double knot : lambda()) ln_weight_.push_back(LnWeight(knot));
  for (size_t k = 0; k + 1 < lambda().size(); ++k) {
    step_.push_back(Integrate(lambda()[k], lambda()[k + 1], ln_weight_[k]));
  }
}

double AnalyticTable::Lambda(double t) const {
  return std::clamp(-std::log(t), lambda().front(), lambda().back());
}

double AnalyticTable::LnLAt(double lambda_at) const {
  return (lambda_at - lambda().front()) - l_.Integral(lambda_at);
}

double AnalyticTable::LnWeight(double lambda_at) const {
  return LnLAt(lambda_at) - ln_s_.Value(lambda_at);
}

double AnalyticTable::Integrate(double from, double to,
                                double reference) const {
  const double middle = (from + to) / 2, half = (to - from) / 2;
  double sum = 0;
  for (int i = 0; i < 4; ++i) {
    sum +=
        kWeight[i] * (std::exp(LnWeight(middle - half * kNode[i]) - reference) +
                      std::exp(LnWeight(middle + half * kNode[i]) - reference));
  }
  return half * sum;
}

double AnalyticTable::RelativeStep(double lambda_t, double lambda_s) const {
  const double reference = LnWeight(lambda_s);
  const size_t first = l_.Interval(lambda_t);
  const size_t last = l_.Interval(lambda_s);
  if (first == last) return Integrate(lambda_t, lambda_s, reference);
  double q = Integrate(lambda_t, lambda()[first + 1], reference);
  for (size_t k = first + 1; k < last; ++k) {
    q += step_[k] * std::exp(ln_weight_[k] - reference);
  }
  return q + Integrate(lambda()[last], lambda_s, reference);
}

JumpCoefficients AnalyticTable::Backward(double t, double s) const {
  const double lambda_t = Lambda(t), lambda_s = Lambda(s);
  // Divided by L_s: a = (L_t/L_s) / (1 + q l_s), b = q / (1 + q l_s).
  const double q = RelativeStep(lambda_t, lambda_s);
  const double denominator = 1 + q * l_.Value(lambda_s);
  return {std::exp(LnLAt(lambda_t) - LnLAt(lambda_s)) / denominator,
          q / denominator};
}

JumpCoefficients AnalyticTable::Forward(double t, double s) const {
  const double lambda_t = Lambda(t), lambda_s = Lambda(s);
  // dE S_t / L_s = q S_t / S_s.
  const double b = RelativeStep(lambda_t, lambda_s) *
                   std::exp(ln_s_.Value(lambda_t) - ln_s_.Value(lambda_s));
  const double ratio = std::exp(LnLAt(lambda_t) - LnLAt(lambda_s));
  return {ratio - b * l_.Value(lambda_t), b};
}

}  // namespace retort::analytic
