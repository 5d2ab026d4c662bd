#include "core/eval/precision_recall.h"

#include <algorithm>
#include <limits>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"

namespace retort::eval {
namespace {

// Distances in one block.
constexpr int64_t kBlockElements = int64_t{1} << 22;

// at::cdist without the expansion into a matrix product.
constexpr int64_t kDifferences = 2;

// Calls body(first, d) for blocks of rows of x, d being the float64 distances
// [rows,y.size(0)] from rows first... of x to all of y.
absl::Status ForBlocks(
    const at::Tensor& x, const at::Tensor& y, const std::function<bool()>& stop,
    const std::function<void(int64_t first, const at::Tensor& d)>& body) {
  const int64_t rows = std::max<int64_t>(1, kBlockElements / y.size(0));
  for (int64_t first = 0; first < x.size(0); first += rows) {
    if (stop && stop()) {
      return absl::CancelledError("precision and recall: stopped");
    }
    const int64_t n = std::min(rows, x.size(0) - first);
    body(first, at::cdist(x.narrow(0, first, n), y, 2.0, kDifferences));
  }
  return absl::OkStatus();
}

// Distance of each row to its k-th nearest neighbour among the others.
absl::StatusOr<at::Tensor> Radii(const at::Tensor& x, int64_t k,
                                 const std::function<bool()>& stop) {
  at::Tensor radii = at::empty({x.size(0)}, at::kDouble);
  RETORT_RETURN_IF_ERROR(
      ForBlocks(x, x, stop, [&](int64_t first, const at::Tensor& d) {
        d.diagonal(first).fill_(std::numeric_limits<double>::infinity());
        radii.narrow(0, first, d.size(0))
            .copy_(std::get<0>(at::kthvalue(d, k, 1)));
      }));
  return radii;
}

}  // namespace

absl::StatusOr<PrecisionRecall> ComputePrecisionRecall(
    const at::Tensor& real, const at::Tensor& generated,
    const PrecisionRecallOptions& options) {
  const int64_t k = options.neighbours;
  if (!real.defined() || !generated.defined() || real.dim() != 2 ||
      generated.dim() != 2 || real.size(1) != generated.size(1)) {
    return absl::InvalidArgumentError(
        "precision and recall: both sets must be [n,d] with the same d");
  }
  if (k < 1 || real.size(0) <= k || generated.size(0) <= k) {
    return absl::InvalidArgumentError(
        absl::StrCat("precision and recall: ", k, " neighbours need at least ",
                     k + 1, " features of each set, and there are ",
                     real.size(0), " real and ", generated.size(0),
                     " generated ones; use more images or fewer "
                     "neighbours"));
  }
  const at::Tensor x = real.to(at::kDouble).contiguous();
  const at::Tensor y = generated.to(at::kDouble).contiguous();
  RETORT_ASSIGN_OR_RETURN(const at::Tensor real_radii,
                          Radii(x, k, options.stop));
  RETORT_ASSIGN_OR_RETURN(const at::Tensor generated_radii,
                          Radii(y, k, options.stop));
  int64_t covered = 0;  // generated ones by real ones
  at::Tensor recalled = at::zeros({x.size(0)}, at::kBool);
  RETORT_RETURN_IF_ERROR(
      ForBlocks(y, x, options.stop, [&](int64_t first, const at::Tensor& d) {
        covered += d.le(real_radii).any(1).sum().item<int64_t>();
        const at::Tensor radii = generated_radii.narrow(0, first, d.size(0));
        recalled.logical_or_(d.le(radii.unsqueeze(1)).any(0));
      }));
  PrecisionRecall result;
  result.precision = static_cast<double>(covered) / y.size(0);
  result.recall = recalled.to(at::kDouble).mean().item<double>();
  return result;
}

}  // namespace retort::eval
