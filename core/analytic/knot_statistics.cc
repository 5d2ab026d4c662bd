#include "core/analytic/knot_statistics.h"

#include <algorithm>
#include <cmath>

#include "core/base/check.h"

namespace retort::analytic {
namespace {

// Below this many samples two regression coefficients are mostly noise.
constexpr int64_t kFewestForControl = 16;

}  // namespace

double KnotStatistics::lambda() const { return -std::log(t); }

bool KnotStatistics::Resolved(double relative_rounding) const {
  // Some roundings of D, and what l itself is uncertain by in float64.
  const double relative = std::max(32 * relative_rounding, 1e-12);
  return g_mean_square > relative * relative * denoised_mean_square &&
         g_mean_square > 2 * g_mean_square_se;
}

double KnotStatistics::LnS() const { return -0.5 * std::log(g_mean_square); }

double KnotStatistics::LnSStandardError() const {
  return 0.5 * g_mean_square_se / g_mean_square;
}

double KnotAccumulator::ControlledL(int64_t count,
                                    std::vector<double>* terms) const {
  const double n = static_cast<double>(count);
  double l = 0, noise = 0, cross = 0;
  for (int64_t i = 0; i < count; ++i) {
    l += samples_[i].l / n;
    noise += samples_[i].noise / n;
    cross += samples_[i].cross / n;
  }
  double nn = 0, nc = 0, cc = 0, ln = 0, lc = 0;
  for (int64_t i = 0; i < count; ++i) {
    const double dl = samples_[i].l - l;
    const double dn = samples_[i].noise - noise;
    const double dc = samples_[i].cross - cross;
    nn += dn * dn, nc += dn * dc, cc += dc * dc;
    ln += dl * dn, lc += dl * dc;
  }
  // Regression coefficients; 0 where there is too little to fit them.
  const double det = nn * cc - nc * nc;
  double beta_noise = 0, beta_cross = 0;
  if (count >= kFewestForControl && det > 1e-10 * nn * cc) {
    beta_noise = (ln * cc - lc * nc) / det;
    beta_cross = (lc * nn - ln * nc) / det;
  } else if (count >= kFewestForControl && nn > 0) {
    beta_noise = ln / nn;
  }
  terms->resize(count);
  for (int64_t i = 0; i < count; ++i) {
    (*terms)[i] = samples_[i].l - beta_noise * samples_[i].noise -
                  beta_cross * samples_[i].cross;
  }
  return l - beta_noise * noise - beta_cross * cross;
}

KnotStatistics KnotAccumulator::Summarize(int64_t count) const {
  RETORT_CHECK(count >= 2 && count <= size());
  const double n = static_cast<double>(count);
  KnotStatistics out;
  out.t = t_;
  out.samples = count;
  std::vector<double> l_terms;
  out.l = ControlledL(count, &l_terms);

  double hh = 0, hx = 0, xx = 0;
  for (int64_t i = 0; i < count; ++i) {
    out.l_from_loss += samples_[i].loss_l / n;
    hh += samples_[i].hh / n;
    hx += samples_[i].hx / n;
    xx += samples_[i].xx / n;
  }
  const double r = out.l - c_;  // g = h - r x
  const double g_square = hh - 2 * r * hx + r * r * xx;
  const double gx = hx - r * xx;
  out.denoised_mean_square = hh + 2 * c_ * hx + c_ * c_ * xx;

  // Delta method. With m_i = |g_i|^2 at the estimated l, the estimate
  // M = mean m_i moves with sample i by psi_i = m_i - M - 2 <g,x> (l_i - l):
  // its own square, and its part in the error of l, dM/dl = -2 <g,x>.
  double var_l = 0, var_loss = 0, var_psi = 0, cov_l_gx = 0;
  for (int64_t i = 0; i < count; ++i) {
    const Sample& s = samples_[i];
    const double dl = l_terms[i] - out.l;
    const double dloss = s.loss_l - out.l_from_loss;
    const double psi =
        s.hh - 2 * r * s.hx + r * r * s.xx - g_square - 2 * gx * dl;
    var_l += dl * dl / (n - 1);
    var_loss += dloss * dloss / (n - 1);
    var_psi += psi * psi / (n - 1);
    cov_l_gx += dl * (s.hx - r * s.xx - gx) / (n - 1);
  }
  out.l_se = std::sqrt(var_l / n);
  out.l_from_loss_se = std::sqrt(var_loss / n);

  // Second order: an error delta of l adds delta^2 |x|^2 - 2 delta <g,x>.
  // Its mean is removed; its spread, 2 (Var(l) |x|^2)^2 for a normal delta,
  // joins the variance. It matters where l x is far larger than g.
  const double excess = var_l / n * xx;
  out.g_mean_square = g_square - excess + 2 * cov_l_gx / n;
  out.g_mean_square_se = std::sqrt(var_psi / n + 2 * excess * excess);
  return out;
}

// With r = l - c: g = h - r x and, along the ODE dx/dlambda = D - x,
//   dg/dlambda = h' - r (h + (c - 1) x) - r' x = h' - r h - q x,
//   q = r (c - 1) + r'.
void KnotAccumulator::SummarizeScale(double l_slope, double l_slope_se,
                                     KnotStatistics* knot) const {
  const int64_t count = knot->samples;
  RETORT_CHECK(count >= 2 && count <= size());
  const double n = static_cast<double>(count);
  std::vector<double> l_terms;
  ControlledL(count, &l_terms);
  const double r = knot->l - c_;
  const double q = r * (c_ - 1) + l_slope - c_slope_;
  // <g, dg/dlambda> and |g|^2 of every sample, their means, and the means'
  // derivatives in l; <g, x> is -d/dl' of the first.
  std::vector<double> a(count), b(count);
  double mean_a = 0, mean_b = 0, a_in_l = 0, b_in_l = 0, gx = 0;
  for (int64_t i = 0; i < count; ++i) {
    const Sample& m = samples_[i];
    a[i] =
        m.hh1 - r * m.hh - q * m.hx - r * m.xh1 + r * r * m.hx + r * q * m.xx;
    b[i] = m.hh - 2 * r * m.hx + r * r * m.xx;
    mean_a += a[i] / n;
    mean_b += b[i] / n;
    a_in_l += (-m.hh - (c_ - 1) * m.hx - m.xh1 + 2 * r * m.hx +
               (q + r * (c_ - 1)) * m.xx) /
              n;
    b_in_l += -2 * (m.hx - r * m.xx) / n;
    gx += (m.hx - r * m.xx) / n;
  }
  if (!(mean_b > 0)) return;
  knot->s = -mean_a / mean_b;
  double variance = 0;
  for (int64_t i = 0; i < count; ++i) {
    const double psi = a[i] - mean_a + knot->s * (b[i] - mean_b) +
                       (a_in_l + knot->s * b_in_l) * (l_terms[i] - knot->l);
    variance += psi * psi / (n - 1);
  }
  const double slope = gx * l_slope_se;
  knot->s_se = std::sqrt(variance / n + slope * slope) / mean_b;
}

}  // namespace retort::analytic
