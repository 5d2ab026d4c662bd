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

struct ExportOptions {
  std::string name;
  std::string file = "weights.safetensors";
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

absl::Status ExportModel(Context* context, const ExportOptions& options) {
  v1::ExportModelRequest request;
  request.set_name(context->Model(options.name));
  request.set_file(options.file);
  const std::string path =
      options.out.empty()
          ? absl::StrCat(ShortName(request.name()), "-", options.file)
          : options.out;
  auto stub = context->NewStub<v1::ModelService>();
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
    return absl::DataLossError(
        absl::StrCat("got ", bytes, " of ", size, " bytes; export again"));
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
  command
      ->add_option("--file", options->file,
                   "Which one: weights.safetensors, manifest.json, "
                   "preconditioning.svg, ...")
      ->capture_default_str();
  command->add_option("-o,--out", options->out,
                      "Where to; - is standard output. Default: "
                      "<model>-<file>");
  command->footer(
      "Examples:\n  retort models export my-student --out "
      "weights.safetensors\n"
      "  retort models export my-student --file manifest.json --out -");
}

}  // namespace retort::client
