#ifndef RETORT_SERVER_REGISTRY_MODEL_MANIFEST_H_
#define RETORT_SERVER_REGISTRY_MODEL_MANIFEST_H_

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "retort/v1/model_service.pb.h"

// manifest.json of a model's folder (docs/formats.md), as far as the control
// plane needs it: what the model is, how its images look and which files it
// has. The worker, which loads the model, is the one that knows all of it.
namespace retort::registry {

inline constexpr char kWeightsFile[] = "weights.safetensors";
// Of a TorchScript module, instead.
inline constexpr char kTorchScriptFile[] = "model.torchscript.pt";
inline constexpr char kManifestFile[] = "manifest.json";

// Facts of a manifest.
struct ModelFacts {
  v1::Model::Kind kind = v1::Model::KIND_UNSPECIFIED;
  v1::PreconditioningKind preconditioning =
      v1::PRECONDITIONING_KIND_UNSPECIFIED;
  // Of the images; 0 for models that make none.
  int64_t resolution = 0;
  int64_t channels = 0;
  int64_t classes = 0;  // 0: unconditional
  // SHA-256 by file name; holds `weights_file`, never kManifestFile.
  std::map<std::string, std::string> files;
  // kWeightsFile or kTorchScriptFile.
  std::string weights_file;
};

// "teacher", "cm", ...; "" for KIND_UNSPECIFIED.
std::string KindName(v1::Model::Kind kind);

// INVALID_ARGUMENT (FILE_INVALID), naming the field, for a manifest that the
// rest of the service could not work with.
absl::StatusOr<ModelFacts> ParseManifest(const nlohmann::json& manifest);

// Reads and parses <dir>/manifest.json. NotFound if there is none.
absl::StatusOr<nlohmann::json> ReadManifest(const std::string& dir);

// The name of the model's weights file.
std::string WeightsFileOf(const v1::Model& model);

// What an import brought.
struct ImportedFile {
  std::string name = kWeightsFile;  // in the model's folder
  std::string sha256;
  // The configuration that came in a file of Python's; null if there was none.
  nlohmann::json network;
};

// Makes the manifest of an imported model: from the manifest that came with
// the file, or from kind and network, each of which the file may have had
// itself (it is a teacher's then). Errors as above, also when the manifest that
// came along is of other weights; INVALID_ARGUMENT for a header that leaves
// out what is needed.
absl::StatusOr<nlohmann::json> ManifestOfImport(
    const v1::ImportModelHeader& header, const ImportedFile& file);

// Conversions between JSON and the API's Struct.
absl::StatusOr<nlohmann::json> ToJson(const google::protobuf::Struct& value);
absl::StatusOr<google::protobuf::Struct> ToStruct(const nlohmann::json& json);

}  // namespace retort::registry

#endif  // RETORT_SERVER_REGISTRY_MODEL_MANIFEST_H_
