#include <memory>

#include "absl/strings/str_cat.h"
#include "client/commands/commands.h"
#include "client/output.h"
#include "core/base/status_macros.h"
#include "retort/v1/job_service.grpc.pb.h"

namespace retort::client {
namespace {

absl::Status ResumeJob(Context* context, const std::string& name) {
  v1::ResumeJobRequest request;
  request.set_name(context->Job(name));
  auto stub = context->NewStub<v1::JobService>();
  v1::Job job;
  RETORT_RETURN_IF_ERROR(
      context->Call(*stub, &v1::JobService::Stub::ResumeJob, request, &job));
  if (context->options.json) {
    PrintJson(job);
  } else {
    puts(absl::StrCat(ShortName(job.name()), ": ", job.state_reason()).c_str());
  }
  return absl::OkStatus();
}

}  // namespace

void AddJobsResume(CLI::App* parent, Context* context) {
  auto name = std::make_shared<std::string>();
  CLI::App* command =
      AddCommand(parent, context, "resume",
                 "Go on with a job that is paused, cancelled or failed",
                 [=] { return ResumeJob(context, *name); });
  command->add_option("JOB", *name, "Id or full name")->required();
  command->footer(
      "Training goes on from the last checkpoint.\n"
      "Example:\n  retort jobs resume my-teacher");
}

}  // namespace retort::client
