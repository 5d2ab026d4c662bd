#ifndef RETORT_SERVER_REGISTRY_MODEL_IMPORT_H_
#define RETORT_SERVER_REGISTRY_MODEL_IMPORT_H_

#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "core/base/atomic_file_writer.h"
#include "retort/v1/model_service.pb.h"
#include "server/registry/model_manifest.h"
#include "server/registry/weights_tool.h"

namespace retort::registry {

// The name of the file that an upload of this format is written to in its
// folder; what is not the model's own file goes away when it is converted.
std::string UploadName(v1::ImportModelHeader::Format format);

// True for formats of Python's, which are converted to safetensors.
bool IsPythonFormat(v1::ImportModelHeader::Format format);

// A weights file on its way in. The bytes go to a folder of their own, which
// goes away with this object unless ModelStore::CommitImport has moved it to
// the models; so an upload that breaks off leaves nothing behind.
//
//   RETORT_ASSIGN_OR_RETURN(auto import, store->BeginImport(header));
//   for (chunk) RETORT_RETURN_IF_ERROR(import->Append(chunk));
//   RETORT_ASSIGN_OR_RETURN(v1::Model model, store->CommitImport(&*import));
//
// Not thread-safe.
class ModelImport {
 public:
  // Makes the folder `dir`. The model will be called `name`.
  static absl::StatusOr<std::unique_ptr<ModelImport>> Create(
      const std::string& dir, const std::string& name,
      const v1::ImportModelHeader& header);
  ~ModelImport();
  ModelImport(const ModelImport&) = delete;
  ModelImport& operator=(const ModelImport&) = delete;

  // INVALID_ARGUMENT (FILE_INVALID) for more bytes than were announced;
  // RESOURCE_EXHAUSTED when the disk is full.
  absl::Status Append(absl::string_view bytes);

  // All bytes are there: checks their number and the file's structure,
  // converts it with `tool` if need be, and writes the manifest beside it.
  // Afterwards dir() is a model's folder, but for what only the worker can
  // check. INVALID_ARGUMENT (FILE_INVALID), and the errors of `tool`.
  absl::Status Finish(WeightsTool* tool);

  const std::string& dir() const { return dir_; }
  const std::string& name() const { return name_; }
  const v1::ImportModelHeader& header() const { return header_; }

 private:
  ModelImport(std::string dir, std::string name,
              const v1::ImportModelHeader& header)
      : dir_(std::move(dir)), name_(std::move(name)), header_(header) {}

  // Makes weights.safetensors of the upload.
  absl::StatusOr<ImportedFile> Convert(WeightsTool* tool);

  const std::string dir_;
  const std::string name_;
  const v1::ImportModelHeader header_;
  std::unique_ptr<base::AtomicFileWriter> writer_;
};

}  // namespace retort::registry

#endif  // RETORT_SERVER_REGISTRY_MODEL_IMPORT_H_
