#include "server/registry/model_import.h"

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/file.h"
#include "core/base/log.h"
#include "core/base/run_dir.h"
#include "core/base/status_macros.h"
#include "server/base/error.h"
#include "server/base/perceptual.h"
#include "server/registry/model_manifest.h"
#include "server/registry/safetensors_header.h"

namespace retort::registry {
namespace {

absl::Status WrongLength(int64_t received, int64_t announced) {
  return service::Error(
      absl::StatusCode::kInvalidArgument, v1::ERROR_REASON_FILE_INVALID,
      absl::StrCat("the file was announced with ", announced, " bytes, but ",
                   received < announced ? "only " : "at least ", received,
                   " came; send the whole file, and its true size in "
                   "header.size_bytes"));
}

}  // namespace

bool IsPythonFormat(v1::ImportModelHeader::Format format) {
  return format == v1::ImportModelHeader::FORMAT_EDM_PICKLE ||
         format == v1::ImportModelHeader::FORMAT_PYTORCH_ZIP;
}

std::string UploadName(v1::ImportModelHeader::Format format) {
  if (IsPythonFormat(format)) return "upload";
  return format == v1::ImportModelHeader::FORMAT_TORCHSCRIPT ? kTorchScriptFile
                                                             : kWeightsFile;
}

absl::StatusOr<std::unique_ptr<ModelImport>> ModelImport::Create(
    const std::string& dir, const std::string& name,
    const v1::ImportModelHeader& header) {
  RETORT_RETURN_IF_ERROR(base::MakeDirs(dir));
  std::unique_ptr<ModelImport> import(new ModelImport(dir, name, header));
  RETORT_ASSIGN_OR_RETURN(import->writer_,
                          base::AtomicFileWriter::Create(absl::StrCat(
                              dir, "/", UploadName(header.format()))));
  return import;
}

ModelImport::~ModelImport() {
  writer_.reset();
  const absl::Status removed = base::RemoveTree(dir_);
  if (!removed.ok()) {
    RETORT_LOG(warn, "cannot remove an upload: {}", removed.ToString());
  }
}

absl::Status ModelImport::Append(absl::string_view bytes) {
  const int64_t received =
      writer_->bytes_written() + static_cast<int64_t>(bytes.size());
  if (received > header_.size_bytes()) {
    return WrongLength(received, header_.size_bytes());
  }
  return writer_->Append(bytes);
}

absl::StatusOr<ImportedFile> ModelImport::Convert(WeightsTool* tool) {
  const std::string upload =
      absl::StrCat(dir_, "/", UploadName(header_.format()));
  const std::string weights = base::ModelDir(dir_).weights_path();
  ImportedFile file;
  RETORT_ASSIGN_OR_RETURN(file.network, tool->Convert(upload, weights));
  RETORT_RETURN_IF_ERROR(base::RemoveTree(upload));
  RETORT_ASSIGN_OR_RETURN(file.sha256, base::Sha256File(weights));
  return file;
}

absl::Status ModelImport::Finish(WeightsTool* tool) {
  if (writer_->bytes_written() != header_.size_bytes()) {
    return WrongLength(writer_->bytes_written(), header_.size_bytes());
  }
  RETORT_RETURN_IF_ERROR(writer_->Commit());
  ImportedFile file{UploadName(header_.format()), writer_->sha256(), {}};
  if (IsPythonFormat(header_.format())) {
    RETORT_ASSIGN_OR_RETURN(file, Convert(tool));
  }
  const base::ModelDir names(dir_);
  std::map<std::string, std::vector<int64_t>> shapes;
  if (file.name == kWeightsFile) {
    RETORT_ASSIGN_OR_RETURN(const std::vector<TensorEntry> entries,
                            ReadTensorEntries(names.weights_path()));
    for (const TensorEntry& entry : entries) shapes[entry.name] = entry.shape;
  }
  RETORT_ASSIGN_OR_RETURN(nlohmann::json manifest,
                          ManifestOfImport(header_, file));
  if (manifest["kind"] == KindName(v1::Model::KIND_PERCEPTUAL)) {
    // Whatever the sender says: specs are checked against it.
    manifest["network"] = service::PerceptualNetwork(shapes);
  }
  return base::AtomicWriteFile(names.manifest_path(), manifest.dump(2) + "\n");
}

}  // namespace retort::registry
