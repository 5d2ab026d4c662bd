#include <memory>

#include "client/commands/commands.h"
#include "client/commands/job_call.h"
#include "client/job_text.h"

namespace retort::client {
namespace {

absl::Status CancelJob(Context* context, const std::string& name) {
  v1::CancelJobRequest request;
  request.set_name(context->Job(name));
  request.set_request_id(NewRequestId());
  return CallForJob(context, &v1::JobService::Stub::CancelJob, request,
                    CancelledText);
}

}  // namespace

void AddJobsCancel(CLI::App* parent, Context* context) {
  auto name = std::make_shared<std::string>();
  CLI::App* command =
      AddCommand(parent, context, "cancel",
                 "Ask a job to end; a running one writes a checkpoint first",
                 [=] { return CancelJob(context, *name); });
  command->add_option("JOB", *name, "Id or full name")->required();
  command->footer("Example:\n  retort jobs cancel my-teacher");
}

}  // namespace retort::client
