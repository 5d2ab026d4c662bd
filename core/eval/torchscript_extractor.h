#ifndef RETORT_CORE_EVAL_TORCHSCRIPT_EXTRACTOR_H_
#define RETORT_CORE_EVAL_TORCHSCRIPT_EXTRACTOR_H_

#include <memory>
#include <string>

#include "core/eval/feature_extractor.h"

namespace retort::eval {

// Any TorchScript module that turns uint8 images [n,C,H,W] into features
// [n,d], or into a tuple (features [n,d], logits [n,classes]); what else it
// wants done to the images (resizing, scaling) it does itself. In eval mode.
//
// A TorchScript file is a program: LibTorch's interpreter runs its operators,
// which compute, and allocate what they like. Load such files in a process
// that may be lost.
//
// Images of one channel are given to it as they are if it takes such. If not,
// their channel is repeated three times. Which of the two is found out on
// loading, by a batch of two images of noise in the shape that is asked for; or
// without one, in the first of some usual sizes that it takes.
class TorchScriptExtractor : public FeatureExtractor {
 public:
  // Reads a model directory whose manifest names a TorchScript module. Errors:
  // those of FeatureExtractor::Load.
  static absl::StatusOr<std::unique_ptr<FeatureExtractor>> Load(
      const std::string& dir, ImageShape shape, at::Device device = at::kCPU);

  // Reads the file of a module; `hash` stands for it. InvalidArgument if it is
  // no TorchScript file, or gives no features for such images.
  static absl::StatusOr<std::unique_ptr<FeatureExtractor>> LoadFile(
      const std::string& path, std::string hash, ImageShape shape,
      at::Device device = at::kCPU);

  ~TorchScriptExtractor() override;

  // InvalidArgument also for what the module raises, and for an output that is
  // no [n,dim] of finite numbers: an extractor cannot be trusted then.
  absl::StatusOr<Extracted> Extract(const at::Tensor& images) const override;

  int64_t dim() const override { return dim_; }
  int64_t classes() const override { return classes_; }
  int64_t channels() const override { return channels_; }
  int64_t num_parameters() const override;
  std::string preprocessing() const override;
  bool is_built_in() const override { return false; }
  const std::string& hash() const override { return hash_; }

 private:
  struct Module;  // keeps TorchScript's headers out of this one

  TorchScriptExtractor(std::unique_ptr<Module> module, std::string hash,
                       at::Device device);

  absl::Status Probe(ImageShape shape);
  absl::Status TryShape(int64_t channels, int64_t resolution);
  absl::StatusOr<Extracted> Run(const at::Tensor& images) const;

  const std::unique_ptr<Module> module_;
  const std::string hash_;
  const at::Device device_;
  int64_t dim_ = 0;
  int64_t classes_ = 0;
  int64_t channels_ = 0;
};

}  // namespace retort::eval

#endif  // RETORT_CORE_EVAL_TORCHSCRIPT_EXTRACTOR_H_
