#include "core/data/augment.h"

#include <ATen/core/grad_mode.h>

#include <cmath>
#include <utility>
#include <vector>

#include "core/base/check.h"
#include "core/data/warp.h"
#include "core/math/counter_random.h"

namespace retort::data {
namespace {

using math::RandomStream;

// Columns of the uniforms after the gates, which come first, in the order of
// the operations; and of the normals. They are part of what a seed means.
enum UniformColumn {
  kXflipColumn = kAugmentOps,
  kYflipColumn,
  kRotateIntColumn,
  kTranslateIntColumn,  // and the next
  kRotateFracColumn = kTranslateIntColumn + 2,
  kAnisoAngleColumn,
  kAnisoGateColumn,
  kLumaflipColumn,
  kHueColumn,
  kUniformColumns,
};
enum NormalColumn {
  kScaleColumn,
  kAnisoColumn,
  kTranslateFracColumn,  // and the next
  kBrightnessColumn = kTranslateFracColumn + 2,
  kContrastColumn,
  kSaturationColumn,
  kNormalColumns,
};

// [n, 1, 1, 1]
at::Tensor PerImage(const at::Tensor& v) { return v.view({-1, 1, 1, 1}); }

// [n, 2, 2] or [n, 3, 3] from its elements [n], row by row.
at::Tensor Matrices(const std::vector<at::Tensor>& elements) {
  const int64_t side = elements.size() == 4 ? 2 : 3;
  return at::stack(elements, 1).view({-1, side, side});
}

AffineMaps Linear(const at::Tensor& matrices) {
  return {matrices, at::zeros({matrices.size(0), 2}, at::kDouble)};
}

// x and y each by a factor.
AffineMaps Scaling(const at::Tensor& x, const at::Tensor& y) {
  const at::Tensor zero = at::zeros_like(x);
  return Linear(Matrices({x, zero, zero, y}));
}

AffineMaps Rotation(const at::Tensor& angle) {
  const at::Tensor c = angle.cos(), s = angle.sin();
  return Linear(Matrices({c, -s, s, c}));
}

// Indices that an axis of n pixels shows at `at` - shift, reflected at its ends
// without repeating the end; int64 [images, n].
at::Tensor ReflectedIndices(int64_t n, const at::Tensor& shift) {
  const at::Tensor at = at::arange(n, at::kLong) - shift.unsqueeze(1);
  return (n - 1) - ((n - 1) - at.remainder(2 * n - 2)).abs();
}

// One pass over a batch: images, labels, and the transformations gathered so
// far. Letters are w for what an operation draws.
class Pass {
 public:
  Pass(const AugmentOptions& options, const at::Tensor& images,
       const AugmentDraws& draws)
      : options_(options),
        draws_(draws),
        images_(images),
        n_(images.size(0)),
        map_(AffineMaps::Identity(n_)),
        color_(at::eye(3, at::kDouble).expand({n_, 3, 3})),
        lift_(at::zeros({n_, 3}, at::kDouble)) {}

  Augmented Run() {
    Flips();
    RotateInt();
    TranslateInt();
    Scale();
    RotateFrac();
    Aniso();
    TranslateFrac();
    if (warps_) images_ = Warp(images_, map_);
    Brightness();
    Contrast();
    Lumaflip();
    Hue();
    Saturation();
    if (recolors_) Recolor();
    at::Tensor labels = labels_.empty() ? at::zeros({n_, 0}, at::kDouble)
                                        : at::stack(labels_, 1);
    return {images_, labels.to(images_.options())};
  }

 private:
  bool Has(AugmentOp op) const { return options_[op] > 0; }

  // `value`, [n] or [2, n], where the operation fires; 0 elsewhere.
  at::Tensor Fired(AugmentOp op, const at::Tensor& value) const {
    const at::Tensor fires =
        draws_[op].gate < options_[op] * options_.probability;
    return at::where(fires, value, at::zeros_like(value));
  }
  at::Tensor Fired(AugmentOp op) const { return Fired(op, draws_[op].value); }
  // The same for a uniform number, mapped to [-1, 1).
  at::Tensor FiredSigned(AugmentOp op) const {
    return Fired(op, draws_[op].value * 2 - 1);
  }

  void Label(const at::Tensor& v) { labels_.push_back(v.to(at::kDouble)); }

  void FlipWhere(const at::Tensor& which, int64_t axis) {
    images_ = at::where(PerImage(which), images_.flip(axis), images_);
  }

  void Flips() {
    for (const auto& [op, axis] : {std::make_pair(AugmentOp::kXflip, 3),
                                   std::make_pair(AugmentOp::kYflip, 2)}) {
      if (!Has(op)) continue;
      const at::Tensor w = Fired(op);
      FlipWhere(w == 1, axis);
      Label(w);
    }
  }

  void RotateInt() {
    if (!Has(AugmentOp::kRotateInt)) return;
    RETORT_CHECK(images_.size(2) == images_.size(3));
    const at::Tensor w = Fired(AugmentOp::kRotateInt);
    const at::Tensor x = (w == 1).logical_or(w == 2);
    const at::Tensor y = (w == 2).logical_or(w == 3);
    FlipWhere(x, 3);
    FlipWhere(y, 2);
    images_ = at::where(PerImage(x != y), images_.transpose(2, 3), images_);
    Label(x);
    Label(y);
  }

  void TranslateInt() {
    if (!Has(AugmentOp::kTranslateInt)) return;
    const int64_t h = images_.size(2), w = images_.size(3);
    const double max_x = w * options_.translate_int_max;
    const double max_y = h * options_.translate_int_max;
    const at::Tensor share = FiredSigned(AugmentOp::kTranslateInt);
    const at::Tensor x = (share[0] * max_x).round();
    const at::Tensor y = (share[1] * max_y).round();
    // Right, and up.
    const at::Tensor columns = ReflectedIndices(w, x.to(at::kLong));
    const at::Tensor rows = ReflectedIndices(h, -y.to(at::kLong));
    images_ = images_.gather(3, columns.view({n_, 1, 1, w}).expand_as(images_));
    images_ = images_.gather(2, rows.view({n_, 1, h, 1}).expand_as(images_));
    Label(x / max_x);
    Label(y / max_y);
  }

  // What is done to the image goes, inverted, before the look-ups so far.
  void Look(const AffineMaps& where) {
    map_ = map_.After(where);
    warps_ = true;
  }

  void Scale() {
    if (!Has(AugmentOp::kScale)) return;
    const at::Tensor w = Fired(AugmentOp::kScale);
    const at::Tensor shrink = (-w * options_.scale_std).exp2();
    Look(Scaling(shrink, shrink));
    Label(w);
  }

  void RotateFrac() {
    if (!Has(AugmentOp::kRotateFrac)) return;
    const at::Tensor angle =
        FiredSigned(AugmentOp::kRotateFrac) * (M_PI * options_.rotate_frac_max);
    Look(Rotation(angle));
    Label(angle.cos() - 1);
    Label(angle.sin());
  }

  void Aniso() {
    if (!Has(AugmentOp::kAniso)) return;
    const at::Tensor w = Fired(AugmentOp::kAniso);
    const at::Tensor angle =
        at::where(draws_.aniso_gate < options_.aniso_rotate_prob,
                  (draws_.aniso_angle * 2 - 1) * M_PI, at::zeros_like(w));
    const at::Tensor s = (w * options_.aniso_std).exp2();
    Look(Rotation(-angle));
    Look(Scaling(1 / s, s));
    Look(Rotation(angle));
    Label(w * angle.cos());
    Label(w * angle.sin());
  }

  void TranslateFrac() {
    if (!Has(AugmentOp::kTranslateFrac)) return;
    const at::Tensor w = Fired(AugmentOp::kTranslateFrac);
    const double std_dev = options_.translate_frac_std;
    AffineMaps shift = AffineMaps::Identity(n_);
    shift.offset = at::stack({-w[0] * (images_.size(3) * std_dev),
                              -w[1] * (images_.size(2) * std_dev)},
                             1);
    Look(shift);
    Label(w[0]);
    Label(w[1]);
  }

  // Colours c become matrices c + lift, after what was gathered before.
  void Color(const at::Tensor& matrices) {
    color_ = matrices.matmul(color_);
    lift_ = matrices.matmul(lift_.unsqueeze(2)).squeeze(2);
    recolors_ = true;
  }

  // The projection on the luma axis, (1, 1, 1)/sqrt(3).
  static at::Tensor Luma() { return at::full({3, 3}, 1.0 / 3, at::kDouble); }
  static at::Tensor Eye() { return at::eye(3, at::kDouble); }

  void Brightness() {
    if (!Has(AugmentOp::kBrightness)) return;
    const at::Tensor w = Fired(AugmentOp::kBrightness);
    lift_ = lift_ + (w * options_.brightness_std).unsqueeze(1);
    recolors_ = true;
    Label(w);
  }

  void Contrast() {
    if (!Has(AugmentOp::kContrast)) return;
    const at::Tensor w = Fired(AugmentOp::kContrast);
    Color(Eye() * (w * options_.contrast_std).exp2().view({n_, 1, 1}));
    Label(w);
  }

  void Lumaflip() {
    if (!Has(AugmentOp::kLumaflip)) return;
    const at::Tensor w = Fired(AugmentOp::kLumaflip);
    Color(Eye() - 2 * Luma() * w.view({n_, 1, 1}));
    Label(w);
  }

  void Hue() {
    if (!Has(AugmentOp::kHue)) return;
    const at::Tensor angle =
        FiredSigned(AugmentOp::kHue) * (M_PI * options_.hue_max);
    const at::Tensor c = angle.cos(), s = angle.sin();
    // Rodrigues: P + cos (1 - P) + sin [v]x, v the luma axis.
    const double v = 1 / std::sqrt(3.0);
    const at::Tensor cross =
        at::tensor(std::vector<double>{0, -v, v, v, 0, -v, -v, v, 0},
                   at::kDouble)
            .view({3, 3});
    Color(Luma() + (Eye() - Luma()) * c.view({n_, 1, 1}) +
          cross * s.view({n_, 1, 1}));
    Label(c - 1);
    Label(s);
  }

  void Saturation() {
    if (!Has(AugmentOp::kSaturation)) return;
    const at::Tensor w = Fired(AugmentOp::kSaturation);
    Color(Luma() + (Eye() - Luma()) *
                       (w * options_.saturation_std).exp2().view({n_, 1, 1}));
    Label(w);
  }

  // A grey image is one of three equal channels, of which the mean is kept.
  void Recolor() {
    const int64_t c = images_.size(1);
    RETORT_CHECK(c == 1 || c == 3);
    at::Tensor matrices = color_, lift = lift_.unsqueeze(2);
    if (c == 1) {
      matrices = matrices.mean(1, true).sum(2, true);
      lift = lift.mean(1, true);
    }
    images_ = (matrices.to(images_.options()).matmul(images_.flatten(2)) +
               lift.to(images_.options()))
                  .view(images_.sizes());
  }

  const AugmentOptions& options_;
  const AugmentDraws& draws_;
  at::Tensor images_;
  const int64_t n_;
  std::vector<at::Tensor> labels_;  // float64 [n] each
  AffineMaps map_;                  // where pixels look
  bool warps_ = false;
  at::Tensor color_, lift_;  // float64 [n, 3, 3] and [n, 3]
  bool recolors_ = false;
};

}  // namespace

AugmentOptions EdmAugmentation(double probability) {
  AugmentOptions options;
  options.probability = probability;
  options[AugmentOp::kXflip] = 1e8;
  for (const AugmentOp op :
       {AugmentOp::kYflip, AugmentOp::kScale, AugmentOp::kRotateFrac,
        AugmentOp::kAniso, AugmentOp::kTranslateFrac}) {
    options[op] = 1;
  }
  return options;
}

int64_t AugmentLabelDim(const AugmentOptions& options) {
  int64_t dim = 0;
  for (int i = 0; i < kAugmentOps; ++i) {
    if (options.multiplier[i] <= 0) continue;
    switch (static_cast<AugmentOp>(i)) {
      case AugmentOp::kRotateInt:
      case AugmentOp::kTranslateInt:
      case AugmentOp::kRotateFrac:
      case AugmentOp::kAniso:
      case AugmentOp::kTranslateFrac:
      case AugmentOp::kHue:
        dim += 2;
        break;
      default:
        dim += 1;
    }
  }
  return dim;
}

const char* AugmentOpName(AugmentOp op) {
  static constexpr std::array<const char*, kAugmentOps> kNames = {
      "xflip",       "yflip", "rotate_int",     "translate_int", "scale",
      "rotate_frac", "aniso", "translate_frac", "brightness",    "contrast",
      "lumaflip",    "hue",   "saturation"};
  return kNames[static_cast<int>(op)];
}

AugmentDraws DrawAugment(uint64_t seed, int64_t step,
                         absl::Span<const int64_t> samples) {
  const at::Tensor u = math::UniformPerSample(
                           math::MakeStream(seed, RandomStream::kAugment, step),
                           samples, kUniformColumns)
                           .t();
  const at::Tensor z =
      math::NormalPerSample(
          math::MakeStream(seed, RandomStream::kAugmentNormal, step), samples,
          {kNormalColumns})
          .to(at::kDouble)
          .t();
  AugmentDraws draws;
  for (int i = 0; i < kAugmentOps; ++i) draws.of[i].gate = u[i];
  draws[AugmentOp::kXflip].value = (u[kXflipColumn] * 2).floor();
  draws[AugmentOp::kYflip].value = (u[kYflipColumn] * 2).floor();
  draws[AugmentOp::kRotateInt].value = (u[kRotateIntColumn] * 4).floor();
  draws[AugmentOp::kTranslateInt].value = u.narrow(0, kTranslateIntColumn, 2);
  draws[AugmentOp::kScale].value = z[kScaleColumn];
  draws[AugmentOp::kRotateFrac].value = u[kRotateFracColumn];
  draws[AugmentOp::kAniso].value = z[kAnisoColumn];
  draws.aniso_angle = u[kAnisoAngleColumn];
  draws.aniso_gate = u[kAnisoGateColumn];
  draws[AugmentOp::kTranslateFrac].value = z.narrow(0, kTranslateFracColumn, 2);
  draws[AugmentOp::kBrightness].value = z[kBrightnessColumn];
  draws[AugmentOp::kContrast].value = z[kContrastColumn];
  draws[AugmentOp::kLumaflip].value = (u[kLumaflipColumn] * 2).floor();
  draws[AugmentOp::kHue].value = u[kHueColumn];
  draws[AugmentOp::kSaturation].value = z[kSaturationColumn];
  return draws;
}

Augmented Augment(const AugmentOptions& options, const at::Tensor& images,
                  const AugmentDraws& draws) {
  at::NoGradGuard no_grad;
  return Pass(options, images, draws).Run();
}

}  // namespace retort::data
