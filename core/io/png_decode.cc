#include <png.h>
#include <setjmp.h>

#include <cstring>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/io/png.h"

namespace retort::io {
namespace {

// libpng reports errors by longjmp, so whatever it may jump over lives here,
// outside of the functions that call it.
struct PngReader {
  absl::string_view rest;
  std::string error;
  png_structp png = nullptr;
  png_infop info = nullptr;

  ~PngReader() { png_destroy_read_struct(&png, &info, nullptr); }
};

void OnPngError(png_structp png, png_const_charp message) {
  static_cast<PngReader*>(png_get_error_ptr(png))->error = message;
  longjmp(png_jmpbuf(png), 1);
}

void OnPngWarning(png_structp, png_const_charp) {}

void ReadPngBytes(png_structp png, png_bytep out, size_t count) {
  auto* reader = static_cast<PngReader*>(png_get_io_ptr(png));
  if (count > reader->rest.size()) png_error(png, "the file is cut off");
  std::memcpy(out, reader->rest.data(), count);
  reader->rest.remove_prefix(count);
}

absl::Status BadPng(absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("not a usable PNG: ", what));
}

// Reads up to the pixels and says how they are to be given.
bool ReadPngHeader(PngReader* r) {
  if (setjmp(png_jmpbuf(r->png))) return false;
  png_set_user_limits(r->png, kMaxPngSide, kMaxPngSide);
  png_set_read_fn(r->png, r, ReadPngBytes);
  png_read_info(r->png, r->info);
  if (png_get_color_type(r->png, r->info) == PNG_COLOR_TYPE_PALETTE) {
    png_set_palette_to_rgb(r->png);
  } else if (png_get_bit_depth(r->png, r->info) < 8) {
    png_set_expand_gray_1_2_4_to_8(r->png);
  }
  png_set_interlace_handling(r->png);
  return true;
}

bool ReadPngPixels(PngReader* r, png_bytepp rows) {
  if (setjmp(png_jmpbuf(r->png))) return false;
  png_read_update_info(r->png, r->info);
  png_read_image(r->png, rows);
  png_read_end(r->png, nullptr);
  return true;
}

}  // namespace

absl::StatusOr<at::Tensor> DecodePng(absl::string_view file) {
  PngReader r;
  r.rest = file;
  r.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &r, OnPngError,
                                 OnPngWarning);
  if (r.png != nullptr) r.info = png_create_info_struct(r.png);
  if (r.info == nullptr) {
    return absl::ResourceExhaustedError("no memory to decode a PNG");
  }
  if (!ReadPngHeader(&r)) return BadPng(r.error);
  const int color = png_get_color_type(r.png, r.info);
  const bool transparent = png_get_valid(r.png, r.info, PNG_INFO_tRNS) != 0;
  if ((color & PNG_COLOR_MASK_ALPHA) != 0 || transparent) {
    return BadPng(
        "it has an alpha channel or transparent colours; save it as grey or "
        "RGB");
  }
  if (png_get_bit_depth(r.png, r.info) > 8) {
    return BadPng("it has 16 bits a channel; save it with 8");
  }
  const int64_t height = png_get_image_height(r.png, r.info);
  const int64_t width = png_get_image_width(r.png, r.info);
  const int64_t channels = (color & PNG_COLOR_MASK_COLOR) != 0 ? 3 : 1;
  at::Tensor image = at::empty({height, width, channels}, at::kByte);
  std::vector<png_bytep> rows(height);
  for (int64_t y = 0; y < height; ++y) {
    rows[y] = image.data_ptr<uint8_t>() + y * width * channels;
  }
  if (!ReadPngPixels(&r, rows.data())) return BadPng(r.error);
  return image;
}

}  // namespace retort::io
