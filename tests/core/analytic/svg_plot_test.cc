#include "core/analytic/svg_plot.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <string>

namespace retort::analytic {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

PlotFigure OneCurve(std::vector<double> x, std::vector<double> y) {
  PlotSeries series{"curve <1>", "#123456", ""};
  series.x = std::move(x);
  series.y = std::move(y);
  PlotPanel panel{"a title", "t", true};
  panel.series = {series};
  PlotFigure figure;
  figure.title = "A & B";
  figure.panels = {panel};
  return figure;
}

TEST(SvgPlotTest, DrawsTitleLegendTicksAndCurve) {
  const std::string svg = RenderSvg(OneCurve({0.01, 1, 100}, {0, 1, 0.5}));
  for (const char* part : {"<svg", "A &amp; B", "curve &lt;1&gt;", "a title",
                           ">0.01<", ">100<", ">0.5<", "<polyline", "</svg>"}) {
    EXPECT_THAT(svg, HasSubstr(part));
  }
}

TEST(SvgPlotTest, LeavesOutWhatCannotBeDrawn) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double inf = std::numeric_limits<double>::infinity();
  const std::string svg =
      RenderSvg(OneCurve({0, 1, 10, 100}, {1, nan, inf, 2}));
  EXPECT_THAT(svg, Not(HasSubstr("nan")));
  EXPECT_THAT(svg, Not(HasSubstr("inf")));
}

TEST(SvgPlotTest, SurvivesAFlatCurveAndAnEmptyPanel) {
  PlotFigure figure = OneCurve({1, 10}, {0.5, 0.5});
  figure.panels.push_back({});
  EXPECT_THAT(RenderSvg(figure), Not(HasSubstr("nan")));
}

}  // namespace
}  // namespace retort::analytic
