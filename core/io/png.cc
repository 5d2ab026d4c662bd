#include "core/io/png.h"

#include <png.h>

#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/check.h"

namespace retort::io {
namespace {

constexpr uint8_t kWhite = 255;

// Returns the libpng format for a number of channels; -1 if there is none.
int PngFormat(int64_t channels) {
  switch (channels) {
    case 1:
      return PNG_FORMAT_GRAY;
    case 3:
      return PNG_FORMAT_RGB;
    case 4:
      return PNG_FORMAT_RGBA;
    default:
      return -1;
  }
}

}  // namespace

at::Tensor ToUint8(const at::Tensor& x) {
  return at::nan_to_num(x * 127.5 + 128, /*nan=*/0.0)
      .clamp(0, 255)
      .to(at::kByte);
}

at::Tensor ImageGrid(const at::Tensor& images, int64_t cols, int64_t pad) {
  RETORT_CHECK(images.dim() == 4 && images.scalar_type() == at::kByte);
  const int64_t n = images.size(0), c = images.size(1);
  const int64_t h = images.size(2), w = images.size(3);
  RETORT_CHECK(n > 0 && h > 0 && w > 0 && (c == 1 || c == 3) && pad >= 0);
  if (cols <= 0) cols = std::ceil(std::sqrt(static_cast<double>(n)));
  const int64_t rows = (n + cols - 1) / cols;
  at::Tensor grid =
      at::full({c, pad + rows * (h + pad), pad + cols * (w + pad)}, kWhite,
               images.options().device(at::kCPU));
  for (int64_t i = 0; i < n; ++i) {
    grid.narrow(1, pad + i / cols * (h + pad), h)
        .narrow(2, pad + i % cols * (w + pad), w)
        .copy_(images[i]);
  }
  return c == 1 ? grid[0] : grid.permute({1, 2, 0}).contiguous();
}

absl::StatusOr<std::string> EncodePng(const at::Tensor& image) {
  const bool shaped = image.defined() && image.numel() > 0 &&
                      (image.dim() == 2 || image.dim() == 3);
  const int format =
      shaped ? PngFormat(image.dim() == 2 ? 1 : image.size(2)) : -1;
  if (format < 0 || image.scalar_type() != at::kByte) {
    return absl::InvalidArgumentError(absl::StrCat(
        "a PNG image must be uint8 [H,W] or [H,W,C] with C 1, 3 or 4, not ",
        image.defined() ? absl::StrCat(c10::toString(image.scalar_type()), " [",
                                       absl::StrJoin(image.sizes(), ","), "]")
                        : "undefined"));
  }
  const at::Tensor plain = image.to(at::kCPU).contiguous();
  png_image info = {};
  info.version = PNG_IMAGE_VERSION;
  info.format = format;
  info.height = plain.size(0);
  info.width = plain.size(1);
  png_alloc_size_t bytes = PNG_IMAGE_PNG_SIZE_MAX(info);
  std::string file(bytes, '\0');
  if (png_image_write_to_memory(&info, file.data(), &bytes,
                                /*convert_to_8bit=*/0, plain.data_ptr(),
                                /*row_stride=*/0, nullptr) == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("cannot encode a PNG image: ", info.message));
  }
  file.resize(bytes);
  return file;
}

}  // namespace retort::io
