#include "tests/support/small_fashion_mnist.h"

#include <zlib.h>

#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "core/base/check.h"

namespace retort::testing {
namespace {

// Copies the first `count` items of `item_bytes` bytes, and says so in the
// header (big-endian, at offset 4).
void CutIdx(const std::string& name, const std::string& dir, int header_bytes,
            int item_bytes, int count) {
  const std::string path = absl::StrCat(kFashionMnist, "/", name, ".gz");
  gzFile file = gzopen(path.c_str(), "rb");
  RETORT_CHECK(file != nullptr, "install dataset-fashion-mnist");
  std::string bytes(header_bytes + item_bytes * count, '\0');
  const int got = gzread(file, bytes.data(), bytes.size());
  gzclose(file);
  RETORT_CHECK(got == static_cast<int>(bytes.size()));
  for (int i = 0; i < 4; ++i) {
    bytes[4 + i] = static_cast<char>(count >> (24 - 8 * i));
  }
  std::ofstream(dir + "/" + name, std::ios::binary) << bytes;
}

}  // namespace

void WriteSmallFashionMnist(const std::string& dir, int train_images,
                            int test_images) {
  constexpr int kPixels = 28 * 28;
  std::filesystem::create_directories(dir);
  CutIdx("train-images-idx3-ubyte", dir, 16, kPixels, train_images);
  CutIdx("train-labels-idx1-ubyte", dir, 8, 1, train_images);
  CutIdx("t10k-images-idx3-ubyte", dir, 16, kPixels, test_images);
  CutIdx("t10k-labels-idx1-ubyte", dir, 8, 1, test_images);
}

}  // namespace retort::testing
