#include "server/registry/model_manifest.h"

#include <google/protobuf/util/json_util.h>

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "core/base/file.h"
#include "core/base/run_dir.h"
#include "core/base/status_macros.h"
#include "server/base/error.h"

namespace retort::registry {
namespace {

using Json = nlohmann::json;

constexpr int64_t kMaxManifestBytes = int64_t{16} << 20;
constexpr int kFormatVersion = 1;
constexpr int64_t kMaxImageSide = 4096;
constexpr int64_t kMaxClasses = 1 << 20;

absl::Status BadManifest(absl::string_view what) {
  return service::Error(
      absl::StatusCode::kInvalidArgument, v1::ERROR_REASON_FILE_INVALID,
      absl::StrCat("the model's manifest is not usable: ", what));
}

absl::StatusOr<v1::Model::Kind> ParseKind(const Json& manifest) {
  const auto found = manifest.find("kind");
  const std::string name = found != manifest.end() && found->is_string()
                               ? found->get<std::string>()
                               : "";
  for (int i = v1::Model::Kind_MIN; i <= v1::Model::Kind_MAX; ++i) {
    const auto kind = static_cast<v1::Model::Kind>(i);
    if (kind != v1::Model::KIND_UNSPECIFIED && KindName(kind) == name) {
      return kind;
    }
  }
  return BadManifest(
      "'kind' must be teacher, cm, ctm, preconditioning, feature_extractor or "
      "perceptual");
}

v1::PreconditioningKind ParsePreconditioning(const Json& manifest) {
  const Json group = manifest.value("preconditioning", Json::object());
  if (!group.is_object()) return v1::PRECONDITIONING_KIND_UNSPECIFIED;
  const Json name = group.value("name", Json());
  if (!name.is_string()) return v1::PRECONDITIONING_KIND_UNSPECIFIED;
  v1::PreconditioningKind kind = v1::PRECONDITIONING_KIND_UNSPECIFIED;
  v1::PreconditioningKind_Parse(
      absl::StrCat("PRECONDITIONING_KIND_",
                   absl::AsciiStrToUpper(absl::StrReplaceAll(
                       name.get<std::string>(), {{"-", "_"}}))),
      &kind);
  return kind;
}

// Reads a whole number from `network`; `fallback` if it is not there.
absl::StatusOr<int64_t> Number(const Json& network, const char* field,
                               int64_t fallback, int64_t most) {
  const auto found = network.find(field);
  if (found == network.end()) return fallback;
  if (!found->is_number_integer() || *found < 0 || *found > most) {
    return BadManifest(absl::StrCat(
        "'network.", field, "' must be a whole number from 0 to ", most));
  }
  return found->get<int64_t>();
}

bool IsTorchScript(const Json& network) {
  return network.is_object() && network.value("type", Json()) == "torchscript";
}

absl::Status ParseNetwork(const Json& manifest, ModelFacts* facts) {
  const Json network = manifest.value("network", Json::object());
  if (!network.is_object()) return BadManifest("'network' must be an object");
  const bool script = IsTorchScript(network);
  if (script && facts->kind != v1::Model::KIND_FEATURE_EXTRACTOR) {
    return BadManifest(
        "a TorchScript module serves as feature extractor only; set kind "
        "feature_extractor");
  }
  facts->weights_file = script ? kTorchScriptFile : kWeightsFile;
  const bool makes_images = facts->kind == v1::Model::KIND_TEACHER ||
                            facts->kind == v1::Model::KIND_CM ||
                            facts->kind == v1::Model::KIND_CTM;
  if (!makes_images) return absl::OkStatus();
  RETORT_ASSIGN_OR_RETURN(facts->resolution,
                          Number(network, "img_resolution", 0, kMaxImageSide));
  RETORT_ASSIGN_OR_RETURN(facts->channels,
                          Number(network, "img_channels", 0, kMaxImageSide));
  RETORT_ASSIGN_OR_RETURN(facts->classes,
                          Number(network, "label_dim", 0, kMaxClasses));
  if (facts->resolution == 0 || facts->channels == 0) {
    return BadManifest(
        "'network' must name img_resolution and img_channels, both above 0");
  }
  return absl::OkStatus();
}

bool IsSha256(const Json& value) {
  if (!value.is_string()) return false;
  const std::string& hex = value.get_ref<const std::string&>();
  return hex.size() == 64 && std::all_of(hex.begin(), hex.end(), [](char c) {
           return absl::ascii_isdigit(c) || (c >= 'a' && c <= 'f');
         });
}

absl::Status ParseFiles(const Json& manifest, ModelFacts* facts) {
  const Json files = manifest.value("files", Json());
  if (!files.is_object()) return BadManifest("'files' must be an object");
  for (const auto& [name, hash] : files.items()) {
    // Only what PathComponent() leaves as it is stays within the folder.
    if (base::PathComponent(name) != name || name == kManifestFile) {
      return BadManifest("'files' has a name that is not a plain one");
    }
    if (!IsSha256(hash)) {
      return BadManifest(absl::StrCat("'files' has no SHA-256 for ", name));
    }
    facts->files[name] = hash.get<std::string>();
  }
  if (facts->files.count(facts->weights_file) == 0) {
    return BadManifest(
        absl::StrCat("'files' does not list ", facts->weights_file));
  }
  return absl::OkStatus();
}

// The kind that the header names, or that the file can only be of.
v1::Model::Kind KindOf(const v1::ImportModelHeader& header,
                       const ImportedFile& file) {
  if (header.kind() != v1::Model::KIND_UNSPECIFIED) return header.kind();
  if (file.name == kTorchScriptFile) return v1::Model::KIND_FEATURE_EXTRACTOR;
  if (file.network.is_object()) return v1::Model::KIND_TEACHER;
  return v1::Model::KIND_UNSPECIFIED;
}

absl::StatusOr<Json> ManifestOfNetwork(const v1::ImportModelHeader& header,
                                       const ImportedFile& file) {
  const v1::Model::Kind model_kind = KindOf(header, file);
  const std::string kind = KindName(model_kind);
  if (kind.empty()) {
    return service::BadField("header.kind",
                             "is needed where no manifest is given");
  }
  if (model_kind == v1::Model::KIND_PRECONDITIONING) {
    return service::BadField(
        "header.manifest",
        "is needed for a preconditioning: send the manifest.json that lies "
        "beside its weights");
  }
  Json network = Json::object();
  if (header.has_network()) {
    RETORT_ASSIGN_OR_RETURN(network, ToJson(header.network()));
  } else if (file.network.is_object()) {
    network = file.network;
  } else if (file.name == kTorchScriptFile) {
    network["type"] = "torchscript";
  } else if (model_kind != v1::Model::KIND_FEATURE_EXTRACTOR &&
             model_kind != v1::Model::KIND_PERCEPTUAL) {
    return service::BadField(
        "header.network",
        "is needed where no manifest is given and the file has tensors only");
  }
  if (network.value("two_times", Json()) == true &&
      model_kind != v1::Model::KIND_CTM) {
    return service::BadField(
        "header.kind",
        absl::StrCat("is ", kind,
                     ", but the network takes a second time "
                     "(two_times), as those of kind ctm alone do; import it as "
                     "ctm, or name a network without two_times"));
  }
  Json preconditioning = Json::object();
  if (model_kind == v1::Model::KIND_CM) preconditioning["name"] = "cm";
  if (model_kind == v1::Model::KIND_CTM) preconditioning["name"] = "ctm";
  return Json{{"format_version", kFormatVersion},
              {"kind", kind},
              {"network", network},
              {"preconditioning", preconditioning},
              {"lineage", {{"source", "import"}}}};
}

// Checks what the manifest that came along says of the weights.
absl::Status CheckClaims(const Json& manifest,
                         const v1::ImportModelHeader& header,
                         const std::string& weights_sha256) {
  const Json claimed = manifest.value("weights_sha256", Json());
  if (claimed.is_string() && claimed != weights_sha256) {
    return BadManifest(absl::StrCat(
        "it is of weights with SHA-256 ", claimed.get<std::string>(),
        ", but the file that was sent has ", weights_sha256,
        "; send the file and the manifest.json that belong together"));
  }
  const std::string kind = KindName(header.kind());
  if (!kind.empty() && manifest.value("kind", Json()) != kind) {
    return service::BadField(
        "header.kind", absl::StrCat("is ", kind,
                                    ", but the manifest says otherwise; leave "
                                    "it out"));
  }
  return absl::OkStatus();
}

}  // namespace

std::string KindName(v1::Model::Kind kind) {
  switch (kind) {
    case v1::Model::KIND_TEACHER:
      return "teacher";
    case v1::Model::KIND_CM:
      return "cm";
    case v1::Model::KIND_CTM:
      return "ctm";
    case v1::Model::KIND_PRECONDITIONING:
      return "preconditioning";
    case v1::Model::KIND_FEATURE_EXTRACTOR:
      return "feature_extractor";
    case v1::Model::KIND_PERCEPTUAL:
      return "perceptual";
    default:
      return "";
  }
}

absl::StatusOr<ModelFacts> ParseManifest(const Json& manifest) {
  if (!manifest.is_object()) return BadManifest("it is not a JSON object");
  if (manifest.value("format_version", Json()) != kFormatVersion) {
    return BadManifest(absl::StrCat("'format_version' must be ", kFormatVersion,
                                    "; use a newer server, or export the model "
                                    "again"));
  }
  ModelFacts facts;
  RETORT_ASSIGN_OR_RETURN(facts.kind, ParseKind(manifest));
  facts.preconditioning = ParsePreconditioning(manifest);
  RETORT_RETURN_IF_ERROR(ParseNetwork(manifest, &facts));
  RETORT_RETURN_IF_ERROR(ParseFiles(manifest, &facts));
  return facts;
}

absl::StatusOr<Json> ReadManifest(const std::string& dir) {
  RETORT_ASSIGN_OR_RETURN(
      const std::string text,
      base::ReadFile(base::ModelDir(dir).manifest_path(), kMaxManifestBytes));
  Json manifest = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (manifest.is_discarded()) return BadManifest("it is not JSON");
  return manifest;
}

std::string WeightsFileOf(const v1::Model& model) {
  const auto& files = model.files();
  const bool script =
      std::find(files.begin(), files.end(), kTorchScriptFile) != files.end();
  return script ? kTorchScriptFile : kWeightsFile;
}

absl::StatusOr<Json> ManifestOfImport(const v1::ImportModelHeader& header,
                                      const ImportedFile& file) {
  Json manifest;
  if (header.has_manifest()) {
    RETORT_ASSIGN_OR_RETURN(manifest, ToJson(header.manifest()));
    RETORT_RETURN_IF_ERROR(CheckClaims(manifest, header, file.sha256));
  } else {
    RETORT_ASSIGN_OR_RETURN(manifest, ManifestOfNetwork(header, file));
  }
  const bool script = IsTorchScript(manifest.value("network", Json()));
  if (script != (file.name == kTorchScriptFile)) {
    return service::BadField(
        "header.format", script ? "must be TORCHSCRIPT for such a network"
                                : "must not be TORCHSCRIPT for a network of "
                                  "tensors");
  }
  // Of a model's files only the weights travel in an import.
  manifest["files"] = {{file.name, file.sha256}};
  manifest["weights_sha256"] = file.sha256;
  RETORT_RETURN_IF_ERROR(ParseManifest(manifest).status());
  return manifest;
}

absl::StatusOr<Json> ToJson(const google::protobuf::Struct& value) {
  std::string text;
  const auto status = google::protobuf::util::MessageToJsonString(value, &text);
  Json json = status.ok() ? Json::parse(text, nullptr, false) : Json();
  if (!json.is_object()) return BadManifest("it cannot be written as JSON");
  return json;
}

absl::StatusOr<google::protobuf::Struct> ToStruct(const Json& json) {
  google::protobuf::Struct value;
  const std::string text =
      json.dump(-1, ' ', false, Json::error_handler_t::replace);
  if (!google::protobuf::util::JsonStringToMessage(text, &value).ok()) {
    return BadManifest("it nests too deep");
  }
  return value;
}

}  // namespace retort::registry
