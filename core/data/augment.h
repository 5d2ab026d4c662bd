#ifndef RETORT_CORE_DATA_AUGMENT_H_
#define RETORT_CORE_DATA_AUGMENT_H_

#include <ATen/ATen.h>

#include <array>
#include <cstdint>

#include "absl/types/span.h"

// EDM's augmentation of training images, told to the network by labels so that
// it does not leak into what is generated (Karras et al. 2022, appendix F.2),
// with the operations of StyleGAN2-ADA (Karras et al. 2020, appendix B).
//
//   AugmentOptions options = EdmAugmentation(0.12);
//   Augmented a = Augment(options, images,
//                         DrawAugment(seed, stream_step, samples));
namespace retort::data {

// The operations, in the order in which they are done, drawn and labelled.
enum class AugmentOp {
  kXflip,         // mirror, with probability 1/2 where it fires; label 0 or 1
  kYflip,         // upside down; likewise
  kRotateInt,     // quarter turns; labels: x flipped, y flipped (of the way
                  // it is done: flips, then x and y exchanged)
  kTranslateInt,  // whole pixels, reflected at the edge; labels: two shares of
                  // the largest
  kScale,         // isotropic, 2^(std w); label w
  kRotateFrac,    // any angle; labels cos - 1, sin
  kAniso,         // 2^(std w) along an axis, 2^(-std w) across; labels: w times
                  // the axis' cosine and sine
  kTranslateFrac,  // any offset; labels: two, in std
  kBrightness,     // adds std w; label w
  kContrast,       // 2^(std w); label w
  kLumaflip,       // luma mirrored, with probability 1/2; label 0 or 1
  kHue,            // turned around the luma axis; labels cos - 1, sin
  kSaturation,     // 2^(std w); label w
};
inline constexpr int kAugmentOps = 13;

struct AugmentOptions {
  // An operation fires with min(1, probability * multiplier); one whose
  // multiplier is 0 does not exist, and has no labels.
  double probability = 1;
  std::array<double, kAugmentOps> multiplier = {};

  double translate_int_max = 0.125;   // of the image's side
  double scale_std = 0.2;             // of the base-2 logarithm
  double rotate_frac_max = 1;         // 1: any angle
  double aniso_std = 0.2;             // of the base-2 logarithm
  double aniso_rotate_prob = 0.5;     // that the axis is any, not x
  double translate_frac_std = 0.125;  // of the image's side
  double brightness_std = 0.2;
  double contrast_std = 0.5;  // of the base-2 logarithm
  double hue_max = 1;         // 1: any angle
  double saturation_std = 1;  // of the base-2 logarithm

  double& operator[](AugmentOp op) { return multiplier[static_cast<int>(op)]; }
  double operator[](AugmentOp op) const {
    return multiplier[static_cast<int>(op)];
  }
};

// EDM's: mirror images always (half of them), and with `probability` each of
// y-flip, scale, rotation, anisotropic scale and translation. Nine labels.
AugmentOptions EdmAugmentation(double probability);

// Numbers in a label.
int64_t AugmentLabelDim(const AugmentOptions& options);

// "xflip", "rotate_int", ...: EDM's names.
const char* AugmentOpName(AugmentOp op);

// What is random about an operation, for n images.
struct AugmentDraw {
  // float64 [n], or [2, n] for translations. Flips: 0 or 1; kRotateInt: 0 to 3;
  // kTranslateInt, kRotateFrac, kHue: uniform in [0, 1); the others: normal.
  at::Tensor value;
  at::Tensor gate;  // float64 [n], uniform in [0, 1): fires if small enough
};

struct AugmentDraws {
  std::array<AugmentDraw, kAugmentOps> of;
  at::Tensor aniso_angle;  // float64 [n], uniform in [0, 1)
  at::Tensor aniso_gate;   // float64 [n], uniform: whether the angle is used

  AugmentDraw& operator[](AugmentOp op) { return of[static_cast<int>(op)]; }
  const AugmentDraw& operator[](AugmentOp op) const {
    return of[static_cast<int>(op)];
  }
};

// Row i is a function of (seed, step, samples[i]) alone, whatever operations
// exist.
AugmentDraws DrawAugment(uint64_t seed, int64_t step,
                         absl::Span<const int64_t> samples);

struct Augmented {
  at::Tensor images;  // as they came
  at::Tensor labels;  // [n, AugmentLabelDim()], the images' dtype; zeros where
                      // nothing was done
};

// Augments images [n, c, h, w] of a floating dtype, in [-1, 1] (the result may
// leave it). Operations on colours need 1 or 3 channels, kRotateInt square
// images; CHECKed. Draws of operations that do not exist may be undefined. The
// angles and factors are computed in float64.
Augmented Augment(const AugmentOptions& options, const at::Tensor& images,
                  const AugmentDraws& draws);

}  // namespace retort::data

#endif  // RETORT_CORE_DATA_AUGMENT_H_
