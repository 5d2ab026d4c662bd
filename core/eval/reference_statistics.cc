#include "core/eval/reference_statistics.h"

#include <algorithm>
#include <numeric>
#include <optional>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/file.h"
#include "core/base/log.h"
#include "core/base/sha256.h"
#include "core/base/status_macros.h"
#include "core/io/safetensors.h"

namespace retort::eval {
namespace {

// Changes when the meaning of a cached file changes.
constexpr char kFormat[] = "retort-feature-statistics-1";

int64_t CountOf(const data::Dataset& dataset, const ReferenceOptions& options) {
  return options.count > 0 ? options.count
                           : dataset.size() - options.first_index;
}

absl::Status CheckRange(const data::Dataset& dataset,
                        const ReferenceOptions& options) {
  if (options.first_index < 0 || options.count < 0 || options.batch_size < 1) {
    return absl::InvalidArgumentError(
        "reference statistics: first_index and count must not be negative and "
        "batch_size must be at least 1");
  }
  const int64_t count = CountOf(dataset, options);
  // Compared without adding, which could overflow.
  if (options.first_index > dataset.size() - 2 || count < 2 ||
      count > dataset.size() - options.first_index) {
    return absl::InvalidArgumentError(
        absl::StrCat("reference statistics: ", count, " images from index ",
                     options.first_index, " on: data set '", dataset.name(),
                     "' has ", dataset.size(), ", and at least 2 are needed"));
  }
  return absl::OkStatus();
}

absl::StatusOr<FeatureStatistics> ComputeAnew(const FeatureExtractor& extractor,
                                              const data::Dataset& dataset,
                                              const ReferenceOptions& options) {
  const int64_t count = CountOf(dataset, options);
  FeatureStatistics statistics(extractor.dim());
  at::Tensor images, labels;
  for (int64_t done = 0; done < count;) {
    std::vector<int64_t> indices(std::min(options.batch_size, count - done));
    std::iota(indices.begin(), indices.end(), options.first_index + done);
    RETORT_RETURN_IF_ERROR(dataset.Get(indices, &images, &labels));
    RETORT_RETURN_IF_ERROR(AddImages(extractor, images, &statistics));
    done += static_cast<int64_t>(indices.size());
    if (options.progress && !options.progress(done, count)) {
      return absl::CancelledError("reference statistics: stopped");
    }
  }
  return statistics;
}

absl::StatusOr<FeatureStatistics> ReadCached(const std::string& path,
                                             const std::string& key,
                                             int64_t dim, int64_t count) {
  RETORT_ASSIGN_OR_RETURN(io::SafetensorsFile file, io::ReadSafetensors(path));
  const auto found = file.metadata.find("key");
  if (found == file.metadata.end() || found->second != key) {
    return absl::InvalidArgumentError("it is of other data or features");
  }
  RETORT_ASSIGN_OR_RETURN(FeatureStatistics statistics,
                          FeatureStatistics::FromTensors(file.tensors));
  if (statistics.dim() != dim || statistics.count() != count) {
    return absl::InvalidArgumentError("it holds another number of features");
  }
  return statistics;
}

void WriteCached(const std::string& dir, const std::string& path,
                 const std::string& key, const FeatureStatistics& statistics) {
  absl::Status status = base::MakeDirs(dir);
  if (status.ok()) {
    status = io::WriteSafetensors(path, statistics.ToTensors(),
                                  {{"format", kFormat}, {"key", key}});
  }
  if (!status.ok()) {
    RETORT_LOG(warn, "reference statistics are not cached: {}",
               status.ToString());
  }
}

}  // namespace

std::string ReferenceKey(const FeatureExtractor& extractor,
                         const data::Dataset& dataset,
                         const ReferenceOptions& options) {
  return base::Sha256Hex(
      absl::StrCat(kFormat, "\n", dataset.manifest_hash(), "\n",
                   extractor.hash(), "\n", FeatureExtractor::kPreprocessing,
                   "\n", options.first_index, "\n", CountOf(dataset, options)));
}

absl::StatusOr<FeatureStatistics> ComputeReferenceStatistics(
    const FeatureExtractor& extractor, const data::Dataset& dataset,
    const ReferenceOptions& options) {
  RETORT_RETURN_IF_ERROR(CheckRange(dataset, options));
  if (options.cache_dir.empty())
    return ComputeAnew(extractor, dataset, options);
  const std::string key = ReferenceKey(extractor, dataset, options);
  const std::string path =
      absl::StrCat(options.cache_dir, "/", key, ".safetensors");
  if (base::FileExists(path)) {
    auto cached =
        ReadCached(path, key, extractor.dim(), CountOf(dataset, options));
    if (cached.ok()) return cached;
    RETORT_LOG(warn, "{} is computed anew: {}", path,
               cached.status().ToString());
  }
  auto computed = ComputeAnew(extractor, dataset, options);
  if (computed.ok()) WriteCached(options.cache_dir, path, key, *computed);
  return computed;
}

absl::Status AddImages(const FeatureExtractor& extractor,
                       const at::Tensor& images,
                       FeatureStatistics* statistics) {
  RETORT_ASSIGN_OR_RETURN(at::Tensor features, extractor.Features(images));
  return statistics->Add(features);
}

}  // namespace retort::eval
