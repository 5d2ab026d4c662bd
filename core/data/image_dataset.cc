#include "core/data/image_dataset.h"

#include <algorithm>
#include <numeric>
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "core/base/file.h"
#include "core/base/sha256.h"
#include "core/base/status_macros.h"
#include "core/data/file_set.h"
#include "core/data/label_list.h"
#include "core/io/png.h"

namespace retort::data {
namespace {

constexpr int64_t kMaxImageBytes = int64_t{64} << 20;
constexpr int64_t kMaxLabelsBytes = int64_t{1} << 30;
constexpr char kLabelsFile[] = "dataset.json";

// The last extension, in lower case: ".png"; "" for none.
std::string Extension(const std::string& path) {
  const size_t slash = path.rfind('/');
  const std::string name =
      slash == std::string::npos ? path : path.substr(slash + 1);
  const size_t dot = name.rfind('.');
  // A name of dots and an extension alone has none, as in Python.
  if (dot == std::string::npos ||
      name.find_first_not_of('.') == std::string::npos ||
      name.find_first_not_of('.') > dot) {
    return "";
  }
  return absl::AsciiStrToLower(name.substr(dot));
}

bool IsOtherImage(const std::string& extension) {
  static const auto* const kOthers = new std::set<std::string>{
      ".apng", ".avif", ".bmp",  ".dib", ".gif",  ".j2k", ".jfif",
      ".jp2",  ".jpe",  ".jpeg", ".jpg", ".pbm",  ".pgm", ".pnm",
      ".ppm",  ".qoi",  ".tga",  ".tif", ".tiff", ".webp"};
  return kOthers->count(extension) > 0;
}

class ImageDataset : public Dataset {
 public:
  ImageDataset(std::string path, std::unique_ptr<FileSet> files)
      : path_(std::move(path)), files_(std::move(files)) {}

  // In this order, once, before it is used.
  absl::Status FindImages();
  absl::Status CheckFirst(int64_t resolution);
  absl::Status ReadLabels();
  absl::Status HoldImages();

  std::string name() const override { return path_; }
  int64_t size() const override { return images_.size(); }
  int64_t channels() const override { return channels_; }
  int64_t resolution() const override { return resolution_; }
  int64_t label_dim() const override { return label_dim_; }
  std::string manifest_hash() const override;
  absl::Status Get(absl::Span<const int64_t> indices, at::Tensor* images,
                   at::Tensor* labels) const override;

 private:
  const FileEntry& entry(int64_t index) const {
    return files_->entries()[images_[index]];
  }
  // Pixels [H,W,C] of an image of any shape.
  absl::StatusOr<at::Tensor> Decode(int64_t index) const;
  // ... of one of the shape that all must have.
  absl::Status DecodeInto(int64_t index, at::Tensor image) const;
  absl::Status BadImage(int64_t index, absl::string_view what) const {
    return absl::InvalidArgumentError(
        absl::StrCat(path_, ": ", entry(index).name, ": ", what));
  }

  const std::string path_;
  const std::unique_ptr<FileSet> files_;
  std::vector<uint32_t> images_;  // indices of entries
  int64_t channels_ = 0;
  int64_t resolution_ = 0;
  int64_t label_dim_ = 0;
  std::vector<int32_t> labels_;  // empty: none
  at::Tensor held_;              // undefined: decoded on demand
};

absl::Status ImageDataset::FindImages() {
  const std::vector<FileEntry>& entries = files_->entries();
  for (size_t i = 0; i < entries.size(); ++i) {
    const std::string extension = Extension(entries[i].name);
    if (extension == ".png") images_.push_back(i);
    if (IsOtherImage(extension)) {
      return absl::InvalidArgumentError(
          absl::StrCat(path_, ": ", entries[i].name,
                       " is no PNG image, and the data set is read as a "
                       "whole; convert it, with EDM's dataset_tool.py for "
                       "one, or remove it"));
    }
  }
  if (!images_.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(path_, " holds no PNG images (", entries.size(),
                   " files of other types); name a zip file or folder as "
                   "EDM's dataset_tool.py writes them"));
}

absl::StatusOr<at::Tensor> ImageDataset::Decode(int64_t index) const {
  RETORT_ASSIGN_OR_RETURN(const std::string bytes,
                          files_->Read(images_[index], kMaxImageBytes));
  absl::StatusOr<at::Tensor> image = io::DecodePng(bytes);
  if (!image.ok()) return BadImage(index, image.status().message());
  return image;
}

absl::Status ImageDataset::DecodeInto(int64_t index, at::Tensor image) const {
  RETORT_ASSIGN_OR_RETURN(const at::Tensor pixels, Decode(index));
  if (pixels.size(0) != resolution_ || pixels.size(1) != resolution_ ||
      pixels.size(2) != channels_) {
    return BadImage(
        index,
        absl::StrCat("is ", pixels.size(1), "x", pixels.size(0), " with ",
                     pixels.size(2), " channels, but the first image is ",
                     resolution_, "x", resolution_, " with ", channels_,
                     "; all images of a data set must be alike"));
  }
  image.copy_(pixels.permute({2, 0, 1}));
  return absl::OkStatus();
}

absl::Status ImageDataset::CheckFirst(int64_t resolution) {
  RETORT_ASSIGN_OR_RETURN(const at::Tensor first, Decode(0));
  const int64_t height = first.size(0);
  const int64_t width = first.size(1);
  if (height != width) {
    return BadImage(
        0, absl::StrCat("is ", width, "x", height, "; images must be square"));
  }
  if (resolution > 0 && height != resolution) {
    return BadImage(
        0,
        absl::StrCat("is ", width, "x", height, ", not ", resolution, "x",
                     resolution, " as data.resolution says; set it to ", height,
                     ", or convert the images with EDM's "
                     "dataset_tool.py --resolution"));
  }
  resolution_ = height;
  channels_ = first.size(2);
  return absl::OkStatus();
}

absl::Status ImageDataset::ReadLabels() {
  const int64_t file = files_->Find(kLabelsFile);
  if (file < 0) return absl::OkStatus();
  RETORT_ASSIGN_OR_RETURN(const std::string text,
                          files_->Read(file, kMaxLabelsBytes));
  const auto index_of = [this](const std::string& name) -> int64_t {
    const int64_t index = files_->Find(name);
    const auto found = std::lower_bound(images_.begin(), images_.end(), index);
    if (index < 0 || found == images_.end() || *found != index) return -1;
    return found - images_.begin();
  };
  RETORT_ASSIGN_OR_RETURN(
      const std::vector<int64_t> labels,
      ParseLabels(text, absl::StrCat(path_, ": ", kLabelsFile), size(),
                  index_of));
  for (size_t i = 0; i < labels.size(); ++i) {
    if (labels[i] < 0) {
      return BadImage(i,
                      "has no label in dataset.json, which must list every "
                      "image, or have \"labels\": null");
    }
    labels_.push_back(static_cast<int32_t>(labels[i]));
    label_dim_ = std::max(label_dim_, labels[i] + 1);
  }
  return absl::OkStatus();
}

absl::Status ImageDataset::HoldImages() {
  at::Tensor held =
      at::empty({size(), channels_, resolution_, resolution_}, at::kByte);
  for (int64_t i = 0; i < size(); ++i) {
    RETORT_RETURN_IF_ERROR(DecodeInto(i, held.select(0, i)));
  }
  held_ = held;
  return absl::OkStatus();
}

std::string ImageDataset::manifest_hash() const {
  base::Sha256 hash;
  const auto add = [&hash](const FileEntry& e) {
    hash.Update(absl::StrCat(absl::Hex(e.crc, absl::kZeroPad8), " ", e.size,
                             " ", e.name, "\n"));
  };
  for (int64_t i = 0; i < size(); ++i) add(entry(i));
  const int64_t labels = files_->Find(kLabelsFile);
  if (labels >= 0) add(files_->entries()[labels]);
  return hash.HexDigest();
}

absl::Status ImageDataset::Get(absl::Span<const int64_t> indices,
                               at::Tensor* images, at::Tensor* labels) const {
  const auto n = static_cast<int64_t>(indices.size());
  *images = at::empty({n, channels_, resolution_, resolution_}, at::kByte);
  *labels = at::zeros({n}, at::kLong);
  for (int64_t i = 0; i < n; ++i) {
    const int64_t index = indices[i];
    if (index < 0 || index >= size()) {
      return absl::OutOfRangeError(absl::StrCat(
          "index ", index, " is not in [0, ", size(), ") of data set ", path_));
    }
    if (held_.defined()) {
      images->select(0, i).copy_(held_.select(0, index));
    } else {
      RETORT_RETURN_IF_ERROR(DecodeInto(index, images->select(0, i)));
    }
    if (!labels_.empty()) {
      labels->data_ptr<int64_t>()[i] = labels_[index];
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Dataset>> OpenImageDataset(
    const std::string& path, const ImageDatasetOptions& options) {
  if (!base::FileExists(path)) {
    return absl::NotFoundError(absl::StrCat(
        "there is no ", path,
        "; name a zip file or folder of PNG images on the machine that "
        "trains"));
  }
  std::unique_ptr<FileSet> files;
  if (base::IsDirectory(path)) {
    RETORT_ASSIGN_OR_RETURN(files, OpenFolder(path));
  } else {
    RETORT_ASSIGN_OR_RETURN(files, OpenZip(path));
  }
  auto dataset = std::make_unique<ImageDataset>(path, std::move(files));
  RETORT_RETURN_IF_ERROR(dataset->FindImages());
  RETORT_RETURN_IF_ERROR(dataset->CheckFirst(options.resolution));
  RETORT_RETURN_IF_ERROR(dataset->ReadLabels());
  const int64_t side = dataset->resolution();
  if (dataset->size() <=
      options.max_held_bytes / (dataset->channels() * side * side)) {
    RETORT_RETURN_IF_ERROR(dataset->HoldImages());
  }
  std::unique_ptr<Dataset> result = std::move(dataset);
  return result;
}

}  // namespace retort::data
