#include "core/eval/reference_statistics.h"

#include <algorithm>
#include <numeric>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/file.h"
#include "core/base/log.h"
#include "core/base/sha256.h"
#include "core/base/status_macros.h"
#include "core/eval/feature_reservoir.h"
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
  if (options.first_index < 0 || options.count < 0 || options.batch_size < 1 ||
      options.kept_features < 0) {
    return absl::InvalidArgumentError(
        "reference statistics: first_index, count and kept_features must not "
        "be negative and batch_size must be at least 1");
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

// What one pass over the images gives.
absl::StatusOr<Reference> ComputeAnew(const FeatureExtractor& extractor,
                                      const data::Dataset& dataset,
                                      const ReferenceOptions& options) {
  const int64_t count = CountOf(dataset, options);
  Reference reference{FeatureStatistics(extractor.dim()), at::Tensor()};
  std::optional<FeatureReservoir> kept;
  if (options.kept_features > 0) {
    kept.emplace(extractor.dim(), options.kept_features, /*seed=*/0);
  }
  at::Tensor images, labels;
  for (int64_t done = 0; done < count;) {
    std::vector<int64_t> indices(std::min(options.batch_size, count - done));
    std::iota(indices.begin(), indices.end(), options.first_index + done);
    RETORT_RETURN_IF_ERROR(dataset.Get(indices, &images, &labels));
    RETORT_ASSIGN_OR_RETURN(const at::Tensor features,
                            extractor.Features(images));
    RETORT_RETURN_IF_ERROR(reference.statistics.Add(features));
    if (kept.has_value()) RETORT_RETURN_IF_ERROR(kept->Add(features));
    done += static_cast<int64_t>(indices.size());
    if (options.progress && !options.progress(done, count)) {
      return absl::CancelledError("reference statistics: stopped");
    }
  }
  if (kept.has_value()) reference.kept = kept->Kept();
  return reference;
}

// The two files of a reference. Each names its own key inside.
class ReferenceCache {
 public:
  ReferenceCache(const FeatureExtractor& extractor,
                 const data::Dataset& dataset, const ReferenceOptions& options)
      : dir_(options.cache_dir),
        key_(ReferenceKey(extractor, dataset, options)),
        count_(CountOf(dataset, options)),
        kept_(std::min(options.kept_features, count_)),
        dim_(extractor.dim()) {}

  // NotFound if there is none; other errors for a damaged one.
  absl::StatusOr<Reference> Read() const {
    if (!base::FileExists(StatisticsPath()) ||
        (kept_ > 0 && !base::FileExists(KeptPath()))) {
      return absl::NotFoundError("not cached");
    }
    RETORT_ASSIGN_OR_RETURN(const io::TensorMap moments,
                            Tensors(StatisticsPath(), key_));
    RETORT_ASSIGN_OR_RETURN(FeatureStatistics statistics,
                            FeatureStatistics::FromTensors(moments));
    if (statistics.dim() != dim_ || statistics.count() != count_) {
      return absl::InvalidArgumentError("it holds another number of features");
    }
    Reference reference{std::move(statistics), at::Tensor()};
    if (kept_ == 0) return reference;
    RETORT_ASSIGN_OR_RETURN(const io::TensorMap rows,
                            Tensors(KeptPath(), KeptKey()));
    const auto features = rows.find("features");
    if (features == rows.end() ||
        features->second.sizes() != at::IntArrayRef({kept_, dim_}) ||
        features->second.scalar_type() != at::kFloat ||
        !at::isfinite(features->second).all().item<bool>()) {
      return absl::InvalidArgumentError("its features are not those expected");
    }
    reference.kept = features->second;
    return reference;
  }

  // A failure to write is said and does no harm.
  void Write(const Reference& reference) const {
    absl::Status status = base::MakeDirs(dir_);
    if (status.ok()) {
      status = io::WriteSafetensors(StatisticsPath(),
                                    reference.statistics.ToTensors(),
                                    {{"format", kFormat}, {"key", key_}});
    }
    if (status.ok() && kept_ > 0) {
      status = io::WriteSafetensors(KeptPath(), {{"features", reference.kept}},
                                    {{"format", kFormat}, {"key", KeptKey()}});
    }
    if (!status.ok()) {
      RETORT_LOG(warn, "reference statistics are not cached: {}",
                 status.ToString());
    }
  }

  std::string StatisticsPath() const {
    return absl::StrCat(dir_, "/", key_, ".safetensors");
  }

 private:
  std::string KeptKey() const {
    return base::Sha256Hex(absl::StrCat(key_, "\nkept ", kept_));
  }
  std::string KeptPath() const {
    return absl::StrCat(dir_, "/", KeptKey(), ".safetensors");
  }

  static absl::StatusOr<io::TensorMap> Tensors(const std::string& path,
                                               const std::string& key) {
    RETORT_ASSIGN_OR_RETURN(io::SafetensorsFile file,
                            io::ReadSafetensors(path));
    const auto found = file.metadata.find("key");
    if (found == file.metadata.end() || found->second != key) {
      return absl::InvalidArgumentError("it is of other data or features");
    }
    return std::move(file.tensors);
  }

  const std::string dir_;
  const std::string key_;
  const int64_t count_;
  const int64_t kept_;
  const int64_t dim_;
};

}  // namespace

std::string ReferenceKey(const FeatureExtractor& extractor,
                         const data::Dataset& dataset,
                         const ReferenceOptions& options) {
  return base::Sha256Hex(
      absl::StrCat(kFormat, "\n", dataset.manifest_hash(), "\n",
                   extractor.hash(), "\n", extractor.preprocessing(), "\n",
                   options.first_index, "\n", CountOf(dataset, options)));
}

absl::StatusOr<Reference> ComputeReference(const FeatureExtractor& extractor,
                                           const data::Dataset& dataset,
                                           const ReferenceOptions& options) {
  RETORT_RETURN_IF_ERROR(CheckRange(dataset, options));
  if (options.cache_dir.empty()) {
    return ComputeAnew(extractor, dataset, options);
  }
  const ReferenceCache cache(extractor, dataset, options);
  absl::StatusOr<Reference> cached = cache.Read();
  if (cached.ok()) return cached;
  if (!absl::IsNotFound(cached.status())) {
    RETORT_LOG(warn, "{} is computed anew: {}", cache.StatisticsPath(),
               cached.status().ToString());
  }
  absl::StatusOr<Reference> computed = ComputeAnew(extractor, dataset, options);
  if (computed.ok()) cache.Write(*computed);
  return computed;
}

absl::StatusOr<FeatureStatistics> ComputeReferenceStatistics(
    const FeatureExtractor& extractor, const data::Dataset& dataset,
    const ReferenceOptions& options) {
  ReferenceOptions moments = options;
  moments.kept_features = 0;
  RETORT_ASSIGN_OR_RETURN(Reference reference,
                          ComputeReference(extractor, dataset, moments));
  return std::move(reference.statistics);
}

absl::Status AddImages(const FeatureExtractor& extractor,
                       const at::Tensor& images,
                       FeatureStatistics* statistics) {
  RETORT_ASSIGN_OR_RETURN(at::Tensor features, extractor.Features(images));
  return statistics->Add(features);
}

}  // namespace retort::eval
