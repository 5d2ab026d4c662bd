#include "core/eval/classifier_extractor.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/data/dataset.h"
#include "core/io/model_file.h"

namespace retort::eval {
namespace {

absl::Status LoadClassifierWeights(const std::string& dir,
                                   const io::TensorMap& tensors,
                                   FmnistClassifier& net) {
  torch::NoGradGuard no_grad;
  const io::TensorMap state = net->StateDict();
  for (const auto& [name, tensor] : state) {
    const auto found = tensors.find(name);
    if (found == tensors.end() || found->second.sizes() != tensor.sizes()) {
      return absl::InvalidArgumentError(
          absl::StrCat(dir, ": tensor '", name, "' is ",
                       found == tensors.end() ? "missing" : "of another shape",
                       "; manifest and weights are not of one model"));
    }
    tensor.copy_(found->second);
  }
  if (tensors.size() != state.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat(dir, ": holds ", tensors.size(), " tensors, the network ",
                     state.size()));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<FeatureExtractor>> ClassifierExtractor::Load(
    const std::string& dir, at::Device device) {
  RETORT_ASSIGN_OR_RETURN(io::ModelDirContents contents, io::ReadModelDir(dir));
  RETORT_ASSIGN_OR_RETURN(
      ClassifierConfig config,
      ClassifierConfig::FromJson(contents.manifest.network));
  FmnistClassifier net(config);
  RETORT_RETURN_IF_ERROR(LoadClassifierWeights(dir, contents.tensors, net));
  return std::make_unique<ClassifierExtractor>(
      std::move(net), contents.manifest.weights_sha256, device);
}

ClassifierExtractor::ClassifierExtractor(FmnistClassifier net, std::string hash,
                                         at::Device device)
    : net_(std::move(net)), hash_(std::move(hash)), device_(device) {
  net_->to(device_);
  net_->eval();
}

int64_t ClassifierExtractor::num_parameters() const {
  int64_t count = 0;
  for (const auto& [name, tensor] : net_->StateDict()) count += tensor.numel();
  return count;
}

absl::StatusOr<Extracted> ClassifierExtractor::Extract(
    const at::Tensor& images) const {
  const ClassifierConfig& c = net_->config();
  if (!images.defined() || images.scalar_type() != at::kByte ||
      images.dim() != 4 || images.size(1) != c.channels ||
      images.size(2) != c.resolution || images.size(3) != c.resolution) {
    return absl::InvalidArgumentError(absl::StrCat(
        "feature extractor: expected uint8 images [n,", c.channels, ",",
        c.resolution, ",", c.resolution, "], got ",
        images.defined() ? c10::str(images.dtype(), " ", images.sizes())
                         : "no tensor",
        "; use an extractor made for this model's data"));
  }
  torch::NoGradGuard no_grad;
  try {
    const at::Tensor features =
        net_->Features(data::ToFloat(images.to(device_)));
    return Extracted{features.to(at::kCPU),
                     net_->Logits(features).to(at::kCPU)};
  } catch (const c10::OutOfMemoryError& e) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "feature extractor: out of memory with ", images.size(0),
        " images; use a smaller batch: ", e.what_without_backtrace()));
  } catch (const c10::Error& e) {
    return absl::InternalError(
        absl::StrCat("feature extractor: ", e.what_without_backtrace()));
  }
}

}  // namespace retort::eval
