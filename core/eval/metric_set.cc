#include "core/eval/metric_set.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "core/base/sha256.h"
#include "core/base/status_macros.h"
#include "core/eval/frechet.h"
#include "core/eval/kernel_distance.h"
#include "core/eval/precision_recall.h"

namespace retort::eval {
namespace {

// Changes when the meaning of a metric's value changes.
constexpr char kSetupFormat[] = "retort-evaluation-1";

absl::Status BadMetric(absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("evaluate: ", what));
}

}  // namespace

bool MetricOptions::Has(Metric metric) const {
  return std::find(metrics.begin(), metrics.end(), metric) != metrics.end();
}

int64_t MetricOptions::KeptReal() const {
  return Has(Metric::kKernel) || Has(Metric::kPrecisionRecall) ? kept_features
                                                               : 0;
}

absl::Status MetricOptions::Check(const FeatureExtractor& extractor,
                                  int64_t real_images) const {
  if (Has(Metric::kInceptionScore) && extractor.classes() < 2) {
    return BadMetric(
        "the inception score needs class logits, and the feature extractor "
        "gives none; leave out METRIC_INCEPTION_SCORE, or import a module that "
        "returns (features, logits)");
  }
  const int64_t fewest = std::min({real_images, samples, kept_features});
  if (Has(Metric::kPrecisionRecall) && neighbours >= fewest) {
    return BadMetric(absl::StrCat(
        "precision and recall with ", neighbours, " neighbours need more than ",
        neighbours, " features of each set, and there are ", fewest,
        "; use more images or fewer neighbours"));
  }
  if (real_images < 2) {
    return BadMetric("at least 2 real images are needed");
  }
  return absl::OkStatus();
}

std::vector<std::string> ValueNames(const MetricOptions& options) {
  std::vector<std::string> names;
  for (const Metric metric : options.metrics) {
    switch (metric) {
      case Metric::kFrechet:
        names.push_back("FD");
        break;
      case Metric::kKernel:
        names.push_back("KID");
        break;
      case Metric::kInceptionScore:
        names.push_back("IS");
        break;
      case Metric::kPrecisionRecall:
        names.push_back("precision");
        names.push_back("recall");
        break;
    }
  }
  return names;
}

std::string SetupHash(const std::string& name, const MetricOptions& options,
                      const FeatureExtractor& extractor,
                      const data::Dataset& real) {
  std::string text =
      absl::StrCat(kSetupFormat, "\n", name, "\n", extractor.hash(), "\n",
                   extractor.preprocessing(), "\n", options.samples, "\n");
  if (name == "IS") {
    absl::StrAppend(&text, "splits ", InceptionScore::kSplits, "\n");
  } else {
    absl::StrAppend(&text, real.manifest_hash(), "\n", real.size(), "\n");
  }
  if (name == "KID" || name == "precision" || name == "recall") {
    absl::StrAppend(
        &text, "kept ",
        std::min(options.kept_features, std::max(real.size(), options.samples)),
        "\n");
  }
  if (name == "KID") {
    const KernelDistanceOptions defaults;
    absl::StrAppend(&text, "subsets ", defaults.subsets, " of ",
                    defaults.subset_size, "\n");
  }
  if (name == "precision" || name == "recall") {
    absl::StrAppend(&text, "neighbours ", options.neighbours, "\n");
  }
  return base::Sha256Hex(text);
}

MetricSet::MetricSet(const MetricOptions& options,
                     const FeatureExtractor& extractor, uint64_t seed)
    : options_(options), extractor_(extractor) {
  if (options.Has(Metric::kFrechet)) statistics_.emplace(extractor.dim());
  if (options.Has(Metric::kInceptionScore)) {
    inception_score_.emplace(extractor.classes(), options.samples);
  }
  if (options.KeptReal() > 0) {
    kept_.emplace(extractor.dim(), options.kept_features, seed);
  }
}

absl::Status MetricSet::Add(const at::Tensor& images) {
  RETORT_ASSIGN_OR_RETURN(const Extracted extracted,
                          extractor_.Extract(images));
  if (statistics_.has_value()) {
    RETORT_RETURN_IF_ERROR(statistics_->Add(extracted.features));
  }
  if (kept_.has_value()) {
    RETORT_RETURN_IF_ERROR(kept_->Add(extracted.features));
  }
  if (inception_score_.has_value()) {
    RETORT_RETURN_IF_ERROR(inception_score_->Add(extracted.logits));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<MetricValue>> MetricSet::Measure(
    const Reference& reference) const {
  std::vector<double> values;
  for (const Metric metric : options_.metrics) {
    switch (metric) {
      case Metric::kFrechet: {
        RETORT_ASSIGN_OR_RETURN(
            values.emplace_back(),
            FrechetDistance(*statistics_, reference.statistics));
        break;
      }
      case Metric::kKernel: {
        KernelDistanceOptions options;
        options.stop = options_.stop;
        RETORT_ASSIGN_OR_RETURN(
            const KernelDistance distance,
            ComputeKernelDistance(kept_->Kept(), reference.kept, options));
        values.push_back(distance.mean);
        break;
      }
      case Metric::kInceptionScore: {
        RETORT_ASSIGN_OR_RETURN(values.emplace_back(),
                                inception_score_->Mean());
        break;
      }
      case Metric::kPrecisionRecall: {
        PrecisionRecallOptions options;
        options.neighbours = options_.neighbours;
        options.stop = options_.stop;
        RETORT_ASSIGN_OR_RETURN(
            const PrecisionRecall both,
            ComputePrecisionRecall(reference.kept, kept_->Kept(), options));
        values.push_back(both.precision);
        values.push_back(both.recall);
        break;
      }
    }
  }
  const std::vector<std::string> names = ValueNames(options_);
  std::vector<MetricValue> named;
  for (size_t i = 0; i < names.size(); ++i) {
    named.push_back({names[i], values[i]});
  }
  return named;
}

}  // namespace retort::eval
