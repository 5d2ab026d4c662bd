#include "core/analytic/grid_interpolation.h"

#include <algorithm>
#include <cmath>

namespace retort::analytic {

GridInterpolation::GridInterpolation(const std::vector<double>& times) {
  for (double t : times) lambda_.push_back(-std::log(t));
}

int64_t GridInterpolation::Interval(double lambda) const {
  const auto above = std::upper_bound(lambda_.begin(), lambda_.end(), lambda);
  const int64_t k = above - lambda_.begin() - 1;
  return std::clamp<int64_t>(k, 0, static_cast<int64_t>(lambda_.size()) - 2);
}

void GridInterpolation::Nodes(double t, double s, Node nodes[4]) const {
  const double lambda_t = -std::log(t), lambda_s = -std::log(s);
  const int64_t i = Interval(lambda_t), j = Interval(lambda_s);
  const double x = (lambda_t - lambda_[i]) / (lambda_[i + 1] - lambda_[i]);
  const double y = (lambda_s - lambda_[j]) / (lambda_[j + 1] - lambda_[j]);
  if (i == j) {
    // Triangle (i,i), (i,i+1), (i+1,i+1): x <= y here.
    nodes[0] = {i, i, 1 - y};
    nodes[1] = {i, i + 1, y - x};
    nodes[2] = {i + 1, i + 1, x};
    nodes[3] = {i, i, 0};
    return;
  }
  nodes[0] = {i, j, (1 - x) * (1 - y)};
  nodes[1] = {i + 1, j, x * (1 - y)};
  nodes[2] = {i, j + 1, (1 - x) * y};
  nodes[3] = {i + 1, j + 1, x * y};
}

}  // namespace retort::analytic
