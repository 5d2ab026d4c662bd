#ifndef RETORT_CORE_IO_MODEL_MANIFEST_H_
#define RETORT_CORE_IO_MODEL_MANIFEST_H_

#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace retort::io {

inline constexpr int kModelFormatVersion = 1;

// The file that stands in for weights.safetensors where `network` is
// {"type": "torchscript"}.
inline constexpr char kTorchScriptFile[] = "model.torchscript.pt";

// What manifest.json of a model directory says (docs/formats.md). The
// writer fills format_version, files and weights_sha256; the caller the rest.
struct ModelManifest {
  // A file with a larger version is refused, not guessed at.
  int format_version = kModelFormatVersion;

  // "teacher", "cm", "ctm", "preconditioning", "feature_extractor" or
  // "perceptual".
  std::string kind;

  // Network configuration (core/nn); {} for a model without a network.
  nlohmann::json network = nlohmann::json::object();

  // Name, noise schedule and artefact hash of the jump preconditioning that
  // the weights were trained with; {} when none applies.
  nlohmann::json preconditioning = nlohmann::json::object();

  // Where the model comes from: job, spec hash, teacher hash, data manifest
  // hash, seeds. Free-form, for people and for audits.
  nlohmann::json lineage = nlohmann::json::object();

  // SHA-256 of every file of the directory but the manifest itself, by name.
  std::map<std::string, std::string> files;

  // files["weights.safetensors"], which names the model's content; of a
  // TorchScript module files[kTorchScriptFile].
  std::string weights_sha256;

  // True for a TorchScript module.
  bool is_torchscript() const;

  nlohmann::json ToJson() const;

  // InvalidArgument, naming the field, for anything malformed: an unknown
  // field or kind, a missing field, a version of the future, a file name
  // that is not a plain name, a hash that is not one.
  static absl::StatusOr<ModelManifest> FromJson(const nlohmann::json& json);
};

// True for the kinds listed above.
bool IsModelKind(absl::string_view kind);

}  // namespace retort::io

#endif  // RETORT_CORE_IO_MODEL_MANIFEST_H_
