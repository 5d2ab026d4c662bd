#include "core/analytic/heat_map.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "core/analytic/svg_elements.h"

namespace retort::analytic {
namespace {

constexpr double kMapWidth = 220, kMapSide = 156;
constexpr double kMapLeft = 52, kMapTop = 72, kMapBelow = 46;
constexpr double kScaleWidth = 120, kScaleHeight = 10;
constexpr int kScaleSteps = 30;

struct Colour {
  double r, g, b;
};
// Dark to light, even in lightness: a gap's size.
constexpr Colour kSizes[] = {{45, 30, 90},
                             {60, 90, 145},
                             {45, 145, 140},
                             {125, 200, 105},
                             {250, 230, 90}};
// Blue is better than 1, red worse.
constexpr Colour kRatios[] = {{20, 70, 160},
                              {125, 175, 220},
                              {244, 242, 236},
                              {235, 160, 125},
                              {165, 30, 40}};

// The colour at `place` of [0, 1], which is clamped.
std::string ColourAt(bool ratio, double place) {
  if (!std::isfinite(place)) return "#bbbbbb";
  const Colour* stops = ratio ? kRatios : kSizes;
  constexpr int kLast = static_cast<int>(std::size(kSizes)) - 1;
  const double at = std::clamp(place, 0.0, 1.0) * kLast;
  const int k = std::min(static_cast<int>(at), kLast - 1);
  const double w = at - k;
  const auto mix = [&](double from, double to) {
    return static_cast<int>(std::lround(from + w * (to - from)));
  };
  return absl::StrFormat("#%02x%02x%02x", mix(stops[k].r, stops[k + 1].r),
                         mix(stops[k].g, stops[k + 1].g),
                         mix(stops[k].b, stops[k + 1].b));
}

std::string Fill(const std::string& colour) {
  return absl::StrCat("fill=\"", colour, "\"");
}

// Where a map's values lie on its scale.
struct Scale {
  bool ratio;
  double low, high;  // logarithms

  double Place(double value) const {
    return value > 0 ? (std::log(value) - low) / (high - low)
                     : std::numeric_limits<double>::quiet_NaN();
  }
};

Scale ScaleOf(const HeatMap& map) {
  if (map.ratio) return {true, -std::log(2.0), std::log(2.0)};
  double low = std::numeric_limits<double>::infinity(), high = -low;
  const at::Tensor values = map.values.contiguous();
  const double* data = values.const_data_ptr<double>();
  for (int64_t k = 0; k < values.numel(); ++k) {
    if (!(data[k] > 0) || !std::isfinite(data[k])) continue;
    low = std::min(low, std::log(data[k]));
    high = std::max(high, std::log(data[k]));
  }
  if (!(low < high)) return {false, 0, 1};
  return {false, low, high};
}

std::string RenderScale(const Scale& scale, double x, double y) {
  std::string out;
  const double width = kScaleWidth / kScaleSteps;
  for (int k = 0; k < kScaleSteps; ++k) {
    const double place = (k + 0.5) / kScaleSteps;
    out += SvgRect(x + k * width, y, width + 0.5, kScaleHeight,
                   Fill(ColourAt(scale.ratio, place)));
  }
  const double middle = (scale.low + scale.high) / 2;
  for (double at : {scale.low, middle, scale.high}) {
    const double place = (at - scale.low) / (scale.high - scale.low);
    out += SvgText(x + place * kScaleWidth, y + kScaleHeight + 13,
                   absl::StrFormat("%.2g", std::exp(at)),
                   absl::StrCat(kSvgTick, kSvgMiddle));
  }
  return out;
}

// Indices of the times that get a tick, from the largest time on.
std::vector<int64_t> TickIndices(int64_t n) {
  std::vector<int64_t> out;
  for (int k = 0; k < 4; ++k) out.push_back(k * (n - 1) / 3);
  return out;
}

std::string RenderMap(const HeatMap& map, const std::vector<double>& times,
                      double x, double y) {
  const int64_t n = static_cast<int64_t>(times.size());
  const double cell = kMapSide / static_cast<double>(n);
  const Scale scale = ScaleOf(map);
  std::string out = SvgText(x, y - 26, map.title, kSvgTitle);
  out += SvgText(x, y - 10, map.note, kSvgTick);
  out += SvgRect(x, y, kMapSide, kMapSide, Fill("#f2f2f2"));
  const at::Tensor values = map.values.contiguous();
  const auto at = values.accessor<double, 2>();
  // Smallest time at the left and at the bottom.
  const auto left = [&](int64_t j) { return x + (n - 1 - j) * cell; };
  const auto top = [&](int64_t i) { return y + i * cell; };
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = i + 1; j < n; ++j) {
      out += SvgRect(left(j), top(i), cell + 0.3, cell + 0.3,
                     Fill(ColourAt(map.ratio, scale.Place(at[i][j]))));
    }
  }
  out += SvgRect(x, y, kMapSide, kMapSide, "fill=\"none\" stroke=\"#777\"");
  for (int64_t k : TickIndices(n)) {
    const std::string label = absl::StrFormat("%.2g", times[k]);
    out += SvgText(left(k) + cell / 2, y + kMapSide + 14, label,
                   absl::StrCat(kSvgTick, kSvgMiddle));
    out += SvgText(x - 5, top(k) + cell / 2 + 4, label,
                   absl::StrCat(kSvgTick, kSvgEnd));
  }
  out += SvgText(x + kMapSide / 2, y + kMapSide + 29, "s",
                 absl::StrCat(kSvgLabel, kSvgMiddle));
  out += SvgText(x - 40, y + kMapSide / 2, "t", kSvgLabel);
  return out;
}

}  // namespace

double HeatRowWidth(int64_t maps) { return maps * kMapWidth; }

double HeatRowHeight() { return kMapTop + kMapSide + kMapBelow; }

std::string RenderHeatRow(const HeatRow& row, double y) {
  std::string out =
      SvgText(20, y + 16, row.title, "font-size=\"14\" font-weight=\"bold\"");
  // A scale for the first map of each kind, at the right.
  double scale_x = HeatRowWidth(row.maps.size()) - kScaleWidth - 24;
  bool drawn[2] = {false, false};
  for (size_t k = row.maps.size(); k-- > 0;) {
    const HeatMap& map = row.maps[k];
    if (drawn[map.ratio]) continue;
    drawn[map.ratio] = true;
    out += RenderScale(ScaleOf(map), scale_x, y + 6);
    out +=
        SvgText(scale_x - 18, y + 15, map.ratio ? "relative to ctm" : map.title,
                absl::StrCat(kSvgTick, kSvgEnd));
    scale_x -= kScaleWidth + 150;
  }
  for (size_t k = 0; k < row.maps.size(); ++k) {
    out += RenderMap(row.maps[k], row.times, k * kMapWidth + kMapLeft,
                     y + kMapTop);
  }
  return out;
}

}  // namespace retort::analytic
