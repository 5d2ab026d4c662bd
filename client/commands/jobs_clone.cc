#include <memory>
#include <optional>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/commands/commands.h"
#include "client/commands/job_call.h"
#include "client/names.h"
#include "client/spec_file.h"

namespace retort::client {
namespace {

struct CloneOptions {
  std::string name;
  std::string id;
  std::vector<std::string> settings;
  std::optional<int64_t> from_step;
  std::string request_id;
  bool watch = false;
  bool validate_only = false;
};

std::string ClonedText(const v1::Job& job, const CloneOptions& options) {
  if (options.validate_only) {
    return absl::StrCat(
        "the spec is valid; with its defaults filled in it is\n",
        ToJson(job.spec()));
  }
  const std::string id = ShortName(job.name());
  return absl::StrCat(
      "cloned ", ShortName(options.name), " as ", id,
      job.has_origin()
          ? absl::StrCat(" from its checkpoint of step ", job.origin().step())
          : "",
      "; follow it with: retort jobs watch ", id);
}

absl::Status CloneJob(Context* context, const CloneOptions& options) {
  v1::CloneJobRequest request;
  request.set_name(context->Job(options.name));
  for (const std::string& setting : options.settings) {
    RETORT_RETURN_IF_ERROR(ApplyChange(setting, request.mutable_changes(),
                                       request.mutable_update_mask()));
  }
  ExpandModelNames(context->options.project,
                   request.mutable_changes()->mutable_spec());
  if (options.from_step.has_value()) {
    request.set_from_step(*options.from_step);
  }
  request.set_job_id(options.id);
  request.set_request_id(options.request_id.empty() ? NewRequestId()
                                                    : options.request_id);
  request.set_validate_only(options.validate_only);
  if (!options.watch || options.validate_only) {
    return CallForJob(
        context, &v1::JobService::Stub::CloneJob, request,
        [&](const v1::Job& job) { return ClonedText(job, options); });
  }
  v1::Job job;
  RETORT_RETURN_IF_ERROR(context->Call(*context->NewStub<v1::JobService>(),
                                       &v1::JobService::Stub::CloneJob, request,
                                       &job));
  return WatchJob(context, job.name());
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
  command->add_option("--id", options->id, "Id of the new job");
  command
      ->add_option("--set", options->settings,
                   "Change a field: spec.distill.training.iterations=4000, "
                   "display_name=..., labels.team=... (repeatable)")
      ->allow_extra_args(false)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  command->add_option("--from-step", options->from_step,
                      "Begin with the old job's checkpoint of this step, which "
                      "is copied; network and method stay");
  command->add_option("--request-id", options->request_id,
                      "Repeating a request with the same id makes no second "
                      "job");
  command->add_flag("--watch", options->watch, "Follow the job to its end");
  command->add_flag("--validate-only", options->validate_only,
                    "Check the spec and print it with all defaults");
  command->footer(
      "The old job may be in any state, and may be deleted later.\n"
      "Examples:\n"
      "  retort jobs clone my-student --id longer \\\n"
      "      --set spec.distill.training.iterations=4000 --from-step 2000\n"
      "  retort jobs clone my-student --set spec.distill.training.seed=7");
}

}  // namespace retort::client
