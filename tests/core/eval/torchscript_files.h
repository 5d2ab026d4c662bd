#ifndef RETORT_TESTS_CORE_EVAL_TORCHSCRIPT_FILES_H_
#define RETORT_TESTS_CORE_EVAL_TORCHSCRIPT_FILES_H_

#include <torch/csrc/jit/api/module.h>

#include <nlohmann/json.hpp>
#include <string>

#include "core/base/check.h"
#include "core/base/file.h"
#include "core/io/model_manifest.h"

// TorchScript files for tests, made from source text.
namespace retort::eval {

// Means over the image and over its upper half, for each of three channels: 6
// features; logits of the first two channels' means.
inline constexpr char kThreeChannelScript[] = R"(
def forward(self, x):
    assert x.size(1) == 3, "three channels please"
    x = self.scale * x.float()
    mean = x.mean([2, 3])
    features = torch.cat([mean, x[:, :, : x.size(2) // 2].mean([2, 3])], 1)
    return features, mean[:, :2]
)";

// Pixels of 8x8 blocks' means, whatever the channels: no logits.
inline constexpr char kAnyChannelScript[] = R"(
def forward(self, x):
    return torch.adaptive_avg_pool2d(x.float(), [2, 2]).flatten(1) * self.scale
)";

// Writes a module with the parameter `scale` and the method forward of
// `source`.
inline void WriteScript(const std::string& path, const std::string& source,
                        double scale = 1.0 / 255) {
  torch::jit::Module module("extractor");
  module.register_parameter("scale", at::scalar_tensor(scale), false);
  module.register_attribute("training", c10::BoolType::get(), true);
  module.define(source + "\n");
  module.save(path);
}

// Writes a model directory that holds such a module.
inline void WriteScriptModel(const std::string& dir, const std::string& source,
                             double scale = 1.0 / 255) {
  RETORT_CHECK_OK(base::MakeDirs(dir));
  const std::string path = dir + "/" + io::kTorchScriptFile;
  WriteScript(path, source, scale);
  io::ModelManifest manifest;
  manifest.kind = "feature_extractor";
  manifest.network = {{"type", "torchscript"}};
  manifest.weights_sha256 = *base::Sha256File(path);
  manifest.files[io::kTorchScriptFile] = manifest.weights_sha256;
  RETORT_CHECK_OK(
      base::AtomicWriteFile(dir + "/manifest.json", manifest.ToJson().dump()));
}

}  // namespace retort::eval

#endif  // RETORT_TESTS_CORE_EVAL_TORCHSCRIPT_FILES_H_
