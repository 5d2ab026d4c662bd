#include <memory>

#include "absl/strings/str_cat.h"
#include "client/commands/commands.h"
#include "client/output.h"
#include "core/base/status_macros.h"
#include "retort/v1/job_service.grpc.pb.h"

namespace retort::client {
namespace {

absl::Status CancelJob(Context* context, const std::string& name) {
  v1::CancelJobRequest request;
  request.set_name(context->Job(name));
  request.set_request_id(NewRequestId());
  auto stub = context->NewStub<v1::JobService>();
  v1::Job job;
  RETORT_RETURN_IF_ERROR(
      context->Call(*stub, &v1::JobService::Stub::CancelJob, request, &job));
  if (context->options.json) {
    PrintJson(job);
  } else {
    puts(absl::StrCat("asked ", ShortName(job.name()), " to end").c_str());
  }
  return absl::OkStatus();
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
