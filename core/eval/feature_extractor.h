#ifndef RETORT_CORE_EVAL_FEATURE_EXTRACTOR_H_
#define RETORT_CORE_EVAL_FEATURE_EXTRACTOR_H_

#include <ATen/ATen.h>

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace retort::eval {

// What an extractor says of n images; float32 on the CPU.
struct Extracted {
  at::Tensor features;  // [n,dim]
  at::Tensor logits;    // [n,classes]; undefined if it classifies nothing
};

// Height (= width) and channels of the images that are to be judged. 0: not
// known yet.
struct ImageShape {
  int64_t channels = 0;
  int64_t resolution = 0;
};

// Turns uint8 images into feature vectors. Images must be uint8 already, as
// EDM's fid.py has it: what is measured is what a person would be shown. Model
// output becomes uint8 by io::ToUint8.
//
//   RETORT_ASSIGN_OR_RETURN(auto extractor, FeatureExtractor::Load(dir));
//   RETORT_ASSIGN_OR_RETURN(at::Tensor f, extractor->Features(images));
//
// Two implementations: the trained classifier of this project
// (classifier_extractor.h), and any TorchScript module
// (torchscript_extractor.h). Thread-safe: nothing changes after construction.
class FeatureExtractor {
 public:
  virtual ~FeatureExtractor() = default;

  // Reads a model directory of kind "feature_extractor" and verifies hashes.
  // `shape`: the images it is wanted for, if they are known; a TorchScript
  // module is tried on such.
  //
  // Errors: those of io::ReadModelDir, and InvalidArgument for another kind,
  // weights that do not fit the network, or a module that does not turn images
  // of this shape into features.
  static absl::StatusOr<std::unique_ptr<FeatureExtractor>> Load(
      const std::string& dir, ImageShape shape = {},
      at::Device device = at::kCPU);

  // Takes uint8 [n,C,H,W] on any device. InvalidArgument for another dtype or
  // shape, or an output that is not what it should be; Internal, or
  // ResourceExhausted when memory ran out, if LibTorch fails.
  virtual absl::StatusOr<Extracted> Extract(const at::Tensor& images) const = 0;

  // The features of Extract().
  absl::StatusOr<at::Tensor> Features(const at::Tensor& images) const;

  virtual int64_t dim() const = 0;
  // Length of the logits; 0 if it gives none.
  virtual int64_t classes() const = 0;
  // Channels of the images that it takes: 1 or 3.
  virtual int64_t channels() const = 0;
  virtual int64_t num_parameters() const = 0;
  // Names the steps from uint8 image to network input; part of the key of
  // cached reference statistics and of the set-up of a measurement.
  virtual std::string preprocessing() const = 0;
  // True for the classifier whose metrics are called FD-FMNIST and so on.
  virtual bool is_built_in() const = 0;
  // SHA-256 of the weights or of the module's file.
  virtual const std::string& hash() const = 0;
};

}  // namespace retort::eval

#endif  // RETORT_CORE_EVAL_FEATURE_EXTRACTOR_H_
