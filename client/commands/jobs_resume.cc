#include <memory>
#include <optional>

#include "absl/strings/str_cat.h"
#include "client/commands/commands.h"
#include "client/commands/job_call.h"

namespace retort::client {
namespace {

struct ResumeOptions {
  std::string name;
  std::optional<int64_t> from_step;
};

absl::Status ResumeJob(Context* context, const ResumeOptions& options) {
  v1::ResumeJobRequest request;
  request.set_name(context->Job(options.name));
  if (options.from_step.has_value()) {
    request.set_from_step(*options.from_step);
  }
  return CallForJob(context, &v1::JobService::Stub::ResumeJob, request,
                    [](const v1::Job& job) {
                      return absl::StrCat(ShortName(job.name()), ": ",
                                          job.state_reason());
                    });
}

}  // namespace

void AddJobsResume(CLI::App* parent, Context* context) {
  auto options = std::make_shared<ResumeOptions>();
  CLI::App* command =
      AddCommand(parent, context, "resume",
                 "Go on with a job that is paused, cancelled or failed",
                 [=] { return ResumeJob(context, *options); });
  command->add_option("JOB", options->name, "Id or full name")->required();
  command->add_option("--from-step", options->from_step,
                      "Go back to the checkpoint of this step (see `retort "
                      "jobs checkpoints`); all that came after it is removed");
  command->footer(
      "Training goes on from the last checkpoint.\n"
      "Examples:\n  retort jobs resume my-teacher\n"
      "  retort jobs resume my-teacher --from-step 2000");
}

}  // namespace retort::client
