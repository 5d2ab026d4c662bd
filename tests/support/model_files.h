#ifndef RETORT_TESTS_SUPPORT_MODEL_FILES_H_
#define RETORT_TESTS_SUPPORT_MODEL_FILES_H_

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

#include "core/base/check.h"
#include "core/base/file.h"
#include "core/base/run_dir.h"
#include "core/base/sha256.h"

// Model files for tests of the control plane, made without LibTorch.
namespace retort::testing {

// Returns a safetensors file of this JSON header and data.
inline std::string SafetensorsBytes(const std::string& json,
                                    const std::string& data) {
  std::string bytes;
  for (int shift = 0; shift < 64; shift += 8) {
    bytes.push_back(static_cast<char>(uint64_t{json.size()} >> shift & 0xff));
  }
  return bytes + json + data;
}

// Returns a whole file with one float32 tensor "weight" of four elements,
// which all have the bytes `fill`.
inline std::string SmallWeights(char fill = 'w') {
  return SafetensorsBytes(
      R"({"weight":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]}})",
      std::string(16, fill));
}

inline nlohmann::json SmallNetwork(int64_t classes = 10) {
  return {{"model_type", "SongUNet"},
          {"img_resolution", 32},
          {"img_channels", 1},
          {"label_dim", classes}};
}

// Writes a model's folder as a job leaves it, with a plot beside the weights.
inline void WriteModelFolder(const std::string& dir, const std::string& kind,
                             char fill = 'w') {
  const base::ModelDir names(dir);
  const std::string weights = SmallWeights(fill);
  const std::string hash = base::Sha256Hex(weights);
  const nlohmann::json manifest = {
      {"format_version", 1},
      {"kind", kind},
      {"network", SmallNetwork()},
      {"preconditioning", {{"name", "ctm"}}},
      {"lineage", {{"job", "projects/default/jobs/j"}}},
      {"files",
       {{"weights.safetensors", hash},
        {"plot.svg", base::Sha256Hex("<svg/>")}}},
      {"weights_sha256", hash}};
  RETORT_CHECK_OK(base::MakeDirs(dir));
  RETORT_CHECK_OK(base::AtomicWriteFile(names.weights_path(), weights));
  RETORT_CHECK_OK(base::AtomicWriteFile(dir + "/plot.svg", "<svg/>"));
  RETORT_CHECK_OK(
      base::AtomicWriteFile(names.manifest_path(), manifest.dump(2)));
}

}  // namespace retort::testing

#endif  // RETORT_TESTS_SUPPORT_MODEL_FILES_H_
