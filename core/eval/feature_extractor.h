#ifndef RETORT_CORE_EVAL_FEATURE_EXTRACTOR_H_
#define RETORT_CORE_EVAL_FEATURE_EXTRACTOR_H_

#include <ATen/ATen.h>

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "core/eval/classifier.h"

namespace retort::eval {

// Turns uint8 images into feature vectors: the trained classifier without
// its last layer. Images must be uint8 already, as EDM's fid.py has it:
// what is measured is what a person would be shown. Model output becomes
// uint8 by io::ToUint8.
//
//   RETORT_ASSIGN_OR_RETURN(auto extractor, FeatureExtractor::Load(dir));
//   RETORT_ASSIGN_OR_RETURN(at::Tensor f, extractor->Features(images));
//
// Thread-safe: nothing changes after construction.
class FeatureExtractor {
 public:
  // Names the steps from uint8 image to network input; part of the key of
  // cached reference statistics. Change it when those steps change.
  static constexpr char kPreprocessing[] = "uint8/127.5-1";

  // Reads a model directory of kind "feature_extractor" and verifies hashes.
  // Errors: those of io::ReadModelDir, and InvalidArgument for another kind or
  // weights that do not fit the network.
  static absl::StatusOr<std::unique_ptr<FeatureExtractor>> Load(
      const std::string& dir, at::Device device = at::kCPU);

  // Uses a classifier in memory, which must no longer be trained. `hash`
  // stands for the weights.
  FeatureExtractor(FmnistClassifier net, std::string hash,
                   at::Device device = at::kCPU);

  // Returns float32 [n,dim()] on the CPU for uint8 [n,C,H,W] on any device.
  // InvalidArgument for another dtype or shape; Internal, or ResourceExhausted
  // when memory ran out, if LibTorch fails.
  absl::StatusOr<at::Tensor> Features(const at::Tensor& images) const;

  int64_t dim() const { return net_->config().feature_dim(); }
  const ClassifierConfig& config() const { return net_->config(); }
  // SHA-256 of the weights.
  const std::string& hash() const { return hash_; }

 private:
  // A module's forward is not const; ours changes nothing.
  mutable FmnistClassifier net_;
  const std::string hash_;
  const at::Device device_;
};

}  // namespace retort::eval

#endif  // RETORT_CORE_EVAL_FEATURE_EXTRACTOR_H_
