#include <memory>

#include "absl/strings/str_cat.h"
#include "client/call_status.h"
#include "client/commands/commands.h"
#include "client/commands/new_job.h"
#include "client/presets.h"
#include "client/spec_file.h"
#include "core/base/status_macros.h"
#include "retort/v1/job_service.grpc.pb.h"

namespace retort::client {
namespace {

struct SubmitOptions {
  std::string file;
  std::string preset;
  bool measure = false;
  NewJobOptions job;
};

absl::StatusOr<v1::Job> ReadJob(const Context& context,
                                const SubmitOptions& options) {
  if (options.file.empty() == options.preset.empty()) {
    return UsageError("give a job file with -f or a preset with --preset");
  }
  const std::string& project = context.options.project;
  if (options.preset.empty()) {
    return ReadJobFile(options.file, options.job.settings, project);
  }
  RETORT_ASSIGN_OR_RETURN(const Preset preset, FindPreset(options.preset));
  return ParseJob(preset.text, "preset " + preset.name, options.job.settings,
                  project);
}

absl::Status SubmitJob(Context* context, const SubmitOptions& options) {
  if (options.measure && !options.job.validate_only) {
    return UsageError("--measure goes with --validate-only");
  }
  v1::CreateJobRequest request;
  RETORT_ASSIGN_OR_RETURN(*request.mutable_job(), ReadJob(*context, options));
  google::protobuf::FieldMask all_count;
  RETORT_RETURN_IF_ERROR(
      ApplyFlags(options.job, request.mutable_job(), &all_count));
  request.set_parent(context->Parent());
  FillRequest(options.job, &request);
  request.set_measure(options.measure);
  v1::Job job;
  RETORT_RETURN_IF_ERROR(context->Call(
      *context->NewStub<v1::JobService>(), &v1::JobService::Stub::CreateJob,
      request, &job,
      options.measure ? Context::CallKind::kLong : Context::CallKind::kShort));
  return TellNewJob(context, options.job, job,
                    absl::StrCat("submitted ", ShortName(job.name())));
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
  AddNewJobOptions(command, &options->job);
  command->add_flag("--measure", options->measure,
                    "With --validate-only, which says what the job takes: run "
                    "one real training step on the service's machine, and tell "
                    "the time");
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
