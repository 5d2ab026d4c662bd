#include "server/worker/convert_weights.h"

#include <functional>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "core/base/status_macros.h"
#include "core/io/export_weights.h"
#include "core/io/import_weights.h"
#include "core/io/model_file.h"
#include "core/io/safetensors.h"

namespace retort::worker {
namespace {

using Json = nlohmann::json;

Json Refusal(const absl::Status& status) {
  return {{"ok", false},
          {"error", std::string(status.message())},
          {"code", absl::StatusCodeToString(status.code())}};
}

absl::StatusOr<Json> Import(const std::string& file, const std::string& out) {
  const auto imported = io::ImportWeights(file);
  if (!imported.ok()) {
    absl::string_view message = imported.status().message();
    absl::ConsumePrefix(&message, file + ": ");
    return absl::Status(imported.status().code(), message);
  }
  RETORT_RETURN_IF_ERROR(
      io::WriteSafetensors(out, imported->tensors, {{"format", "pt"}}));
  return Json{
      {"ok", true}, {"form", imported->form}, {"network", imported->network}};
}

absl::StatusOr<Json> Export(const std::string& dir, const std::string& out) {
  RETORT_ASSIGN_OR_RETURN(const io::ModelManifest manifest,
                          io::ReadModelManifest(dir));
  if (manifest.is_torchscript()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "it is a TorchScript module, which torch.jit.load reads as it is; "
        "export its ",
        io::kTorchScriptFile));
  }
  RETORT_ASSIGN_OR_RETURN(const io::ModelDirContents contents,
                          io::ReadModelDir(dir));
  RETORT_RETURN_IF_ERROR(io::ExportTorchFile(out, contents.tensors));
  return Json{{"ok", true}};
}

// LibTorch throws, and memory may end.
Json Answer(const std::function<absl::StatusOr<Json>()>& work) {
  try {
    const absl::StatusOr<Json> result = work();
    return result.ok() ? *result : Refusal(result.status());
  } catch (const c10::Error& error) {
    return Refusal(absl::InvalidArgumentError(error.what_without_backtrace()));
  } catch (const std::bad_alloc&) {
    return Refusal(absl::ResourceExhaustedError(
        "out of memory while converting the weights"));
  }
}

}  // namespace

Json ImportWeightsFile(const std::string& file, const std::string& out) {
  return Answer([&] { return Import(file, out); });
}

Json ExportWeightsFile(const std::string& dir, const std::string& out) {
  return Answer([&] { return Export(dir, out); });
}

}  // namespace retort::worker
