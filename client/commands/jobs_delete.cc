#include <memory>

#include "absl/strings/str_cat.h"
#include "client/commands/commands.h"
#include "core/base/status_macros.h"
#include "retort/v1/job_service.grpc.pb.h"

namespace retort::client {
namespace {

absl::Status DeleteJob(Context* context, const std::string& name) {
  v1::DeleteJobRequest request;
  request.set_name(context->Job(name));
  auto stub = context->NewStub<v1::JobService>();
  google::protobuf::Empty nothing;
  RETORT_RETURN_IF_ERROR(context->Call(*stub, &v1::JobService::Stub::DeleteJob,
                                       request, &nothing));
  puts(context->options.json
           ? "{}"
           : absl::StrCat("deleted ", request.name()).c_str());
  return absl::OkStatus();
}

}  // namespace

void AddJobsDelete(CLI::App* parent, Context* context) {
  auto name = std::make_shared<std::string>();
  CLI::App* command =
      AddCommand(parent, context, "delete",
                 "Remove an ended job with its files; models made by it stay",
                 [=] { return DeleteJob(context, *name); });
  command->add_option("JOB", *name, "Id or full name")->required();
  command->footer("Example:\n  retort jobs delete my-teacher");
}

}  // namespace retort::client
