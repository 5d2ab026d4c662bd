#include <memory>

#include "absl/strings/str_cat.h"
#include "client/commands/commands.h"
#include "client/output.h"
#include "core/base/status_macros.h"
#include "retort/v1/job_service.grpc.pb.h"

namespace retort::client {
namespace {

absl::Status ExplainJob(Context* context, const std::string& name) {
  v1::ExplainQueueRequest request;
  request.set_name(context->Job(name));
  auto stub = context->NewStub<v1::JobService>();
  v1::ExplainQueueResponse response;
  RETORT_RETURN_IF_ERROR(context->Call(
      *stub, &v1::JobService::Stub::ExplainQueue, request, &response));
  if (context->options.json) {
    PrintJson(response);
  } else {
    puts(absl::StrCat(ShortName(request.name()), " ", response.explanation())
             .c_str());
  }
  return absl::OkStatus();
}

}  // namespace

void AddJobsExplain(CLI::App* parent, Context* context) {
  auto name = std::make_shared<std::string>();
  CLI::App* command = AddCommand(parent, context, "explain",
                                 "Say why a job waits and when it may start",
                                 [=] { return ExplainJob(context, *name); });
  command->add_option("JOB", *name, "Id or full name")->required();
  command->footer("Example:\n  retort jobs explain my-teacher");
}

}  // namespace retort::client
