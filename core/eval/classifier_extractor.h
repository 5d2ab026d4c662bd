#ifndef RETORT_CORE_EVAL_CLASSIFIER_EXTRACTOR_H_
#define RETORT_CORE_EVAL_CLASSIFIER_EXTRACTOR_H_

#include <memory>
#include <string>

#include "core/eval/classifier.h"
#include "core/eval/feature_extractor.h"

namespace retort::eval {

// The features in front of a trained classifier's last layer, and its logits.
class ClassifierExtractor : public FeatureExtractor {
 public:
  // As FeatureExtractor::Load, for this project's classifier.
  static absl::StatusOr<std::unique_ptr<FeatureExtractor>> Load(
      const std::string& dir, at::Device device = at::kCPU);

  // Uses a classifier in memory, which must no longer be trained. `hash`
  // stands for the weights.
  ClassifierExtractor(FmnistClassifier net, std::string hash,
                      at::Device device = at::kCPU);

  absl::StatusOr<Extracted> Extract(const at::Tensor& images) const override;

  int64_t dim() const override { return net_->config().feature_dim(); }
  int64_t classes() const override { return net_->config().classes; }
  int64_t channels() const override { return net_->config().channels; }
  int64_t num_parameters() const override;
  // Change it when those steps change.
  std::string preprocessing() const override { return "uint8/127.5-1"; }
  bool is_built_in() const override { return true; }
  const std::string& hash() const override { return hash_; }

 private:
  // A module's forward is not const; ours changes nothing.
  mutable FmnistClassifier net_;
  const std::string hash_;
  const at::Device device_;
};

}  // namespace retort::eval

#endif  // RETORT_CORE_EVAL_CLASSIFIER_EXTRACTOR_H_
