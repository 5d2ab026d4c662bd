#ifndef RETORT_TESTS_SERVER_WORKER_SMALL_MODELS_H_
#define RETORT_TESTS_SERVER_WORKER_SMALL_MODELS_H_

#include <string>
#include <vector>

#include "core/base/check.h"
#include "core/base/file.h"
#include "core/io/model_file.h"
#include "core/math/noise_schedule.h"
#include "core/nn/denoiser.h"

// Models and data so small that a test runs them in no time.
namespace retort::worker {

inline nn::NetworkConfig SmallNetwork(int64_t resolution, bool two_times) {
  nn::NetworkConfig config;
  config.img_resolution = resolution;
  config.img_channels = 1;
  config.label_dim = 10;
  config.model_channels = 4;
  config.channel_mult = {1};
  config.num_blocks = 1;
  config.attn_resolutions = {};
  config.dropout = 0;
  config.two_times = two_times;
  return config;
}

// Writes a model with fresh weights. `kind` is "teacher", "cm" or "ctm".
inline void WriteSmallModel(const std::string& dir, const std::string& kind,
                            int64_t resolution = 8,
                            nlohmann::json preconditioning = nullptr,
                            uint64_t seed = 1) {
  const auto network =
      nn::CreateDenoiser(SmallNetwork(resolution, kind == "ctm"), seed);
  io::ModelManifest manifest;
  manifest.kind = kind;
  manifest.network = network->config().ToJson();
  if (kind != "teacher") manifest.preconditioning = {{"name", kind}};
  if (!preconditioning.is_null()) manifest.preconditioning = preconditioning;
  RETORT_CHECK_OK(
      io::WriteModelDir(dir, manifest, network->StateDict()).status());
}

// An IDX file of `shape` (28x28 images, or labels).
inline std::string Idx(const std::vector<int64_t>& shape,
                       const std::string& bytes) {
  std::string file = {0, 0, 8, static_cast<char>(shape.size())};
  for (const int64_t n : shape) {
    for (int shift = 24; shift >= 0; shift -= 8) {
      file.push_back(static_cast<char>(n >> shift & 255));
    }
  }
  return file + bytes;
}

// Writes a Fashion-MNIST look-alike of `n` training images.
inline void WriteSmallData(const std::string& dir, int64_t n) {
  std::string pixels, labels;
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t p = 0; p < 28 * 28; ++p) {
      pixels.push_back(static_cast<char>((p * (i + 3)) % 251));
    }
    labels.push_back(static_cast<char>(i % 10));
  }
  RETORT_CHECK_OK(base::MakeDirs(dir));
  for (const char* split : {"train", "t10k"}) {
    const std::string prefix = dir + "/" + split;
    RETORT_CHECK_OK(base::AtomicWriteFile(prefix + "-images-idx3-ubyte",
                                          Idx({n, 28, 28}, pixels)));
    RETORT_CHECK_OK(
        base::AtomicWriteFile(prefix + "-labels-idx1-ubyte", Idx({n}, labels)));
  }
}

}  // namespace retort::worker

#endif  // RETORT_TESTS_SERVER_WORKER_SMALL_MODELS_H_
