#include "core/distill/distance.h"

#include <ATen/ATen.h>

#include <cmath>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"

namespace retort::distill {
namespace {

constexpr char kLpips[] = "lpips";

class L1Distance : public Distance {
 public:
  at::Tensor PerSample(const at::Tensor& a,
                       const at::Tensor& b) const override {
    return (a - b).abs().flatten(1).mean(1);
  }
  std::string name() const override { return "l1"; }
};

class L2Distance : public Distance {
 public:
  at::Tensor PerSample(const at::Tensor& a,
                       const at::Tensor& b) const override {
    return (a - b).square().flatten(1).mean(1);
  }
  std::string name() const override { return "l2"; }
};

class PseudoHuberDistance : public Distance {
 public:
  explicit PseudoHuberDistance(double c) : c_(c) {}

  at::Tensor PerSample(const at::Tensor& a,
                       const at::Tensor& b) const override {
    const double d = static_cast<double>(a[0].numel());
    const double c = c_ > 0 ? c_ : 0.00054 * std::sqrt(d);
    // iCT, Eq. 8: sqrt(|a - b|^2 + c^2) - c.
    return ((a - b).square().flatten(1).sum(1) + c * c).sqrt() - c;
  }
  std::string name() const override { return "pseudo-huber"; }

 private:
  const double c_;
};

// Compares what another distance compares, after mapping to [0, 1] and
// resizing. Resizing is linear, so the order of the two does not matter.
class PreparedDistance : public Distance {
 public:
  PreparedDistance(std::shared_ptr<const Distance> inner,
                   const DistanceOptions& options)
      : inner_(std::move(inner)),
        resize_(options.resize),
        unit_range_(options.unit_range) {}

  at::Tensor PerSample(const at::Tensor& a,
                       const at::Tensor& b) const override {
    return inner_->PerSample(Prepare(a), Prepare(b));
  }
  absl::Status CheckImages(int64_t channels, int64_t side) const override {
    return inner_->CheckImages(channels, resize_ > 0 ? resize_ : side);
  }
  std::string name() const override { return inner_->name(); }

 private:
  at::Tensor Prepare(const at::Tensor& x) const {
    at::Tensor y = unit_range_ ? (x + 1) / 2 : x;
    if (resize_ == 0) return y;
    return at::upsample_bilinear2d(y, {resize_, resize_},
                                   /*align_corners=*/false);
  }

  const std::shared_ptr<const Distance> inner_;
  const int64_t resize_;
  const bool unit_range_;
};

std::shared_ptr<const Distance> MakePlain(const DistanceOptions& options) {
  if (options.name == "l1") return std::make_shared<L1Distance>();
  if (options.name == "l2") return std::make_shared<L2Distance>();
  if (options.name == "pseudo-huber") {
    return std::make_shared<PseudoHuberDistance>(options.huber_c);
  }
  return nullptr;
}

}  // namespace

absl::Status DistanceOptions::Validate() const {
  if (resize < 0 || !(huber_c >= 0)) {
    return absl::InvalidArgumentError(
        absl::StrCat("distance: resize (", resize, ") and huber_c (", huber_c,
                     ") must not be negative; 0 means their default"));
  }
  if (name == kLpips || MakePlain(*this) != nullptr) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("distance: \"", name,
                   "\" is unknown; use l1, l2, pseudo-huber or lpips"));
}

absl::StatusOr<std::shared_ptr<const Distance>> MakeDistance(
    const DistanceOptions& options,
    std::shared_ptr<const Distance> perceptual) {
  RETORT_RETURN_IF_ERROR(options.Validate());
  if ((options.name == kLpips) != (perceptual != nullptr)) {
    return absl::InvalidArgumentError(
        absl::StrCat("distance: ", options.name,
                     perceptual == nullptr ? " needs" : " has no",
                     " weights; only lpips has any"));
  }
  std::shared_ptr<const Distance> inner =
      perceptual != nullptr ? std::move(perceptual) : MakePlain(options);
  if (options.resize == 0 && !options.unit_range) return inner;
  return std::make_shared<const PreparedDistance>(std::move(inner), options);
}

}  // namespace retort::distill
