#ifndef RETORT_CORE_IO_MODEL_FILE_H_
#define RETORT_CORE_IO_MODEL_FILE_H_

#include <map>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/io/model_manifest.h"
#include "core/io/safetensors.h"

// Model directories: manifest.json, weights.safetensors and what else the
// model's kind has (docs/formats.md). A directory under its final name is
// whole; whoever finds one may read it at once.
namespace retort::io {

// Names of tensors in weights.safetensors that are no part of the network, but
// of the preconditioning that it was trained with, where that is too large for
// the manifest (docs/formats.md).
inline constexpr char kPreconditioningPrefix[] = "preconditioning.";

struct ModelDirContents {
  ModelManifest manifest;
  TensorMap tensors;  // of weights.safetensors, but those of the next line
  TensorMap preconditioning;  // with kPreconditioningPrefix, here without it
  std::map<std::string, std::string> metadata;  // of weights.safetensors
};

// Writes `dir`: first everything into <dir>.tmp, the manifest last, then
// renames. An older directory of that name is replaced once the new one is
// complete, and stays as it was on any error. `extra_files` maps plain file
// names to contents. Returns the manifest as written, hashes filled in.
//
// Errors: those of WriteSafetensors, and InvalidArgument for a bad kind or
// file name.
absl::StatusOr<ModelManifest> WriteModelDir(
    const std::string& dir, ModelManifest manifest, const TensorMap& tensors,
    const std::map<std::string, std::string>& extra_files = {});

// Reads manifest and weights and verifies every file the manifest lists
// against its SHA-256. Extra files are verified, not returned.
//
// Errors: NotFound without a manifest; InvalidArgument for a malformed one, and
// for a TorchScript module, which has no tensors to read;
// DataLoss, with file, expected and actual hash, when a listed file is
// missing or differs.
absl::StatusOr<ModelDirContents> ReadModelDir(const std::string& dir);

// Reads the manifest and verifies every file it lists, whatever they hold.
// Errors: those of ReadModelDir.
absl::StatusOr<ModelManifest> VerifyModelDir(const std::string& dir);

// Reads the manifest alone: no hash is verified.
absl::StatusOr<ModelManifest> ReadModelManifest(const std::string& dir);

}  // namespace retort::io

#endif  // RETORT_CORE_IO_MODEL_FILE_H_
