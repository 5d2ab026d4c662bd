#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/commands/commands.h"
#include "client/commands/job_call.h"
#include "client/job_text.h"
#include "client/spec_file.h"
#include "core/base/status_macros.h"

namespace retort::client {
namespace {

constexpr absl::Duration kLook = absl::Milliseconds(300);

absl::Status PauseJob(Context* context, const std::string& name, bool wait) {
  v1::PauseJobRequest request;
  request.set_name(context->Job(name));
  const auto stub = context->NewStub<v1::JobService>();
  v1::Job job;
  RETORT_RETURN_IF_ERROR(
      context->Call(*stub, &v1::JobService::Stub::PauseJob, request, &job));
  v1::GetJobRequest again;
  again.set_name(request.name());
  while (wait && job.state() == v1::Job::STATE_PAUSING) {
    absl::SleepFor(kLook);
    RETORT_RETURN_IF_ERROR(
        context->Call(*stub, &v1::JobService::Stub::GetJob, again, &job));
  }
  if (wait && job.state() != v1::Job::STATE_PAUSED) {
    return absl::FailedPreconditionError(absl::StrCat(
        ShortName(job.name()), " was not paused: it is ",
        ShortEnumName(
            *v1::Job::State_descriptor()->FindValueByNumber(job.state())),
        " now"));
  }
  SayJob(*context, job, PausedText);
  return absl::OkStatus();
}

}  // namespace

void AddJobsPause(CLI::App* parent, Context* context) {
  auto name = std::make_shared<std::string>();
  auto wait = std::make_shared<bool>(false);
  CLI::App* command =
      AddCommand(parent, context, "pause",
                 "Put a job on hold; a running one writes a checkpoint first",
                 [=] { return PauseJob(context, *name, *wait); });
  command->add_option("JOB", *name, "Id or full name")->required();
  command->add_flag("--wait", *wait, "Until it is on hold");
  command->footer(
      "Estimates and evaluations have no checkpoint: they start again when "
      "resumed.\nExample:\n  retort jobs pause my-teacher");
}

}  // namespace retort::client
