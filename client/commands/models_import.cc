#include <google/protobuf/util/json_util.h>

#include <algorithm>
#include <fstream>
#include <memory>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "client/commands/commands.h"
#include "client/flag_values.h"
#include "client/model_format.h"
#include "client/output.h"
#include "client/spec_file.h"
#include "core/base/file.h"
#include "core/base/status_macros.h"
#include "retort/v1/model_service.grpc.pb.h"

namespace retort::client {
namespace {

constexpr size_t kChunkBytes = 1 << 20;

struct ImportOptions {
  std::string file;
  std::string manifest;
  std::string network;
  std::string kind;
  std::string format;
  std::string id;
  std::string display_name;
};

absl::Status ReadJsonFile(const std::string& path,
                          google::protobuf::Struct* out) {
  const absl::StatusOr<std::string> text = base::ReadFile(path, 64 << 20);
  if (!text.ok()) return UsageError(text.status().message());
  const auto status = google::protobuf::util::JsonStringToMessage(*text, out);
  if (status.ok()) return absl::OkStatus();
  // The parser's message quotes the text, which may be anything.
  std::string why(status.message());
  why.resize(std::min(why.find('\n'), why.size()));
  return SpecError(absl::StrCat(path, ": is not a JSON object (",
                                absl::CHexEscape(why),
                                "); give the manifest.json of the model"));
}

absl::StatusOr<v1::ImportModelHeader::Format> FormatOf(
    const ImportOptions& options) {
  if (options.format.empty()) return RecogniseFormat(options.file);
  RETORT_ASSIGN_OR_RETURN(
      const int format,
      ParseEnumFlag("--format", options.format,
                    *v1::ImportModelHeader::Format_descriptor()));
  return static_cast<v1::ImportModelHeader::Format>(format);
}

// What other kinds are made of is in the code, or anything.
bool NeedsNetwork(v1::Model::Kind kind) {
  return kind != v1::Model::KIND_FEATURE_EXTRACTOR &&
         kind != v1::Model::KIND_PERCEPTUAL;
}

absl::StatusOr<v1::ImportModelHeader> MakeImportHeader(
    const Context& context, const ImportOptions& options) {
  v1::ImportModelHeader header;
  header.set_parent(context.Parent());
  header.set_model_id(options.id);
  header.set_display_name(options.display_name);
  header.set_request_id(NewRequestId());
  RETORT_ASSIGN_OR_RETURN(const v1::ImportModelHeader::Format format,
                          FormatOf(options));
  header.set_format(format);
  if (!options.kind.empty()) {
    RETORT_ASSIGN_OR_RETURN(
        const int kind,
        ParseEnumFlag("--kind", options.kind, *v1::Model::Kind_descriptor()));
    header.set_kind(static_cast<v1::Model::Kind>(kind));
  }
  if (!options.manifest.empty()) {
    RETORT_RETURN_IF_ERROR(
        ReadJsonFile(options.manifest, header.mutable_manifest()));
  } else if (format == v1::ImportModelHeader::FORMAT_SAFETENSORS &&
             (options.kind.empty() ||
              (options.network.empty() && NeedsNetwork(header.kind())))) {
    return UsageError(
        "what the weights are of must be said: --manifest manifest.json, or "
        "--kind and --network network.json");
  }
  if (!options.network.empty()) {
    RETORT_RETURN_IF_ERROR(
        ReadJsonFile(options.network, header.mutable_network()));
  }
  const absl::StatusOr<int64_t> size = base::FileSize(options.file);
  if (!size.ok()) return UsageError(size.status().message());
  header.set_size_bytes(*size);
  return header;
}

absl::Status ImportModel(Context* context, const ImportOptions& options) {
  v1::ImportModelRequest request;
  RETORT_ASSIGN_OR_RETURN(*request.mutable_header(),
                          MakeImportHeader(*context, options));
  std::ifstream file(options.file, std::ios::binary);
  if (!file) return UsageError(absl::StrCat("cannot read ", options.file));
  auto stub = context->NewStub<v1::ModelService>();
  auto call = context->NewCall(Context::CallKind::kLong);
  v1::Model model;
  auto stream = stub->ImportModel(call.get(), &model);
  bool open = stream->Write(request);
  std::string chunk(kChunkBytes, '\0');
  while (open && file) {
    file.read(chunk.data(), chunk.size());
    if (file.gcount() == 0) break;
    request.set_chunk(chunk.data(), file.gcount());
    open = stream->Write(request);  // false: the server has answered already
  }
  stream->WritesDone();
  RETORT_RETURN_IF_ERROR(context->Check(stream->Finish()));
  if (context->options.json) {
    PrintJson(model);
  } else {
    puts(absl::StrCat("imported ", ShortName(model.name()), ": ",
                      Counted(model.parameters(), "parameter"), ", weights ",
                      model.weights_sha256().substr(0, 12))
             .c_str());
  }
  return absl::OkStatus();
}

}  // namespace

void AddModelsImport(CLI::App* parent, Context* context) {
  auto options = std::make_shared<ImportOptions>();
  CLI::App* command =
      AddCommand(parent, context, "import", "Bring a weights file in",
                 [=] { return ImportModel(context, *options); });
  command
      ->add_option("FILE", options->file,
                   "weights.safetensors, EDM's network-snapshot-*.pkl or "
                   "training-state-*.pt, a state dict of torch.save, or a "
                   "TorchScript module")
      ->required();
  command->add_option("--manifest", options->manifest,
                      "manifest.json as written by Retort");
  command->add_option("--network", options->network,
                      "JSON file with the network's fields, instead of a "
                      "manifest");
  command->add_option("--kind", options->kind,
                      "teacher, cm, ctm, preconditioning, feature-extractor or "
                      "perceptual");
  command->add_option("--format", options->format,
                      "safetensors, edm-pickle, pytorch-zip or torchscript. "
                      "Default: as the file's bytes say");
  command->add_option("--id", options->id, "Id of the model, [a-z0-9-]{1,63}");
  command->add_option("--display-name", options->display_name,
                      "Name for people");
  command->footer(
      "Examples:\n"
      "  retort models import weights.safetensors --manifest manifest.json "
      "--id my-teacher\n"
      "  retort models import edm.safetensors --kind teacher --network "
      "network.json\n"
      "  retort models import network-snapshot-200000.pkl --id edm-teacher\n"
      "  retort models import ctm.pt --kind ctm --network network.json\n"
      "  retort models import inception.pt --id inception");
}

}  // namespace retort::client
