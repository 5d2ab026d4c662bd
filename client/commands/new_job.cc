#include "client/commands/new_job.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/commands/commands.h"
#include "client/flag_values.h"
#include "client/output.h"
#include "core/base/status_macros.h"

namespace retort::client {
namespace {

// What a job takes, a line a fact.
void PrintEstimate(const v1::JobEstimate& e) {
  const auto line = [](absl::string_view what, const std::string& value) {
    puts(absl::StrFormat("  %-18s %s", what, value).c_str());
  };
  puts("it takes about");
  line("parameters", absl::StrCat(e.parameters()));
  line("memory a process", Bytes(e.bytes_per_process()));
  line("images a process", absl::StrCat(e.images_per_process()));
  if (e.checkpoint_bytes() > 0) line("checkpoint", Bytes(e.checkpoint_bytes()));
  if (e.seconds_per_step() > 0) {
    line("time a step", absl::StrFormat("%.3g s", e.seconds_per_step()));
    line("time in all", Period(absl::Seconds(e.seconds())));
    line("measured", e.measured());
  }
}

}  // namespace

void AddNewJobOptions(CLI::App* command, NewJobOptions* options) {
  command
      ->add_option("--set", options->settings,
                   "Set a field: spec.distill.training.seed=7, "
                   "labels.team=vision (repeatable)")
      ->allow_extra_args(false)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  command->add_option("--id", options->id,
                      "Id of the new job, [a-z0-9-]{1,63}");
  command->add_option("--request-id", options->request_id,
                      "Repeating a request with the same id makes no second "
                      "job");
  command->add_option("--display-name", options->display_name,
                      "Name for people");
  command
      ->add_option("--priority", options->priority,
                   "Higher runs first, within its class")
      ->check(Priority());
  command->add_option("--priority-class", options->priority_class,
                      "low, normal or high: which jobs go first, and are not "
                      "stopped for others");
  command->add_flag("--watch", options->watch, "Follow the job to its end");
  command->add_flag("--validate-only", options->validate_only,
                    "Make no job: check the spec, and print it with all "
                    "defaults");
}

absl::Status ApplyFlags(const NewJobOptions& options, v1::Job* job,
                        google::protobuf::FieldMask* mask) {
  if (options.display_name.has_value()) {
    job->set_display_name(*options.display_name);
    mask->add_paths("display_name");
  }
  if (options.priority.has_value()) {
    job->set_priority(*options.priority);
    mask->add_paths("priority");
  }
  if (!options.priority_class.empty()) {
    RETORT_ASSIGN_OR_RETURN(
        const int value,
        ParseEnumFlag("--priority-class", options.priority_class,
                      *v1::Job::PriorityClass_descriptor()));
    job->set_priority_class(static_cast<v1::Job::PriorityClass>(value));
    mask->add_paths("priority_class");
  }
  return absl::OkStatus();
}

absl::Status TellNewJob(Context* context, const NewJobOptions& options,
                        const v1::Job& job, const std::string& made) {
  if (options.watch && !options.validate_only) {
    return WatchJob(context, job.name());
  }
  if (context->options.json) {
    PrintJson(job);
  } else if (options.validate_only) {
    puts("the spec is valid; with its defaults filled in it is");
    puts(ToJson(job.spec()).c_str());
    if (job.has_estimate()) PrintEstimate(job.estimate());
  } else {
    puts(absl::StrCat(made, "; follow it with: retort jobs watch ",
                      WrittenName(job.name()))
             .c_str());
  }
  return absl::OkStatus();
}

}  // namespace retort::client
