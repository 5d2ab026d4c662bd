#include <memory>

#include "absl/strings/str_cat.h"
#include "client/commands/commands.h"
#include "core/base/status_macros.h"
#include "retort/v1/model_service.grpc.pb.h"

namespace retort::client {
namespace {

absl::Status DeleteModel(Context* context, const std::string& name) {
  v1::DeleteModelRequest request;
  request.set_name(context->Model(name));
  auto stub = context->NewStub<v1::ModelService>();
  google::protobuf::Empty nothing;
  RETORT_RETURN_IF_ERROR(context->Call(
      *stub, &v1::ModelService::Stub::DeleteModel, request, &nothing));
  puts(context->options.json
           ? "{}"
           : absl::StrCat("deleted ", request.name()).c_str());
  return absl::OkStatus();
}

}  // namespace

void AddModelsDelete(CLI::App* parent, Context* context) {
  auto name = std::make_shared<std::string>();
  CLI::App* command =
      AddCommand(parent, context, "delete", "Remove a model that is not in use",
                 [=] { return DeleteModel(context, *name); });
  command->add_option("MODEL", *name, "Id or full name")->required();
  command->footer("Example:\n  retort models delete my-teacher");
}

}  // namespace retort::client
