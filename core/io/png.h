#ifndef RETORT_CORE_IO_PNG_H_
#define RETORT_CORE_IO_PNG_H_

#include <ATen/ATen.h>

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

namespace retort::io {

// Returns model output, floats with [-1, 1] as the nominal range, as uint8:
// clip(127.5 x + 128, 0, 255) with the fraction cut off, which is what EDM's
// generate.py does, so that byte-exact comparisons hold. NaN becomes 0.
at::Tensor ToUint8(const at::Tensor& x);

// Returns a PNG file's bytes for a uint8 image on any device: [H,W] and
// [H,W,1] grey, [H,W,3] RGB, [H,W,4] RGBA. InvalidArgument for any other
// shape or dtype.
absl::StatusOr<std::string> EncodePng(const at::Tensor& image);

}  // namespace retort::io

#endif  // RETORT_CORE_IO_PNG_H_
