#include <memory>

#include "absl/strings/str_cat.h"
#include "client/commands/commands.h"
#include "client/output.h"
#include "core/base/status_macros.h"
#include "retort/v1/job_service.grpc.pb.h"

namespace retort::client {
namespace {

absl::Status PauseJob(Context* context, const std::string& name) {
  v1::PauseJobRequest request;
  request.set_name(context->Job(name));
  auto stub = context->NewStub<v1::JobService>();
  v1::Job job;
  RETORT_RETURN_IF_ERROR(
      context->Call(*stub, &v1::JobService::Stub::PauseJob, request, &job));
  if (context->options.json) {
    PrintJson(job);
  } else {
    puts(absl::StrCat(
             job.state() == v1::Job::STATE_PAUSED ? "paused " : "asked ",
             ShortName(job.name()),
             job.state() == v1::Job::STATE_PAUSED ? "" : " to pause")
             .c_str());
  }
  return absl::OkStatus();
}

}  // namespace

void AddJobsPause(CLI::App* parent, Context* context) {
  auto name = std::make_shared<std::string>();
  CLI::App* command =
      AddCommand(parent, context, "pause",
                 "Put a job on hold; a running one writes a checkpoint first",
                 [=] { return PauseJob(context, *name); });
  command->add_option("JOB", *name, "Id or full name")->required();
  command->footer(
      "Estimates and evaluations have no checkpoint: they start again when "
      "resumed.\nExample:\n  retort jobs pause my-teacher");
}

}  // namespace retort::client
