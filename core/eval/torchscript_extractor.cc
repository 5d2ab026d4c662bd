#include "core/eval/torchscript_extractor.h"

#include <ATen/Parallel.h>
#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/serialization/import.h>
#include <torch/utils.h>

#include <exception>
#include <mutex>
#include <new>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/io/model_file.h"
#include "core/math/counter_random.h"

namespace retort::eval {
namespace {

// Longest part of what a module says that goes into an error.
constexpr size_t kMaxMessage = 1000;
// Sizes to try a module on whose images are not known: the smallest first, and
// what networks of ImageNet take.
constexpr int64_t kUsualSizes[] = {32, 64, 28, 16, 224, 256, 299};

absl::Status ExtractorError(absl::string_view what) {
  return absl::InvalidArgumentError(
      absl::StrCat("TorchScript feature extractor: ", what));
}

absl::Status Raised(const std::exception& e) {
  std::string text = e.what();
  const auto* error = dynamic_cast<const c10::Error*>(&e);
  if (error != nullptr) text = error->what_without_backtrace();
  // The end says what went wrong, the beginning where.
  if (text.size() > kMaxMessage) {
    text = "..." + text.substr(text.size() - kMaxMessage);
  }
  return ExtractorError(absl::StrCat("the module failed: ", text));
}

std::string ShapeText(const at::Tensor& tensor) {
  return c10::str(tensor.dtype(), " ", tensor.sizes());
}

// Checks that `output` has a row for each of n images.
absl::Status CheckRows(const at::Tensor& output, int64_t n, const char* what) {
  if (!output.defined() || output.layout() != at::kStrided ||
      output.dim() != 2 || output.size(0) != n || output.size(1) < 1 ||
      !output.is_floating_point()) {
    return ExtractorError(absl::StrCat(
        "for ", n, " images it gave ",
        output.defined() ? ShapeText(output) : "no tensor", " as ", what,
        "; they must be floating-point [", n, ",d], a row for each image"));
  }
  return absl::OkStatus();
}

absl::StatusOr<at::Tensor> Float32(const at::Tensor& output, const char* what) {
  at::Tensor rows = output.detach().to(at::kCPU, at::kFloat).contiguous();
  if (!at::isfinite(rows).all().item<bool>()) {
    return ExtractorError(
        absl::StrCat("its ", what,
                     " are not all finite; look for what divides or takes "
                     "logarithms in it, or for float16"));
  }
  return rows;
}

absl::StatusOr<Extracted> ReadOutput(const c10::IValue& output, int64_t n) {
  at::Tensor features, logits;
  if (output.isTensor()) {
    features = output.toTensor();
  } else if (output.isTuple() && output.toTupleRef().size() == 2 &&
             output.toTupleRef().elements()[0].isTensor() &&
             output.toTupleRef().elements()[1].isTensor()) {
    features = output.toTupleRef().elements()[0].toTensor();
    logits = output.toTupleRef().elements()[1].toTensor();
  } else {
    return ExtractorError(
        absl::StrCat("it returns ", output.tagKind(),
                     "; it must return a tensor of features, or a tuple "
                     "(features, logits) of two tensors"));
  }
  Extracted extracted;
  RETORT_RETURN_IF_ERROR(CheckRows(features, n, "features"));
  RETORT_ASSIGN_OR_RETURN(extracted.features, Float32(features, "features"));
  if (logits.defined()) {
    RETORT_RETURN_IF_ERROR(CheckRows(logits, n, "logits"));
    RETORT_ASSIGN_OR_RETURN(extracted.logits, Float32(logits, "logits"));
  }
  return extracted;
}

// Two images of noise.
at::Tensor ProbeImages(int64_t channels, int64_t resolution) {
  const math::Stream stream =
      math::MakeStream(0, math::RandomStream::kEvaluation, 0);
  const at::Tensor values = math::UniformPerSample(
      stream, {0, 1}, channels * resolution * resolution);
  return at::floor(values * 256)
      .to(at::kByte)
      .view({2, channels, resolution, resolution});
}

}  // namespace

struct TorchScriptExtractor::Module {
  // Forward is not const; in eval mode it changes nothing that a well-behaved
  // module keeps, and one that does keep something is called by one at a time.
  torch::jit::Module script;
  std::mutex mutex;
};

TorchScriptExtractor::TorchScriptExtractor(std::unique_ptr<Module> module,
                                           std::string hash, at::Device device)
    : module_(std::move(module)), hash_(std::move(hash)), device_(device) {}

TorchScriptExtractor::~TorchScriptExtractor() = default;

absl::StatusOr<std::unique_ptr<FeatureExtractor>> TorchScriptExtractor::Load(
    const std::string& dir, ImageShape shape, at::Device device) {
  RETORT_ASSIGN_OR_RETURN(const io::ModelManifest manifest,
                          io::VerifyModelDir(dir));
  return LoadFile(absl::StrCat(dir, "/", io::kTorchScriptFile),
                  manifest.weights_sha256, shape, device);
}

absl::StatusOr<std::unique_ptr<FeatureExtractor>>
TorchScriptExtractor::LoadFile(const std::string& path, std::string hash,
                               ImageShape shape, at::Device device) {
  auto module = std::make_unique<Module>();
  try {
    module->script = torch::jit::load(path, device);
    module->script.eval();
  } catch (const std::bad_alloc&) {
    return absl::ResourceExhaustedError(
        absl::StrCat(path, ": out of memory while loading the module"));
  } catch (const std::exception& e) {
    return ExtractorError(absl::StrCat(
        path,
        " cannot be loaded; save a module with torch.jit.script(m).save "
        "or torch.jit.trace(m, images).save: ",
        Raised(e).message()));
  }
  if (!module->script.find_method("forward").has_value()) {
    return ExtractorError(absl::StrCat(path, " has no method forward"));
  }
  auto extractor = std::unique_ptr<TorchScriptExtractor>(
      new TorchScriptExtractor(std::move(module), std::move(hash), device));
  RETORT_RETURN_IF_ERROR(extractor->Probe(shape));
  return extractor;
}

absl::Status TorchScriptExtractor::Probe(ImageShape shape) {
  std::vector<int64_t> sizes(std::begin(kUsualSizes), std::end(kUsualSizes));
  if (shape.resolution > 0) sizes = {shape.resolution};
  absl::Status first;  // failure
  for (const int64_t size : sizes) {
    // Three channels where there is but one: repeated.
    for (const int64_t channels : {1, 3}) {
      if (channels < shape.channels) continue;
      const absl::Status tried = TryShape(channels, size);
      if (tried.ok()) return tried;
      // What it says of three channels is more to the point.
      if (channels == 3 && first.ok()) first = tried;
    }
  }
  return absl::Status(
      first.code(),
      absl::StrCat(first.message(), " (tried on 2 images of noise, uint8 [2,3,",
                   sizes.front(), ",", sizes.front(), "]",
                   sizes.size() > 1 ? ", and on other sizes" : "", ")"));
}

absl::Status TorchScriptExtractor::TryShape(int64_t channels,
                                            int64_t resolution) {
  RETORT_ASSIGN_OR_RETURN(const Extracted extracted,
                          Run(ProbeImages(channels, resolution)));
  channels_ = channels;
  dim_ = extracted.features.size(1);
  classes_ = extracted.logits.defined() ? extracted.logits.size(1) : 0;
  return absl::OkStatus();
}

absl::StatusOr<Extracted> TorchScriptExtractor::Run(
    const at::Tensor& images) const {
  torch::NoGradGuard no_grad;
  try {
    const std::lock_guard<std::mutex> lock(module_->mutex);
    const c10::IValue output = module_->script.forward({images.to(device_)});
    return ReadOutput(output, images.size(0));
  } catch (const c10::OutOfMemoryError& e) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "TorchScript feature extractor: out of memory with ", images.size(0),
        " images; use a smaller batch: ", e.what_without_backtrace()));
  } catch (const std::bad_alloc&) {
    return absl::ResourceExhaustedError(
        absl::StrCat("TorchScript feature extractor: out of memory with ",
                     images.size(0), " images; use a smaller batch"));
  } catch (const std::exception& e) {
    return Raised(e);
  }
}

absl::StatusOr<Extracted> TorchScriptExtractor::Extract(
    const at::Tensor& images) const {
  if (!images.defined() || images.scalar_type() != at::kByte ||
      images.dim() != 4 || images.size(0) < 1) {
    return ExtractorError(
        absl::StrCat("expected uint8 images [n,C,H,W], got ",
                     images.defined() ? ShapeText(images) : "no tensor"));
  }
  at::Tensor input = images;
  if (images.size(1) == 1 && channels_ == 3) {
    input = images.expand({-1, 3, -1, -1}).contiguous();
  }
  RETORT_ASSIGN_OR_RETURN(Extracted extracted, Run(input));
  const int64_t classes =
      extracted.logits.defined() ? extracted.logits.size(1) : 0;
  if (extracted.features.size(1) != dim_ || classes != classes_) {
    return ExtractorError(
        absl::StrCat("it gave ", extracted.features.size(1), " features and ",
                     classes, " logits for images of ", images.size(2), "x",
                     images.size(3), " pixels, and ", dim_, " and ", classes_,
                     " on loading; their number "
                     "must not depend on the images"));
  }
  return extracted;
}

int64_t TorchScriptExtractor::num_parameters() const {
  int64_t count = 0;
  for (const at::Tensor& p : module_->script.parameters()) count += p.numel();
  return count;
}

std::string TorchScriptExtractor::preprocessing() const {
  return channels_ == 3 ? "uint8,three channels" : "uint8";
}

}  // namespace retort::eval
