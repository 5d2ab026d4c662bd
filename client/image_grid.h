#ifndef RETORT_CLIENT_IMAGE_GRID_H_
#define RETORT_CLIENT_IMAGE_GRID_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace retort::client {

// An image of bytes, height x width x channels.
struct Image {
  int64_t width = 0;
  int64_t height = 0;
  int64_t channels = 1;  // 1 (grey) or 3 (RGB)
  std::string pixels;
};

// Lays images of one size out in rows of `columns` (0: the smallest square
// that holds them), `pad` white pixels around and between them, each pixel
// drawn as scale x scale. InvalidArgument when they differ in size or a
// buffer's length does not fit.
absl::StatusOr<Image> MakeGrid(const std::vector<Image>& images,
                               int64_t columns, int64_t scale, int64_t pad = 2);

// Returns a PNG file's bytes.
absl::StatusOr<std::string> EncodePng(const Image& image);

}  // namespace retort::client

#endif  // RETORT_CLIENT_IMAGE_GRID_H_
