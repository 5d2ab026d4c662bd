#ifndef RETORT_CORE_DISTILL_DISTANCE_H_
#define RETORT_CORE_DISTILL_DISTANCE_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace retort::distill {

// How far two batches of images are apart, one number per image. Stateless and
// thread-safe; differentiable in both arguments.
class Distance {
 public:
  virtual ~Distance() = default;

  // Returns [n] for a, b [n, c, h, w], in their dtype.
  virtual at::Tensor PerSample(const at::Tensor& a,
                               const at::Tensor& b) const = 0;

  // InvalidArgument, with what to do, for images of a shape that it cannot
  // compare.
  virtual absl::Status CheckImages(int64_t /*channels*/,
                                   int64_t /*side*/) const {
    return absl::OkStatus();
  }

  // The name that MakeDistance() takes.
  virtual std::string name() const = 0;
};

struct DistanceOptions {
  // "l1": mean |a-b|; "l2": mean (a-b)^2; "pseudo-huber": below; "lpips": the
  // one that MakeDistance() is given (core/distill/lpips.h).
  std::string name = "pseudo-huber";

  // The c of pseudo-Huber; 0 means 0.00054 sqrt(d) for images of d numbers,
  // which is Song & Dhariwal 2023 (iCT), section 3.3.
  double huber_c = 0;

  // Side to which both images are resized (bilinear) before they are compared;
  // 0 means as they are. 224 is what the CTM authors do before LPIPS.
  int64_t resize = 0;

  // Maps both images from [-1, 1] to [0, 1] first, as the CTM authors do. Not
  // for plain training: it only scales the plain distances.
  bool unit_range = false;

  // "lpips" only: what a resumed run must agree on. SHA-256 of the files of the
  // weights, and whether pooling layers take means.
  std::string backbone_sha256 = "";
  std::string heads_sha256 = "";
  bool mean_pooling = true;

  // InvalidArgument for an unknown name or a negative number, with what is
  // known.
  absl::Status Validate() const;
};

// Returns the distance that `options` describe; of "lpips" `perceptual` is the
// distance of images that are resized and mapped already. Errors: those of
// Validate(); InvalidArgument for "lpips" without a `perceptual`, and for
// another name with one.
absl::StatusOr<std::shared_ptr<const Distance>> MakeDistance(
    const DistanceOptions& options,
    std::shared_ptr<const Distance> perceptual = nullptr);

}  // namespace retort::distill

#endif  // RETORT_CORE_DISTILL_DISTANCE_H_
