#ifndef RETORT_CORE_ANALYTIC_HEAT_MAP_H_
#define RETORT_CORE_ANALYTIC_HEAT_MAP_H_

#include <ATen/ATen.h>

#include <string>
#include <vector>

namespace retort::analytic {

// One value for every jump t_i -> t_j, i < j, of a grid, as coloured cells: s
// to the right, t upwards, both increasing.
struct HeatMap {
  std::string title, note;  // a line each
  at::Tensor values;        // float64 [N, N], row t_i, column t_j
  // Ratios, shown from 1/2 (blue) over 1 (pale) to 2 (red); otherwise positive
  // values on a logarithmic scale of their own.
  bool ratio = false;
};

struct HeatRow {
  std::string title;
  std::vector<double> times;  // N, decreasing
  std::vector<HeatMap> maps;
};

// Sizes in pixels of a row of `maps` maps.
double HeatRowWidth(int64_t maps);
double HeatRowHeight();

// Returns the row as SVG elements, its upper left corner at (0, y), with a
// scale for each kind of map. Values that are not finite are grey.
std::string RenderHeatRow(const HeatRow& row, double y);

}  // namespace retort::analytic

#endif  // RETORT_CORE_ANALYTIC_HEAT_MAP_H_
