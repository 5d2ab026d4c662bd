#include "client/image_grid.h"

#include <png.h>

#include <algorithm>
#include <cmath>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace retort::client {
namespace {

absl::Status CheckImage(const Image& image, const Image& first) {
  const bool channels = image.channels == 1 || image.channels == 3;
  const int64_t bytes = image.width * image.height * image.channels;
  if (channels && bytes > 0 && image.width == first.width &&
      image.height == first.height && image.channels == first.channels &&
      static_cast<int64_t>(image.pixels.size()) == bytes) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat("cannot draw an image of ", image.width, "x", image.height,
                   "x", image.channels, " in ", image.pixels.size(), " bytes"));
}

}  // namespace

absl::StatusOr<Image> MakeGrid(const std::vector<Image>& images,
                               int64_t columns, int64_t scale, int64_t pad) {
  if (images.empty()) return absl::InvalidArgumentError("no images to draw");
  const Image& first = images[0];
  const int64_t n = images.size();
  if (columns <= 0) columns = std::ceil(std::sqrt(static_cast<double>(n)));
  columns = std::min(columns, n);
  const int64_t rows = (n + columns - 1) / columns;
  const int64_t c = first.channels;
  Image grid;
  grid.channels = c;
  grid.width = pad + columns * (first.width * scale + pad);
  grid.height = pad + rows * (first.height * scale + pad);
  grid.pixels.assign(grid.width * grid.height * c, '\xff');
  for (int64_t i = 0; i < n; ++i) {
    const absl::Status status = CheckImage(images[i], first);
    if (!status.ok()) return status;
    const int64_t top = pad + i / columns * (first.height * scale + pad);
    const int64_t left = pad + i % columns * (first.width * scale + pad);
    for (int64_t y = 0; y < first.height * scale; ++y) {
      for (int64_t x = 0; x < first.width * scale; ++x) {
        const int64_t from = (y / scale * first.width + x / scale) * c;
        const int64_t to = ((top + y) * grid.width + left + x) * c;
        for (int64_t k = 0; k < c; ++k) {
          grid.pixels[to + k] = images[i].pixels[from + k];
        }
      }
    }
  }
  return grid;
}

absl::StatusOr<std::string> EncodePng(const Image& image) {
  const absl::Status status = CheckImage(image, image);
  if (!status.ok()) return status;
  png_image info = {};
  info.version = PNG_IMAGE_VERSION;
  info.format = image.channels == 1 ? PNG_FORMAT_GRAY : PNG_FORMAT_RGB;
  info.width = image.width;
  info.height = image.height;
  png_alloc_size_t bytes = PNG_IMAGE_PNG_SIZE_MAX(info);
  std::string file(bytes, '\0');
  if (png_image_write_to_memory(&info, file.data(), &bytes, 0,
                                image.pixels.data(), 0, nullptr) == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("cannot encode a PNG image: ", info.message));
  }
  file.resize(bytes);
  return file;
}

}  // namespace retort::client
