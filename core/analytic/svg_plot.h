#ifndef RETORT_CORE_ANALYTIC_SVG_PLOT_H_
#define RETORT_CORE_ANALYTIC_SVG_PLOT_H_

#include <string>
#include <vector>

#include "core/analytic/heat_map.h"

namespace retort::analytic {

// A small line-plot writer: panels in a grid, linear or logarithmic axes,
// one legend for the figure, and heat maps below. Enough for
// preconditioning.svg.
struct PlotSeries {
  std::string label;   // legend entry, once per figure; "" = none
  std::string colour;  // "#rrggbb"
  std::string dash;    // SVG stroke-dasharray, "" = solid
  std::vector<double> x, y;
  // Half-width of a shaded band around y, empty = none.
  std::vector<double> error;
};

struct PlotPanel {
  std::string title, x_label;
  bool log_x = false, log_y = false;
  // Ticks and data outside are cut off; low = high takes the data's range.
  double y_low = 0, y_high = 0;
  std::vector<PlotSeries> series;
};

struct PlotFigure {
  std::string title, subtitle;
  int columns = 1;
  std::vector<PlotPanel> panels;   // row by row; one without series stays empty
  std::vector<HeatRow> heat_rows;  // below the panels
};

// Returns the figure as a stand-alone SVG document. Points that are not
// finite, or not positive on a logarithmic axis, are left out. Same input,
// same bytes.
std::string RenderSvg(const PlotFigure& figure);

}  // namespace retort::analytic

#endif  // RETORT_CORE_ANALYTIC_SVG_PLOT_H_
