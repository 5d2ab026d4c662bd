#include "core/io/model_file.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "core/base/file.h"
#include "core/base/run_dir.h"
#include "core/base/status_macros.h"

namespace retort::io {
namespace {

constexpr char kWeightsName[] = "weights.safetensors";
// Manifests are a few kilobytes; lineage may quote a spec.
constexpr int64_t kMaxManifestBytes = int64_t{16} << 20;

absl::Status HashMismatch(const std::string& path, const std::string& expected,
                          const std::string& actual) {
  return absl::DataLossError(absl::StrCat(
      path, " is damaged: expected SHA-256 ", expected, ", found ", actual,
      "; restore the model from its source or import it again"));
}

absl::Status VerifyFile(const std::string& path, const std::string& expected) {
  const auto actual = base::Sha256File(path);
  if (absl::IsNotFound(actual.status())) {
    return absl::DataLossError(absl::StrCat(
        path,
        " is missing though the manifest lists it; restore the model "
        "from its source or import it again"));
  }
  if (!actual.ok()) return actual.status();
  if (*actual != expected) return HashMismatch(path, expected, *actual);
  return absl::OkStatus();
}

std::string FilePath(const std::string& dir, const std::string& name) {
  return absl::StrCat(dir, "/", name);
}

absl::Status VerifyExtraFiles(const std::string& dir,
                              const ModelManifest& manifest) {
  for (const auto& [name, hash] : manifest.files) {
    if (name == kWeightsName) continue;
    RETORT_RETURN_IF_ERROR(VerifyFile(FilePath(dir, name), hash));
  }
  return absl::OkStatus();
}

// Writes everything into `dir`, which exists, the manifest last.
absl::Status WriteFiles(const std::string& dir, const TensorMap& tensors,
                        const std::map<std::string, std::string>& extra_files,
                        ModelManifest* manifest) {
  const base::ModelDir names(dir);
  manifest->files.clear();
  RETORT_RETURN_IF_ERROR(WriteSafetensors(names.weights_path(), tensors,
                                          {{"format", "pt"}},
                                          &manifest->weights_sha256));
  manifest->files[kWeightsName] = manifest->weights_sha256;
  for (const auto& [name, content] : extra_files) {
    RETORT_RETURN_IF_ERROR(base::AtomicWriteFile(FilePath(dir, name), content));
    manifest->files[name] = base::Sha256Hex(content);
  }
  std::string text;
  try {
    text = manifest->ToJson().dump(2) + "\n";
  } catch (const nlohmann::json::exception& error) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the manifest holds text that is not UTF-8: ", error.what()));
  }
  return base::AtomicWriteFile(names.manifest_path(), text);
}

absl::Status CheckArguments(
    const ModelManifest& manifest,
    const std::map<std::string, std::string>& extra_files) {
  if (!IsModelKind(manifest.kind)) {
    return absl::InvalidArgumentError(
        absl::StrCat("unknown model kind '", manifest.kind, "'"));
  }
  for (const auto& item : extra_files) {
    const std::string& name = item.first;
    if (base::PathComponent(name) != name || name == kWeightsName ||
        name == "manifest.json") {
      return absl::InvalidArgumentError(absl::StrCat(
          "'", name, "' cannot be the name of an extra file of a model"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ModelManifest> WriteModelDir(
    const std::string& dir, ModelManifest manifest, const TensorMap& tensors,
    const std::map<std::string, std::string>& extra_files) {
  RETORT_RETURN_IF_ERROR(CheckArguments(manifest, extra_files));
  manifest.format_version = kModelFormatVersion;
  const std::string temporary = dir + ".tmp";
  // What a crash left; nobody else writes this model.
  RETORT_RETURN_IF_ERROR(base::RemoveTree(temporary));
  RETORT_RETURN_IF_ERROR(base::MakeDirs(temporary));
  absl::Cleanup remove_temporary = [&] {
    base::RemoveTree(temporary).IgnoreError();
  };
  RETORT_RETURN_IF_ERROR(
      WriteFiles(temporary, tensors, extra_files, &manifest));
  RETORT_RETURN_IF_ERROR(base::ReplaceDir(temporary, dir));
  return manifest;
}

absl::StatusOr<ModelManifest> ReadModelManifest(const std::string& dir) {
  const std::string path = base::ModelDir(dir).manifest_path();
  RETORT_ASSIGN_OR_RETURN(const std::string text,
                          base::ReadFile(path, kMaxManifestBytes));
  const auto json = nlohmann::json::parse(text, /*cb=*/nullptr,
                                          /*allow_exceptions=*/false);
  if (json.is_discarded()) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": malformed model manifest: it is not JSON"));
  }
  auto manifest = ModelManifest::FromJson(json);
  if (!manifest.ok()) {
    return absl::Status(manifest.status().code(),
                        absl::StrCat(path, ": ", manifest.status().message()));
  }
  return manifest;
}

absl::StatusOr<ModelManifest> VerifyModelDir(const std::string& dir) {
  RETORT_ASSIGN_OR_RETURN(ModelManifest manifest, ReadModelManifest(dir));
  for (const auto& [name, hash] : manifest.files) {
    RETORT_RETURN_IF_ERROR(VerifyFile(FilePath(dir, name), hash));
  }
  return manifest;
}

absl::StatusOr<ModelDirContents> ReadModelDir(const std::string& dir) {
  ModelDirContents contents;
  RETORT_ASSIGN_OR_RETURN(contents.manifest, ReadModelManifest(dir));
  if (contents.manifest.is_torchscript()) {
    return absl::InvalidArgumentError(absl::StrCat(
        dir,
        " holds a TorchScript module, which serves as feature extractor "
        "only"));
  }
  RETORT_RETURN_IF_ERROR(VerifyExtraFiles(dir, contents.manifest));
  const std::string path = base::ModelDir(dir).weights_path();
  const std::string& expected = contents.manifest.weights_sha256;
  std::string actual;
  auto weights = ReadSafetensors(path, &actual);
  // Damage may show as a parse error; the hash is the better news.
  if (!weights.ok()) {
    RETORT_RETURN_IF_ERROR(VerifyFile(path, expected));
    return weights.status();
  }
  if (actual != expected) return HashMismatch(path, expected, actual);
  for (auto& [name, tensor] : weights->tensors) {
    absl::string_view rest = name;
    if (absl::ConsumePrefix(&rest, kPreconditioningPrefix)) {
      contents.preconditioning[std::string(rest)] = std::move(tensor);
    } else {
      contents.tensors[name] = std::move(tensor);
    }
  }
  contents.metadata = std::move(weights->metadata);
  return contents;
}

}  // namespace retort::io
