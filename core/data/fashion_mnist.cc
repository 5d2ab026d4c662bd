#include "core/data/fashion_mnist.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/file.h"
#include "core/base/sha256.h"
#include "core/base/status_macros.h"
#include "core/data/idx_file.h"
#include "core/data/tensor_dataset.h"

namespace retort::data {
namespace {

constexpr int64_t kImageSize = 28;
constexpr int64_t kPadding = 2;  // 28 + 2 * 2 = 32
constexpr int64_t kClasses = 10;

struct RawFile {
  std::string name;  // without directory
  std::string path;
  std::string bytes;
};

// Reads dir/name.gz or dir/name.
absl::StatusOr<RawFile> ReadRaw(const std::string& dir,
                                const std::string& name) {
  for (const char* suffix : {".gz", ""}) {
    RawFile file;
    file.name = name + suffix;
    file.path = absl::StrCat(dir, "/", file.name);
    auto bytes = base::ReadFile(file.path);
    if (absl::IsNotFound(bytes.status())) continue;
    if (!bytes.ok()) return bytes.status();
    file.bytes = *std::move(bytes);
    return file;
  }
  return absl::NotFoundError(absl::StrCat(
      "there is no ", name, ".gz in ", dir,
      "; install Debian's package dataset-fashion-mnist (apt-get install "
      "dataset-fashion-mnist) or name the directory that holds the four "
      "Fashion-MNIST files"));
}

// The text that sha256sum prints for the two files, hashed.
std::string ManifestHash(const RawFile& images, const RawFile& labels) {
  std::string listing;
  for (const RawFile* file : {&images, &labels}) {
    absl::StrAppend(&listing, base::Sha256Hex(file->bytes), "  ", file->name,
                    "\n");
  }
  return base::Sha256Hex(listing);
}

absl::StatusOr<at::Tensor> DecodeImages(const RawFile& file) {
  RETORT_ASSIGN_OR_RETURN(IdxArray array, ParseIdx(file.bytes, 3, file.path));
  if (array.shape[0] < 1 || array.shape[1] != kImageSize ||
      array.shape[2] != kImageSize) {
    return absl::DataLossError(absl::StrCat(
        file.path, ": at offset 4, expected images of 28x28, found ",
        array.shape[0], " images of ", array.shape[1], "x", array.shape[2],
        "; check that it is Fashion-MNIST's image file"));
  }
  const at::Tensor raw = at::from_blob(
      array.bytes.data(), {array.shape[0], 1, kImageSize, kImageSize},
      at::TensorOptions(at::kByte));
  const int64_t padded = kImageSize + 2 * kPadding;
  at::Tensor images = at::zeros({array.shape[0], 1, padded, padded}, at::kByte);
  images.narrow(2, kPadding, kImageSize)
      .narrow(3, kPadding, kImageSize)
      .copy_(raw);
  return images;
}

absl::StatusOr<at::Tensor> DecodeLabels(const RawFile& file,
                                        int64_t image_count) {
  RETORT_ASSIGN_OR_RETURN(IdxArray array, ParseIdx(file.bytes, 1, file.path));
  if (array.shape[0] != image_count) {
    return absl::DataLossError(
        absl::StrCat(file.path, ": at offset 4, expected ", image_count,
                     " labels, one an image, found ", array.shape[0],
                     "; check that images and labels are of the same set"));
  }
  for (int64_t i = 0; i < image_count; ++i) {
    const int label = static_cast<uint8_t>(array.bytes[i]);
    if (label >= kClasses) {
      return absl::DataLossError(absl::StrCat(
          file.path, ": at offset ", 8 + i, ", expected a label of 0 to ",
          kClasses - 1, ", found ", label, "; fetch the file again"));
    }
  }
  return at::from_blob(array.bytes.data(), {image_count},
                       at::TensorOptions(at::kByte))
      .to(at::kLong);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Dataset>> LoadFashionMnist(
    const std::string& dir, Split split, int resolution) {
  if (resolution != 32 && resolution != 16) {
    return absl::InvalidArgumentError(absl::StrCat(
        "Fashion-MNIST comes at 32 pixels, or at 16; not at ", resolution));
  }
  const std::string from = dir.empty() ? kFashionMnistDir : dir;
  const std::string prefix = split == Split::kTrain ? "train" : "t10k";
  RETORT_ASSIGN_OR_RETURN(const RawFile image_file,
                          ReadRaw(from, prefix + "-images-idx3-ubyte"));
  RETORT_ASSIGN_OR_RETURN(const RawFile label_file,
                          ReadRaw(from, prefix + "-labels-idx1-ubyte"));
  RETORT_ASSIGN_OR_RETURN(at::Tensor images, DecodeImages(image_file));
  RETORT_ASSIGN_OR_RETURN(at::Tensor labels,
                          DecodeLabels(label_file, images.size(0)));
  std::string name =
      split == Split::kTrain ? "fashion-mnist/train" : "fashion-mnist/test";
  std::string hash = ManifestHash(image_file, label_file);
  if (resolution == 16) {
    images = at::avg_pool2d(images.to(at::kFloat), 2).round().to(at::kByte);
    name += "/16";
    hash = base::Sha256Hex(hash + " 16");
  }
  return TensorDataset::Create(std::move(name), std::move(images),
                               std::move(labels), kClasses, std::move(hash));
}

}  // namespace retort::data
