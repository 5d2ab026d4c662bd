#ifndef RETORT_CORE_ANALYTIC_GRID_INTERPOLATION_H_
#define RETORT_CORE_ANALYTIC_GRID_INTERPOLATION_H_

#include <cstdint>
#include <vector>

namespace retort::analytic {

// Values on the pairs (t_i, s_j), i <= j, of a decreasing time grid, and how to
// go between them: bilinearly in (lambda_t, lambda_s), lambda = -ln t, and
// linearly in the triangles along the diagonal. A value at (t, s) is a weighted
// sum of up to four nodes; the weights sum to 1 and depend on nothing else.
class GridInterpolation {
 public:
  struct Node {
    int64_t i = 0;
    int64_t j = 0;
    double weight = 0;
  };

  // Two times at least, positive and decreasing.
  explicit GridInterpolation(const std::vector<double>& times);

  // For grid times t >= s, both within the grid. Fills four nodes, some of
  // which may have the weight 0.
  void Nodes(double t, double s, Node nodes[4]) const;

 private:
  // k with lambda_k <= lambda <= lambda_{k+1}.
  int64_t Interval(double lambda) const;

  std::vector<double> lambda_;
};

}  // namespace retort::analytic

#endif  // RETORT_CORE_ANALYTIC_GRID_INTERPOLATION_H_
