#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/call_status.h"
#include "client/commands/commands.h"
#include "client/output.h"
#include "client/presets.h"
#include "client/spec_file.h"
#include "core/base/status_macros.h"
#include "retort/v1/job_service.grpc.pb.h"

namespace retort::client {
namespace {

struct SubmitOptions {
  std::string file;
  std::string preset;
  std::vector<std::string> settings;
  std::string id;
  std::string request_id;
  std::string display_name;
  int priority = 0;
  std::string priority_class;
  bool watch = false;
  bool validate_only = false;
  bool measure = false;
};

absl::StatusOr<v1::Job> ReadJob(const Context& context,
                                const SubmitOptions& options) {
  if (options.file.empty() == options.preset.empty()) {
    return UsageError("give a job file with -f or a preset with --preset");
  }
  const std::string& project = context.options.project;
  if (options.preset.empty()) {
    return ReadJobFile(options.file, options.settings, project);
  }
  RETORT_ASSIGN_OR_RETURN(const Preset preset, FindPreset(options.preset));
  return ParseJob(preset.text, "preset " + preset.name, options.settings,
                  project);
}

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

absl::Status SubmitJob(Context* context, const SubmitOptions& options) {
  if (options.measure && !options.validate_only) {
    return UsageError("--measure goes with --validate-only");
  }
  v1::CreateJobRequest request;
  RETORT_ASSIGN_OR_RETURN(*request.mutable_job(), ReadJob(*context, options));
  if (!options.display_name.empty()) {
    request.mutable_job()->set_display_name(options.display_name);
  }
  if (options.priority != 0) {
    request.mutable_job()->set_priority(options.priority);
  }
  if (!options.priority_class.empty()) {
    RETORT_ASSIGN_OR_RETURN(
        const int value, ParseEnumName(options.priority_class,
                                       *v1::Job::PriorityClass_descriptor()));
    request.mutable_job()->set_priority_class(
        static_cast<v1::Job::PriorityClass>(value));
  }
  request.set_parent(context->Parent());
  request.set_job_id(options.id);
  request.set_request_id(options.request_id.empty() ? NewRequestId()
                                                    : options.request_id);
  request.set_validate_only(options.validate_only);
  request.set_measure(options.measure);
  auto stub = context->NewStub<v1::JobService>();
  v1::Job job;
  RETORT_RETURN_IF_ERROR(context->Call(
      *stub, &v1::JobService::Stub::CreateJob, request, &job,
      options.measure ? Context::CallKind::kLong : Context::CallKind::kShort));
  if (context->options.json && !options.watch) {
    PrintJson(job);
    return absl::OkStatus();
  }
  if (options.validate_only) {
    puts("the spec is valid; with its defaults filled in it is");
    puts(ToJson(job.spec()).c_str());
    if (job.has_estimate()) PrintEstimate(job.estimate());
    return absl::OkStatus();
  }
  if (options.watch) return WatchJob(context, job.name());
  puts(absl::StrCat("submitted ", ShortName(job.name()),
                    "; follow it with: retort jobs watch ",
                    ShortName(job.name()))
           .c_str());
  return absl::OkStatus();
}

}  // namespace

void AddJobsSubmit(CLI::App* parent, Context* context) {
  auto options = std::make_shared<SubmitOptions>();
  CLI::App* command =
      AddCommand(parent, context, "submit", "Put a job in the queue",
                 [=] { return SubmitJob(context, *options); });
  command->add_option("-f,--file", options->file,
                      "YAML or JSON file with spec, display_name, priority, "
                      "priority_class and labels; - is standard input");
  command->add_option("--preset", options->preset,
                      "Instead of a file: a name of `retort presets list`");
  command
      ->add_option(
          "--set", options->settings,
          "Override a field: spec.distill.training.seed=7 (repeatable)")
      ->allow_extra_args(false)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  command->add_option("--id", options->id, "Id of the job, [a-z0-9-]{1,63}");
  command->add_option("--request-id", options->request_id,
                      "Repeating a request with the same id makes no second "
                      "job");
  command->add_option("--display-name", options->display_name,
                      "Name for people");
  command->add_option("--priority", options->priority,
                      "Higher runs first, within its class");
  command->add_option("--priority-class", options->priority_class,
                      "low, normal or high: which jobs go first, and are not "
                      "stopped for others");
  command->add_flag("--watch", options->watch, "Follow the job to its end");
  command->add_flag("--validate-only", options->validate_only,
                    "Check the spec, print it with all defaults, and say what "
                    "the job takes");
  command->add_flag("--measure", options->measure,
                    "With --validate-only: run one real training step on the "
                    "service's machine and tell the time");
  command->footer(
      "Examples:\n"
      "  retort jobs submit -f teacher.yaml --id my-teacher --watch\n"
      "  retort jobs submit -f distill.yaml --set "
      "spec.distill.teacher=my-teacher "
      "\\\n      --set spec.distill.preconditioning=fitted-state\n"
      "  retort jobs submit --preset imagenet64-teacher \\\n      --set "
      "spec.train_teacher.data.path=/data/imagenet-64x64.zip \\\n      "
      "--validate-only --measure\n"
      "Enum values may be short: ctm, fitted-state, pseudo-huber. Models may "
      "be\nnamed by their id.");
}

}  // namespace retort::client
