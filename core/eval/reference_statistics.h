#ifndef RETORT_CORE_EVAL_REFERENCE_STATISTICS_H_
#define RETORT_CORE_EVAL_REFERENCE_STATISTICS_H_

#include <ATen/ATen.h>

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/data/dataset.h"
#include "core/eval/feature_extractor.h"
#include "core/eval/feature_statistics.h"

// What generated images are compared with: the features of real ones. With this
// project's own small classifier and Fashion-MNIST's training images the
// Frechet distance is FD-FMNIST. It is not FID, whose features are Inception's,
// and compares with other FD-FMNIST values of the same extractor only.
//
//   ReferenceOptions options;
//   options.cache_dir = dir;
//   ComputeReferenceStatistics(extractor, train, options)      // once
//   AddImages(extractor, io::ToUint8(samples), &generated)     // per batch
//   FrechetDistance(generated, reference)                      // frechet.h
namespace retort::eval {

struct ReferenceOptions {
  int64_t first_index = 0;
  int64_t count = 0;  // 0: all from first_index on
  int64_t batch_size = 500;
  // Features to keep of the images, chosen at random, always the same ones: for
  // the metrics that need more than moments. 0: none.
  int64_t kept_features = 0;
  // Directory in which results are kept, created when missing: for each
  // ReferenceKey() one file of 8 d (d + 1) bytes, d being the features' length,
  // and one of 4 d bytes for each kept feature. "": nothing is kept.
  std::string cache_dir;
  // Called after each batch with images done and images in all. False stops:
  // the result is Cancelled. May be empty.
  std::function<bool(int64_t done, int64_t total)> progress;
};

struct Reference {
  FeatureStatistics statistics;
  at::Tensor kept;  // float32 [min(images, kept_features),dim]; or undefined
};

// Returns a SHA-256 that names what the statistics depend on: data, weights
// of the extractor, preprocessing, range of images. Batch size is not in it.
std::string ReferenceKey(const FeatureExtractor& extractor,
                         const data::Dataset& dataset,
                         const ReferenceOptions& options);

// Returns the feature statistics of a data set's images, from the cache when
// it has them. A cached file that is damaged is computed and written anew,
// aloud. So is a failure to write one: the result is still returned.
//
// Errors: InvalidArgument for a bad range or images that the extractor does
// not take; Cancelled; what the data set or LibTorch reports.
absl::StatusOr<FeatureStatistics> ComputeReferenceStatistics(
    const FeatureExtractor& extractor, const data::Dataset& dataset,
    const ReferenceOptions& options = {});

// The same, with kept features.
absl::StatusOr<Reference> ComputeReference(
    const FeatureExtractor& extractor, const data::Dataset& dataset,
    const ReferenceOptions& options = {});

// Adds uint8 [n,C,H,W] images' features. Errors: those of
// FeatureExtractor::Features and FeatureStatistics::Add.
absl::Status AddImages(const FeatureExtractor& extractor,
                       const at::Tensor& images, FeatureStatistics* statistics);

}  // namespace retort::eval

#endif  // RETORT_CORE_EVAL_REFERENCE_STATISTICS_H_
