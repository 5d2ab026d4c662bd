#ifndef RETORT_SERVER_REGISTRY_WEIGHTS_TOOL_H_
#define RETORT_SERVER_REGISTRY_WEIGHTS_TOOL_H_

#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace retort::registry {

// What takes LibTorch to do with weights, and what hostile files are kept away
// from this process for. Every method may block for seconds. INVALID_ARGUMENT
// (FILE_INVALID) is the file's fault; UNAVAILABLE: it could not be tried.
// Thread-safe.
class WeightsTool {
 public:
  virtual ~WeightsTool() = default;

  // Says whether the weights in a model's folder fit its network: names,
  // shapes, and whatever the kind asks for. Returns the number of parameters.
  virtual absl::StatusOr<int64_t> Check(const std::string& dir) = 0;

  // Reads what torch.save or EDM's pickle.dump wrote to `file`, and writes its
  // tensors to `weights` as safetensors. Runs nothing of it. Returns the
  // network's configuration that the file held; null if there was none.
  virtual absl::StatusOr<nlohmann::json> Convert(
      const std::string& file, const std::string& weights) = 0;

  // Writes the weights of a model's folder to `file` as torch.save does.
  // Cancelled once `stop` says true, which is asked about once a second.
  virtual absl::Status Export(const std::string& dir, const std::string& file,
                              std::function<bool()> stop) = 0;
};

}  // namespace retort::registry

#endif  // RETORT_SERVER_REGISTRY_WEIGHTS_TOOL_H_
