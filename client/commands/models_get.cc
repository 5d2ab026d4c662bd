#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/commands/commands.h"
#include "client/output.h"
#include "client/spec_file.h"
#include "core/base/status_macros.h"
#include "retort/v1/model_service.grpc.pb.h"

namespace retort::client {
namespace {

void ModelLine(const char* name, const std::string& value) {
  if (!value.empty()) absl::PrintF("%-10s %s\n", name, value);
}

// Without the artefact's tables, which are numbers for programs.
std::string Readable(google::protobuf::Struct manifest) {
  auto found = manifest.mutable_fields()->find("preconditioning");
  if (found != manifest.mutable_fields()->end()) {
    found->second.mutable_struct_value()->mutable_fields()->erase("artefact");
  }
  return ToJson(manifest);
}

// What a preconditioning cost, as a share of the training that it serves;
// empty if that was not asked for.
std::string CostShare(const google::protobuf::Struct& manifest) {
  const google::protobuf::Struct* at = &manifest;
  for (const char* field : {"preconditioning", "cost", "served"}) {
    const auto found = at->fields().find(field);
    if (found == at->fields().end()) return "";
    at = &found->second.struct_value();
  }
  const auto number = [&](const char* field) {
    const auto found = at->fields().find(field);
    return found == at->fields().end() ? 0.0 : found->second.number_value();
  };
  const auto counted = [&](const char* field, const char* noun) {
    return Counted(static_cast<int64_t>(number(field)), noun);
  };
  return absl::StrFormat("at most %.2g %% of %s of %s", 100 * number("share"),
                         counted("iterations", "iteration"),
                         counted("batch_size", "image"));
}

void PrintModel(const v1::Model& model) {
  const auto* kind =
      v1::Model::Kind_descriptor()->FindValueByNumber(model.kind());
  ModelLine("model", model.name());
  ModelLine("name", model.display_name());
  ModelLine("kind", kind == nullptr ? "" : ShortEnumName(*kind));
  ModelLine("parameters", absl::StrCat(model.parameters()));
  ModelLine("size", Bytes(model.bytes()));
  ModelLine("weights", model.weights_sha256());
  ModelLine("cost", CostShare(model.manifest()));
  ModelLine("created", LocalTime(model.create_time()));
  for (const std::string& file : model.files()) ModelLine("file", file);
  ModelLine("manifest", Readable(model.manifest()));
}

absl::Status GetModel(Context* context, const std::string& name) {
  v1::GetModelRequest request;
  request.set_name(context->Model(name));
  auto stub = context->NewStub<v1::ModelService>();
  v1::Model model;
  RETORT_RETURN_IF_ERROR(
      context->Call(*stub, &v1::ModelService::Stub::GetModel, request, &model));
  context->options.json ? PrintJson(model) : PrintModel(model);
  return absl::OkStatus();
}

}  // namespace

void AddModelsGet(CLI::App* parent, Context* context) {
  auto name = std::make_shared<std::string>();
  CLI::App* command = AddCommand(parent, context, "get",
                                 "Show a model: kind, network, lineage, files",
                                 [=] { return GetModel(context, *name); });
  command->add_option("MODEL", *name, "Id or full name")->required();
  command->footer("Example:\n  retort models get my-teacher");
}

}  // namespace retort::client
