#include "core/io/png.h"

#include <png.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace retort::io {
namespace {

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
