#include "core/analytic/plot.h"

#include <cmath>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "core/analytic/analytic_table.h"
#include "core/analytic/artefact.h"
#include "core/analytic/jump_gaps.h"
#include "core/analytic/precondition.h"
#include "core/analytic/svg_plot.h"
#include "core/base/status_macros.h"

namespace retort::analytic {
namespace {

constexpr int kPoints = 160;

struct Style {
  const char* name;
  const char* label;
  const char* colour;
  const char* dash;
};
// Told apart by colour, and by dash where curves coincide.
constexpr Style kStyles[] = {
    {"ctm", "ctm", "#222222", ""},
    {"bcm", "bcm (as ctm)", "#d98c00", "7 3"},
    {"analytic", "analytic", "#1f6fd1", ""},
    {"analytic-forward", "analytic-forward", "#8a4fbf", "2 3"},
    {"fitted-state", "fitted-state", "#c8322b", ""},
    {"fitted-spectral", "fitted-spectral (mean)", "#2c8a4b", "7 2 2 2"}};

PlotPanel StatisticPanel(const PreconditioningArtefact& artefact) {
  PlotSeries l{"l, with 2 standard errors", "#1f6fd1", ""};
  PlotSeries check{"l from the teacher's loss (check)", "#2c8a4b", "5 3"};
  for (const KnotStatistics& knot : artefact.statistics.knots) {
    l.x.push_back(knot.t);
    l.y.push_back(knot.l);
    l.error.push_back(2 * knot.l_se);
    check.x.push_back(knot.t);
    check.y.push_back(knot.l_from_loss);
  }
  PlotPanel panel{"l(t): mean trace of the denoiser's Jacobian", "t", true};
  panel.series = {std::move(l), std::move(check)};
  return panel;
}

PlotPanel ScalePanel(const PreconditioningArtefact& artefact,
                     const AnalyticTable& table) {
  PlotSeries s{"", "#1f6fd1", ""};
  const double rounding = artefact.statistics.relative_rounding;
  const bool jvp = artefact.statistics.scale == ScaleEstimator::kJvp;
  double ln_variance = 0, lambda = artefact.statistics.knots[0].lambda();
  for (const KnotStatistics& knot : artefact.statistics.knots) {
    const double value = std::exp(table.LnS(knot.t));
    // By integration the error adds up from the largest t on.
    if (jvp) {
      const double step = knot.lambda() - lambda;
      ln_variance += step * step * knot.s_se * knot.s_se;
      lambda = knot.lambda();
    }
    const double ln_error =
        jvp ? std::sqrt(ln_variance) : knot.LnSStandardError();
    s.x.push_back(knot.t);
    s.y.push_back(value);
    s.error.push_back(knot.Resolved(rounding) ? 2 * value * ln_error : 0.0);
  }
  PlotPanel panel{jvp ? "S(t) from s by differentiation, 1 at the largest t"
                      : "S(t) = 1 / RMS of g, 1 at the largest t",
                  "t", true, true};
  panel.series = {std::move(s)};
  return panel;
}

struct NamedJump {
  Style style;
  std::shared_ptr<const math::JumpPrecond> jump;
};

absl::StatusOr<std::vector<NamedJump>> MakeJumps(
    const PreconditioningArtefact& artefact) {
  std::vector<NamedJump> jumps;
  for (const Style& style : kStyles) {
    auto jump = MakeJumpFrom(style.name, artefact.schedule, &artefact);
    if (absl::IsFailedPrecondition(jump.status())) continue;  // no fit
    if (!jump.ok()) return jump.status();
    jumps.push_back({style, *std::move(jump)});
  }
  return jumps;
}

// a and b over s for one t.
std::pair<PlotPanel, PlotPanel> CoefficientPanels(
    const std::vector<NamedJump>& jumps, double t, double t_min) {
  PlotPanel a{absl::StrFormat("a(t, s) from t = %.3g", t), "s", true};
  PlotPanel b{absl::StrFormat("b(t, s) from t = %.3g", t), "s", true};
  const at::Tensor s =
      at::exp(at::linspace(std::log(t_min), std::log(t), kPoints, at::kDouble));
  // exp(log(x)) is x up to rounding; the ends are meant exactly.
  s.clamp_(t_min, t);
  const at::Tensor ts = at::full({kPoints}, t, at::kDouble);
  for (const NamedJump& named : jumps) {
    at::Tensor as, bs;
    named.jump->Coefficients(ts, s, &as, &bs);
    PlotSeries series{named.style.label, named.style.colour, named.style.dash};
    const auto values = [](const at::Tensor& v) {
      const at::Tensor flat = v.to(at::kDouble).contiguous();
      const double* data = flat.const_data_ptr<double>();
      return std::vector<double>(data, data + flat.numel());
    };
    series.x = values(s);
    series.y = values(as);
    a.series.push_back(series);
    series.y = values(bs);
    b.series.push_back(std::move(series));
  }
  return {std::move(a), std::move(b)};
}

// Median over jumps of a gap's ratio to ctm's.
double MedianRatio(const at::Tensor& ratio) {
  const int64_t n = ratio.size(0);
  const at::Tensor upper =
      at::ones({n, n}, at::TensorOptions(at::kBool)).triu(1);
  return ratio.masked_select(upper).median().item<double>();
}

// ctm's gaps, and the others' relative to them. bcm's are ctm's.
HeatRow GapRow(const std::vector<JumpGaps>& all, bool denoiser,
               const std::vector<double>& times) {
  HeatRow row;
  row.title = denoiser ? "Denoiser gap |(x_s - a x_t)/b - D| of the teacher's D"
                       : "State gap |f - x_s| with the teacher as the student";
  row.times = times;
  const auto gap = [&](const JumpGaps& gaps) {
    return denoiser ? gaps.denoiser : gaps.state;
  };
  at::Tensor base;
  for (const JumpGaps& gaps : all) {
    if (gaps.name == "ctm") base = gap(gaps);
  }
  row.maps.push_back({"ctm", "RMS over dimensions", base, false});
  for (const JumpGaps& gaps : all) {
    if (gaps.name == "ctm" || gaps.name == "bcm") continue;
    const at::Tensor ratio = gap(gaps) / base;
    row.maps.push_back(
        {gaps.name, absl::StrFormat("median %.2f of ctm's", MedianRatio(ratio)),
         ratio, true});
  }
  return row;
}

}  // namespace

absl::StatusOr<std::string> PreconditioningSvg(
    const PreconditioningArtefact& artefact) {
  RETORT_ASSIGN_OR_RETURN(const auto table,
                          AnalyticTable::FromStatistics(artefact.statistics));
  RETORT_ASSIGN_OR_RETURN(const auto jumps, MakeJumps(artefact));
  PlotFigure figure;
  figure.title = "Preconditioning f = a x + b D";
  figure.subtitle = absl::StrFormat(
      "Teacher %s; l by %s, S by %s, %d knots, %d samples each at most; %s",
      artefact.teacher_hash.substr(0, 12), TraceName(artefact.estimate.trace),
      ScaleName(artefact.estimate.scale), artefact.statistics.knots.size(),
      artefact.estimate.samples, CostSentence(artefact));
  figure.columns = 4;
  figure.panels.resize(8);
  figure.panels[0] = StatisticPanel(artefact);
  figure.panels[4] = ScalePanel(artefact, *table);
  const double top = artefact.schedule.sigma_max;
  const double bottom = artefact.schedule.sigma_min;
  // The longest jump, and two from where the image takes shape.
  for (int k = 0; k < 3; ++k) {
    const double t = top * std::pow(bottom / top, k * 0.25);
    std::tie(figure.panels[1 + k], figure.panels[5 + k]) =
        CoefficientPanels(jumps, t, bottom);
  }
  if (artefact.moments) {
    RETORT_ASSIGN_OR_RETURN(const auto gaps, MeasureGaps(artefact));
    for (bool denoiser : {false, true}) {
      figure.heat_rows.push_back(
          GapRow(gaps, denoiser, artefact.moments->times));
    }
  }
  return RenderSvg(figure);
}

}  // namespace retort::analytic
