#ifndef RETORT_CORE_DATA_FASHION_MNIST_H_
#define RETORT_CORE_DATA_FASHION_MNIST_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "core/data/dataset.h"

namespace retort::data {

enum class Split { kTrain, kTest };

// Where Debian's package dataset-fashion-mnist puts its files.
inline constexpr char kFashionMnistDir[] = "/usr/share/datasets/fashion-mnist";

// Loads 60,000 (train) or 10,000 (test) images of clothes in 10 classes,
// 28x28 padded to 32x32 with black. `dir` holds the four files under their
// published names, {train,t10k}-{images-idx3,labels-idx1}-ubyte.gz, each also
// accepted unzipped without ".gz"; "" means kFashionMnistDir. Another number
// of images is fine as long as images and labels agree: any MNIST-like
// 28x28 set of up to 10 classes loads.
//
// `resolution` is 32, or 16: every 2x2 pixels become their mean, halves
// rounded to even. Other numbers are InvalidArgument.
//
// manifest_hash() is that of the two files as they lie on disk: what
//   sha256sum IMAGES LABELS | sha256sum
// prints when run in `dir`; at 16 pixels, the SHA-256 of that and " 16".
//
// Errors: NotFound, naming the package to install; DataLoss, with file,
// offset, expected and actual value, for a damaged file.
absl::StatusOr<std::unique_ptr<Dataset>> LoadFashionMnist(
    const std::string& dir, Split split, int resolution = 32);

}  // namespace retort::data

#endif  // RETORT_CORE_DATA_FASHION_MNIST_H_
