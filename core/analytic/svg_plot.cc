#include "core/analytic/svg_plot.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "core/analytic/svg_elements.h"

namespace retort::analytic {
namespace {

constexpr double kPanelWidth = 330, kPanelHeight = 250;
constexpr double kLeft = 58, kRight = 14, kTop = 30, kBottom = 44;
constexpr double kHeader = 78;
constexpr double kSmallestWidth = 680;

constexpr char kGrid[] = "stroke=\"#e4e4e4\" stroke-width=\"1\"";
constexpr char kFrame[] = "fill=\"none\" stroke=\"#777\"";
constexpr char kCurve[] = "fill=\"none\" stroke-width=\"1.8\" ";

std::string Stroke(const PlotSeries& series) {
  return absl::StrCat(kCurve, "stroke=\"", series.colour,
                      "\" stroke-dasharray=\"",
                      series.dash.empty() ? "none" : series.dash, "\"");
}

// One axis: data to pixels, and where its ticks are.
class Axis {
 public:
  Axis(bool logarithmic, double low, double high, double from, double to)
      : log_(logarithmic), from_(from), to_(to) {
    if (!(low < high)) {
      low = log_ ? low / 2 : low - 0.5;
      high = log_ ? high * 2 : high + 0.5;
    }
    low_ = Scale(low);
    high_ = Scale(high);
  }

  bool Accepts(double value) const {
    return std::isfinite(value) && (!log_ || value > 0);
  }

  double Pixel(double value) const {
    return from_ + (Scale(value) - low_) / (high_ - low_) * (to_ - from_);
  }

  std::vector<double> Ticks() const {
    return log_ ? LogTicks() : LinearTicks();
  }

 private:
  double Scale(double value) const { return log_ ? std::log10(value) : value; }

  std::vector<double> LogTicks() const {
    const double slack = 1e-9;
    const int first = static_cast<int>(std::ceil(low_ - slack));
    const int last = static_cast<int>(std::floor(high_ + slack));
    std::vector<double> ticks;
    const int every = std::max(1, (last - first + 5) / 6);
    for (int k = first; k <= last; k += every) ticks.push_back(std::pow(10, k));
    if (ticks.size() >= 2) return ticks;
    // Less than two decades: 1, 2, 5 within them.
    ticks.clear();
    for (int k = first - 1; k <= last; ++k) {
      for (double digit : {1.0, 2.0, 5.0}) {
        const double value = digit * std::pow(10, k);
        if (Scale(value) >= low_ - slack && Scale(value) <= high_ + slack) {
          ticks.push_back(value);
        }
      }
    }
    return ticks;
  }

  std::vector<double> LinearTicks() const {
    const double rough = (high_ - low_) / 5;
    const double power = std::pow(10, std::floor(std::log10(rough)));
    double step = power;
    for (double digit : {2.0, 5.0, 10.0}) {
      if (step < rough) step = digit * power;
    }
    std::vector<double> ticks;
    for (double k = std::ceil(low_ / step - 1e-9);
         k * step <= high_ + 1e-9 * step; ++k) {
      ticks.push_back(k * step + 0.0);  // not -0
    }
    return ticks;
  }

  const bool log_;
  const double from_, to_;
  double low_, high_;
};

// Draws one panel with its upper left corner at (x, y).
class PanelPainter {
 public:
  PanelPainter(const PlotPanel& panel, int index, double x, double y)
      : panel_(panel),
        index_(index),
        left_(x + kLeft),
        right_(x + kPanelWidth - kRight),
        top_(y + kTop),
        bottom_(y + kPanelHeight - kBottom),
        x_(MakeAxis(panel.log_x, true)),
        y_(MakeAxis(panel.log_y, false)) {}

  std::string Paint() const {
    std::string out = Frame();
    absl::StrAppend(&out, "<g clip-path=\"url(#p", index_, ")\">\n");
    for (const PlotSeries& series : panel_.series) {
      if (!series.error.empty()) out += Band(series);
    }
    for (const PlotSeries& series : panel_.series) out += Curve(series);
    out += "</g>\n";
    return out;
  }

 private:
  Axis MakeAxis(bool logarithmic, bool horizontal) const {
    double low = std::numeric_limits<double>::infinity(), high = -low;
    for (const PlotSeries& series : panel_.series) {
      for (double value : horizontal ? series.x : series.y) {
        if (!std::isfinite(value) || (logarithmic && value <= 0)) continue;
        low = std::min(low, value);
        high = std::max(high, value);
      }
    }
    if (low > high) low = logarithmic ? 0.1 : 0, high = 1;
    if (horizontal) return Axis(logarithmic, low, high, left_, right_);
    if (panel_.y_low < panel_.y_high) {
      low = panel_.y_low, high = panel_.y_high;
    } else if (!logarithmic) {
      const double margin = 0.04 * (high - low);
      low -= margin, high += margin;
    }
    return Axis(logarithmic, low, high, bottom_, top_);
  }

  std::string Frame() const {
    std::string out = absl::StrFormat(
        "<clipPath id=\"p%d\"><rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" "
        "height=\"%.1f\"/></clipPath>\n",
        index_, left_, top_, right_ - left_, bottom_ - top_);
    for (double tick : x_.Ticks()) {
      const double at = x_.Pixel(tick);
      out += SvgLine(at, top_, at, bottom_, kGrid);
      out += SvgText(at, bottom_ + 15, absl::StrFormat("%g", tick),
                     absl::StrCat(kSvgTick, kSvgMiddle));
    }
    for (double tick : y_.Ticks()) {
      const double at = y_.Pixel(tick);
      out += SvgLine(left_, at, right_, at, kGrid);
      out += SvgText(left_ - 6, at + 4, absl::StrFormat("%.6g", tick),
                     absl::StrCat(kSvgTick, kSvgEnd));
    }
    absl::StrAppendFormat(&out,
                          "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" "
                          "height=\"%.1f\" %s/>\n",
                          left_, top_, right_ - left_, bottom_ - top_, kFrame);
    out += SvgText(left_, top_ - 9, panel_.title, kSvgTitle);
    out += SvgText((left_ + right_) / 2, bottom_ + 33, panel_.x_label,
                   absl::StrCat(kSvgLabel, kSvgMiddle));
    return out;
  }

  std::string Points(const std::vector<double>& xs,
                     const std::vector<double>& ys, bool backwards) const {
    std::string out;
    for (size_t k = 0; k < xs.size(); ++k) {
      const size_t i = backwards ? xs.size() - 1 - k : k;
      if (!x_.Accepts(xs[i]) || !y_.Accepts(ys[i])) continue;
      // Far outside values would overflow a viewer's coordinates.
      const double y = std::clamp(y_.Pixel(ys[i]), top_ - 2000, bottom_ + 2000);
      absl::StrAppendFormat(&out, "%.1f,%.1f ", x_.Pixel(xs[i]), y);
    }
    return out;
  }

  std::string Band(const PlotSeries& series) const {
    std::vector<double> low = series.y, high = series.y;
    for (size_t i = 0; i < low.size() && i < series.error.size(); ++i) {
      low[i] -= series.error[i];
      high[i] += series.error[i];
    }
    return absl::StrCat("<polygon points=\"", Points(series.x, low, false),
                        Points(series.x, high, true), "\" fill=\"",
                        series.colour, "\" fill-opacity=\"0.25\"/>\n");
  }

  std::string Curve(const PlotSeries& series) const {
    return absl::StrCat("<polyline points=\"",
                        Points(series.x, series.y, false), "\" ",
                        Stroke(series), "/>\n");
  }

  const PlotPanel& panel_;
  const int index_;
  const double left_, right_, top_, bottom_;
  const Axis x_, y_;
};

std::string Legend(const PlotFigure& figure) {
  std::string out;
  std::set<std::string> seen;
  double x = 20;
  for (const PlotPanel& panel : figure.panels) {
    for (const PlotSeries& series : panel.series) {
      if (series.label.empty() || !seen.insert(series.label).second) continue;
      out += SvgLine(x, 62, x + 26, 62, Stroke(series));
      out += SvgText(x + 32, 66, series.label, kSvgLabel);
      x += 56 + 6.3 * series.label.size();
    }
  }
  return out;
}

}  // namespace

std::string RenderSvg(const PlotFigure& figure) {
  const int columns = std::max(1, figure.columns);
  const int count = static_cast<int>(figure.panels.size());
  const int rows = (count + columns - 1) / columns;
  double width = std::max(columns * kPanelWidth + 12, kSmallestWidth);
  for (const HeatRow& row : figure.heat_rows) {
    width = std::max(width, HeatRowWidth(row.maps.size()));
  }
  const double panels_end = kHeader + rows * kPanelHeight + 8;
  const double height = panels_end + figure.heat_rows.size() * HeatRowHeight();
  std::string out = absl::StrFormat(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%.0f\" "
      "height=\"%.0f\" viewBox=\"0 0 %.0f %.0f\" "
      "font-family=\"Helvetica,Arial,sans-serif\">\n",
      width, height, width, height);
  out += "<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n";
  out += SvgText(20, 24, figure.title, "font-size=\"17\" font-weight=\"bold\"");
  out += SvgText(20, 44, figure.subtitle, kSvgLabel);
  out += Legend(figure);
  for (int k = 0; k < count; ++k) {
    if (figure.panels[k].series.empty()) continue;
    out += PanelPainter(figure.panels[k], k, (k % columns) * kPanelWidth,
                        kHeader + (k / columns) * kPanelHeight)
               .Paint();
  }
  for (size_t k = 0; k < figure.heat_rows.size(); ++k) {
    out += RenderHeatRow(figure.heat_rows[k], panels_end + k * HeatRowHeight());
  }
  out += "</svg>\n";
  return out;
}

}  // namespace retort::analytic
