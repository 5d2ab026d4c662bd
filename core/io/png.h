#ifndef RETORT_CORE_IO_PNG_H_
#define RETORT_CORE_IO_PNG_H_

#include <ATen/ATen.h>

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace retort::io {

// Returns model output, floats with [-1, 1] as the nominal range, as uint8:
// clip(127.5 x + 128, 0, 255) with the fraction cut off, which is what EDM's
// generate.py does, so that byte-exact comparisons hold. NaN becomes 0.
at::Tensor ToUint8(const at::Tensor& x);

// Returns a PNG file's bytes for a uint8 image on any device: [H,W] and
// [H,W,1] grey, [H,W,3] RGB, [H,W,4] RGBA. InvalidArgument for any other
// shape or dtype.
absl::StatusOr<std::string> EncodePng(const at::Tensor& image);

// Largest height and width that DecodePng() takes.
inline constexpr int64_t kMaxPngSide = 8192;

// Returns the pixels of a PNG file of 8 bits or less a channel as uint8
// [H,W,C], C 1 for grey and 3 for RGB; palettes are looked up, and gamma and
// colour profiles ignored, as PIL and pyspng do. Memory is bounded by the size
// that the header names, which is checked first. InvalidArgument, without a
// file's name, for a file that is no PNG, is broken or cut off, is larger than
// kMaxPngSide, or has alpha or 16 bits a channel.
absl::StatusOr<at::Tensor> DecodePng(absl::string_view file);

}  // namespace retort::io

#endif  // RETORT_CORE_IO_PNG_H_
