#include <memory>

#include "absl/strings/str_cat.h"
#include "client/commands/commands.h"
#include "client/commands/job_call.h"

namespace retort::client {
namespace {

absl::Status PauseJob(Context* context, const std::string& name) {
  v1::PauseJobRequest request;
  request.set_name(context->Job(name));
  return CallForJob(context, &v1::JobService::Stub::PauseJob, request,
                    [](const v1::Job& job) {
                      const std::string id = ShortName(job.name());
                      return job.state() == v1::Job::STATE_PAUSED
                                 ? absl::StrCat("paused ", id)
                                 : absl::StrCat("asked ", id, " to pause");
                    });
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
