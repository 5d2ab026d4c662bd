#include "core/io/model_manifest.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "core/base/run_dir.h"
#include "core/base/status_macros.h"

namespace retort::io {
namespace {

using Json = nlohmann::json;

constexpr absl::string_view kKinds[] = {
    "teacher",           "cm",        "ctm", "preconditioning",
    "feature_extractor", "perceptual"};
constexpr absl::string_view kFields[] = {
    "format_version", "kind",  "network",       "preconditioning",
    "lineage",        "files", "weights_sha256"};

absl::Status BadField(absl::string_view field, absl::string_view what) {
  return absl::InvalidArgumentError(
      absl::StrCat("malformed model manifest: field '", field, "' ", what));
}

bool IsSha256(const Json& value) {
  if (!value.is_string()) return false;
  const std::string& hex = value.get_ref<const std::string&>();
  return hex.size() == 64 && std::all_of(hex.begin(), hex.end(), [](char c) {
           return absl::ascii_isdigit(c) || (c >= 'a' && c <= 'f');
         });
}

// Copies an object-valued field; a missing one stays {}.
absl::Status GetObject(const Json& json, const char* field, Json* value) {
  const auto found = json.find(field);
  if (found == json.end()) return absl::OkStatus();
  if (!found->is_object()) return BadField(field, "must be an object");
  *value = *found;
  return absl::OkStatus();
}

absl::Status CheckFieldNames(const Json& json) {
  for (const auto& item : json.items()) {
    if (std::find(std::begin(kFields), std::end(kFields), item.key()) ==
        std::end(kFields)) {
      return BadField(item.key(), "is not known in this version");
    }
  }
  return absl::OkStatus();
}

absl::Status ParseVersion(const Json& json, int* version) {
  const auto found = json.find("format_version");
  if (found == json.end() || !found->is_number_integer()) {
    return BadField("format_version", "must be a whole number");
  }
  if (*found != kModelFormatVersion) {
    return BadField("format_version",
                    absl::StrCat("is ", found->dump(), "; this program reads ",
                                 kModelFormatVersion,
                                 ": use a newer program, or export the model "
                                 "again"));
  }
  *version = kModelFormatVersion;
  return absl::OkStatus();
}

absl::Status ParseFiles(const Json& json,
                        std::map<std::string, std::string>* files) {
  const auto found = json.find("files");
  if (found == json.end() || !found->is_object()) {
    return BadField("files", "must be an object of name and SHA-256");
  }
  for (const auto& [name, hash] : found->items()) {
    // Only what PathComponent() leaves as it is stays within the directory.
    if (base::PathComponent(name) != name || name == "manifest.json") {
      return BadField("files", absl::StrCat("has the name '", name,
                                            "', which is not a plain one"));
    }
    if (!IsSha256(hash)) {
      return BadField("files", absl::StrCat("has no SHA-256 for ", name));
    }
    (*files)[name] = hash.get<std::string>();
  }
  return absl::OkStatus();
}

}  // namespace

bool IsModelKind(absl::string_view kind) {
  return std::find(std::begin(kKinds), std::end(kKinds), kind) !=
         std::end(kKinds);
}

bool ModelManifest::is_torchscript() const {
  return network.value("type", Json()) == "torchscript";
}

Json ModelManifest::ToJson() const {
  return Json{{"format_version", format_version},
              {"kind", kind},
              {"network", network},
              {"preconditioning", preconditioning},
              {"lineage", lineage},
              {"files", files},
              {"weights_sha256", weights_sha256}};
}

absl::StatusOr<ModelManifest> ModelManifest::FromJson(const Json& json) {
  if (!json.is_object()) {
    return absl::InvalidArgumentError(
        "malformed model manifest: it is not a JSON object");
  }
  ModelManifest manifest;
  // First: a later version may well have other fields.
  RETORT_RETURN_IF_ERROR(ParseVersion(json, &manifest.format_version));
  RETORT_RETURN_IF_ERROR(CheckFieldNames(json));
  const auto kind = json.find("kind");
  if (kind == json.end() || !kind->is_string() ||
      !IsModelKind(kind->get_ref<const std::string&>())) {
    return BadField("kind",
                    "must be teacher, cm, ctm, preconditioning, "
                    "feature_extractor or perceptual");
  }
  manifest.kind = kind->get<std::string>();
  RETORT_RETURN_IF_ERROR(GetObject(json, "network", &manifest.network));
  RETORT_RETURN_IF_ERROR(
      GetObject(json, "preconditioning", &manifest.preconditioning));
  RETORT_RETURN_IF_ERROR(GetObject(json, "lineage", &manifest.lineage));
  RETORT_RETURN_IF_ERROR(ParseFiles(json, &manifest.files));
  const char* const content =
      manifest.is_torchscript() ? kTorchScriptFile : "weights.safetensors";
  const auto weights = manifest.files.find(content);
  if (weights == manifest.files.end()) {
    return BadField("files", absl::StrCat("does not list ", content));
  }
  manifest.weights_sha256 = weights->second;
  if (json.value("weights_sha256", Json()) != manifest.weights_sha256) {
    return BadField("weights_sha256", "differs from the one in 'files'");
  }
  return manifest;
}

}  // namespace retort::io
