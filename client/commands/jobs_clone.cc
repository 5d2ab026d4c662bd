#include <memory>
#include <optional>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/commands/commands.h"
#include "client/commands/new_job.h"
#include "client/names.h"
#include "client/spec_file.h"
#include "core/base/status_macros.h"
#include "retort/v1/job_service.grpc.pb.h"

namespace retort::client {
namespace {

struct CloneOptions {
  std::string name;
  std::optional<int64_t> from_step;
  NewJobOptions job;
};

absl::Status CloneJob(Context* context, const CloneOptions& options) {
  v1::CloneJobRequest request;
  request.set_name(context->Job(options.name));
  for (const std::string& setting : options.job.settings) {
    RETORT_RETURN_IF_ERROR(ApplyChange(setting, request.mutable_changes(),
                                       request.mutable_update_mask()));
  }
  RETORT_RETURN_IF_ERROR(ApplyFlags(options.job, request.mutable_changes(),
                                    request.mutable_update_mask()));
  ExpandModelNames(context->options.project,
                   request.mutable_changes()->mutable_spec());
  if (options.from_step.has_value()) {
    request.set_from_step(*options.from_step);
  }
  FillRequest(options.job, &request);
  v1::Job job;
  RETORT_RETURN_IF_ERROR(context->Call(*context->NewStub<v1::JobService>(),
                                       &v1::JobService::Stub::CloneJob, request,
                                       &job));
  return TellNewJob(
      context, options.job, job,
      absl::StrCat(
          "cloned ", ShortName(options.name), " as ", ShortName(job.name()),
          job.has_origin() ? absl::StrCat(" from its checkpoint of step ",
                                          job.origin().step())
                           : ""));
}

}  // namespace

void AddJobsClone(CLI::App* parent, Context* context) {
  auto options = std::make_shared<CloneOptions>();
  CLI::App* command =
      AddCommand(parent, context, "clone",
                 "Make a new job of an old one's spec, with changes",
                 [=] { return CloneJob(context, *options); });
  command->add_option("JOB", options->name, "Id or full name of the old job")
      ->required();
  command->add_option("--from-step", options->from_step,
                      "Begin with the old job's checkpoint of this step, which "
                      "is copied; network and method stay");
  AddNewJobOptions(command, &options->job);
  command->footer(
      "The old job may be in any state, and may be deleted later.\n"
      "Examples:\n"
      "  retort jobs clone my-student --id longer \\\n"
      "      --set spec.distill.training.iterations=4000 --from-step 2000\n"
      "  retort jobs clone my-student --set spec.distill.training.seed=7 \\\n"
      "      --priority-class low");
}

}  // namespace retort::client
