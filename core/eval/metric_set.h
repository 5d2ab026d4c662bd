#ifndef RETORT_CORE_EVAL_METRIC_SET_H_
#define RETORT_CORE_EVAL_METRIC_SET_H_

#include <ATen/ATen.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/data/dataset.h"
#include "core/eval/feature_extractor.h"
#include "core/eval/feature_reservoir.h"
#include "core/eval/feature_statistics.h"
#include "core/eval/inception_score.h"
#include "core/eval/reference_statistics.h"

namespace retort::eval {

enum class Metric { kFrechet, kKernel, kInceptionScore, kPrecisionRecall };

// What is measured, and how.
struct MetricOptions {
  std::vector<Metric> metrics = {Metric::kFrechet};
  int64_t samples = 5000;         // generated images in a set
  int64_t kept_features = 10000;  // of each side, for kKernel, kPrecisionRecall
  int64_t neighbours = 3;         // of kPrecisionRecall
  // Polled by what takes long. May be empty.
  std::function<bool()> stop;

  bool Has(Metric metric) const;
  // Features of real images to keep: 0 when no metric needs any.
  int64_t KeptReal() const;

  // InvalidArgument if the extractor cannot serve a metric, or `real_images`
  // are too few for one.
  absl::Status Check(const FeatureExtractor& extractor,
                     int64_t real_images) const;
};

struct MetricValue {
  std::string name;  // "FD", "KID", "IS", "precision", "recall"
  double value = 0;
};

// Names of the values that MetricSet::Measure returns, in that order.
std::vector<std::string> ValueNames(const MetricOptions& options);

// SHA-256 over all that must be equal for two values of `name` to be compared:
// the metric and its own settings, the extractor's weights and preprocessing,
// the real images, the number of generated ones.
std::string SetupHash(const std::string& name, const MetricOptions& options,
                      const FeatureExtractor& extractor,
                      const data::Dataset& real);

// One set of generated images on its way through the metrics, in memory that
// does not grow with it.
//
//   MetricSet set(options, *extractor, seed);
//   for (...) RETORT_RETURN_IF_ERROR(set.Add(io::ToUint8(images)));
//   RETORT_ASSIGN_OR_RETURN(auto values, set.Measure(reference));
//
// Not thread-safe.
class MetricSet {
 public:
  // `seed` chooses which features are kept. `extractor` must outlive this.
  MetricSet(const MetricOptions& options, const FeatureExtractor& extractor,
            uint64_t seed);

  // uint8 [n,C,H,W]. Errors: those of FeatureExtractor::Extract, and
  // InvalidArgument for features that are not finite.
  absl::Status Add(const at::Tensor& images);

  // `reference` of as many kept features as KeptReal() says. Errors: those of
  // the metrics; Cancelled.
  absl::StatusOr<std::vector<MetricValue>> Measure(
      const Reference& reference) const;

 private:
  const MetricOptions options_;
  const FeatureExtractor& extractor_;
  // Those that the metrics need.
  std::optional<FeatureStatistics> statistics_;
  std::optional<InceptionScore> inception_score_;
  std::optional<FeatureReservoir> kept_;
};

}  // namespace retort::eval

#endif  // RETORT_CORE_EVAL_METRIC_SET_H_
