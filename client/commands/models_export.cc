#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "client/commands/commands.h"
#include "client/output.h"
#include "core/base/atomic_file_writer.h"
#include "core/base/status_macros.h"
#include "retort/v1/model_service.grpc.pb.h"

namespace retort::client {
namespace {

constexpr char kWeights[] = "weights.safetensors";
// What a TorchScript module has instead.
constexpr char kScript[] = "model.torchscript.pt";

struct ExportOptions {
  std::string name;
  std::string file;
  std::string format;
  std::string out;
};

// Where the bytes go: a file that appears whole, or standard output.
class ExportSink {
 public:
  absl::Status Open(const std::string& path) {
    if (path == "-") return absl::OkStatus();
    auto writer = base::AtomicFileWriter::Create(path);
    if (!writer.ok()) return UsageError(writer.status().message());
    writer_ = *std::move(writer);
    return absl::OkStatus();
  }
  absl::Status Append(const std::string& bytes) {
    if (writer_ == nullptr) return WriteOutput("-", bytes);
    const absl::Status status = writer_->Append(bytes);
    return status.ok() ? status : UsageError(status.message());
  }
  absl::Status Close() {
    if (writer_ == nullptr) return absl::OkStatus();
    const absl::Status status = writer_->Commit();
    return status.ok() ? status : UsageError(status.message());
  }

 private:
  std::unique_ptr<base::AtomicFileWriter> writer_;
};

absl::StatusOr<v1::Model> GetModel(const Context& context,
                                   v1::ModelService::Stub* stub,
                                   const std::string& name) {
  v1::GetModelRequest request;
  request.set_name(name);
  v1::Model model;
  RETORT_RETURN_IF_ERROR(
      context.Call(*stub, &v1::ModelService::Stub::GetModel, request, &model));
  return model;
}

// The name of the model's weights file.
std::string WeightsOf(const v1::Model& model) {
  const bool script = std::find(model.files().begin(), model.files().end(),
                                kScript) != model.files().end();
  return script ? kScript : kWeights;
}

// A state dict has no room for what a preconditioning brings along.
void WarnOfWhatStays(const v1::Model& model) {
  if (model.preconditioning() != v1::PRECONDITIONING_KIND_FITTED_SPECTRAL) {
    return;
  }
  fputs(
      "note: its coefficients per frequency (preconditioning fitted-spectral) "
      "are no part of a state dict, so that this file alone is not the whole "
      "model; to move it to another server export it without --format, with "
      "its manifest.json\n",
      stderr);
}

// Sets what is asked for, and returns the name that it goes by.
absl::StatusOr<std::string> WhatToExport(const Context& context,
                                         v1::ModelService::Stub* stub,
                                         const ExportOptions& options,
                                         v1::ExportModelRequest* request) {
  if (options.format.empty()) {
    std::string file = options.file;
    if (file.empty()) {
      RETORT_ASSIGN_OR_RETURN(const v1::Model model,
                              GetModel(context, stub, request->name()));
      file = WeightsOf(model);
    }
    request->set_file(file);
    return file;
  }
  if (!options.file.empty()) {
    return UsageError(
        "--file names a file as it is, --format what the weights are "
        "converted to: give one of the two");
  }
  if (options.format == "safetensors") {  // as they are
    request->set_file(kWeights);
    return std::string(kWeights);
  }
  if (options.format != "pytorch") {
    return UsageError(absl::StrCat("--format is pytorch or safetensors, not ",
                                   options.format));
  }
  request->set_conversion(v1::ExportModelRequest::CONVERSION_PYTORCH_ZIP);
  RETORT_ASSIGN_OR_RETURN(const v1::Model model,
                          GetModel(context, stub, request->name()));
  WarnOfWhatStays(model);
  return std::string("weights.pt");
}

absl::Status ExportModel(Context* context, const ExportOptions& options) {
  v1::ExportModelRequest request;
  request.set_name(context->Model(options.name));
  auto stub = context->NewStub<v1::ModelService>();
  RETORT_ASSIGN_OR_RETURN(
      const std::string what,
      WhatToExport(*context, stub.get(), options, &request));
  const std::string path =
      options.out.empty() ? absl::StrCat(ShortName(request.name()), "-", what)
                          : options.out;
  auto call = context->NewCall(Context::CallKind::kLong);
  auto stream = stub->ExportModel(call.get(), request);
  v1::ExportModelResponse response;
  ExportSink sink;
  int64_t bytes = 0, size = -1;
  while (stream->Read(&response)) {
    if (size < 0) {
      size = response.size_bytes();
      RETORT_RETURN_IF_ERROR(sink.Open(path));
    }
    bytes += response.chunk().size();
    RETORT_RETURN_IF_ERROR(sink.Append(response.chunk()));
  }
  RETORT_RETURN_IF_ERROR(context->Check(stream->Finish()));
  if (bytes != size) {
    return absl::DataLossError(absl::StrCat(
        "got ", bytes, " of ", Counted(size, "byte"), "; export again"));
  }
  RETORT_RETURN_IF_ERROR(sink.Close());
  if (path == "-") return absl::OkStatus();
  puts(context->options.json
           ? nlohmann::json{{"path", path}, {"bytes", bytes}}.dump().c_str()
           : absl::StrCat("wrote ", path, ", ", Bytes(bytes)).c_str());
  return absl::OkStatus();
}

}  // namespace

void AddModelsExport(CLI::App* parent, Context* context) {
  auto options = std::make_shared<ExportOptions>();
  CLI::App* command =
      AddCommand(parent, context, "export", "Write a file of a model",
                 [=] { return ExportModel(context, *options); });
  command->add_option("MODEL", options->name, "Id or full name")->required();
  command->add_option("--file", options->file,
                      "Which one: weights.safetensors, manifest.json, "
                      "preconditioning.svg, ... Default: the weights");
  command->add_option("--format", options->format,
                      "Convert the weights: pytorch, a state dict for "
                      "torch.load. Default: safetensors, as they are");
  command->add_option("-o,--out", options->out,
                      "Where to; - is standard output. Default: "
                      "<model>-<file>");
  command->footer(
      "Examples:\n  retort models export my-student --out "
      "weights.safetensors\n"
      "  retort models export my-student --format pytorch --out student.pt\n"
      "  retort models export my-student --file manifest.json --out -");
}

}  // namespace retort::client
