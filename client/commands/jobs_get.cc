#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/commands/commands.h"
#include "client/job_text.h"
#include "client/output.h"
#include "client/progress_display.h"
#include "client/result_text.h"
#include "client/spec_file.h"
#include "core/base/status_macros.h"
#include "retort/v1/job_service.grpc.pb.h"

namespace retort::client {
namespace {

void JobLine(const char* name, const std::string& value) {
  if (!value.empty()) absl::PrintF("%-10s %s\n", name, value);
}

// "node-a, pid 17, step 41, training, heard of at 2026-01-31 12:00:00".
std::string RankText(const v1::JobRank& rank) {
  if (!rank.has_heard_time()) return "not attached yet";
  return absl::StrCat(rank.node(), ", pid ", rank.pid(), ", step ", rank.step(),
                      rank.activity().empty() ? "" : ", ", rank.activity(),
                      ", heard of at ", LocalTime(rank.heard_time()));
}

void PrintJob(const v1::Job& job) {
  const auto* state =
      v1::Job::State_descriptor()->FindValueByNumber(job.state());
  JobLine("job", job.name());
  JobLine("name", job.display_name());
  JobLine("state", absl::StrCat(state == nullptr ? "?" : ShortEnumName(*state),
                                job.state_reason().empty()
                                    ? ""
                                    : absl::StrCat(": ", job.state_reason())));
  JobLine("class", ClassText(job.priority_class()));
  if (job.priority() != 0) JobLine("priority", absl::StrCat(job.priority()));
  if (job.has_origin()) {
    JobLine("origin", absl::StrCat("step ", job.origin().step(), " of ",
                                   job.origin().job()));
  }
  JobLine("progress", ProgressText(job.progress()));
  JobLine("created", LocalTime(job.create_time()));
  JobLine("started", LocalTime(job.start_time()));
  JobLine("ended", LocalTime(job.end_time()));
  JobLine("tries", TriesText(job));
  JobLine("executor", job.executor_id());
  for (const v1::JobRank& rank : job.ranks()) {
    JobLine(absl::StrCat("rank ", rank.rank()).c_str(), RankText(rank));
  }
  for (const std::string& model : job.models()) JobLine("model", model);
  for (const v1::EvaluationResult& r : job.results()) {
    JobLine("result", absl::StrFormat("%s, %s, %.3g s an image", ResultText(r),
                                      Counted(r.samples(), "image"),
                                      r.seconds_per_image()));
  }
  JobLine("spec", ToJson(job.spec()));
}

absl::Status GetJob(Context* context, const std::string& name) {
  v1::GetJobRequest request;
  request.set_name(context->Job(name));
  auto stub = context->NewStub<v1::JobService>();
  v1::Job job;
  RETORT_RETURN_IF_ERROR(
      context->Call(*stub, &v1::JobService::Stub::GetJob, request, &job));
  context->options.json ? PrintJson(job) : PrintJob(job);
  return absl::OkStatus();
}

}  // namespace

void AddJobsGet(CLI::App* parent, Context* context) {
  auto name = std::make_shared<std::string>();
  CLI::App* command =
      AddCommand(parent, context, "get", "Show a job: state, spec and results",
                 [=] { return GetJob(context, *name); });
  command->add_option("JOB", *name, "Id or full name")->required();
  command->footer(
      "Example:\n  retort jobs get my-teacher --json | jq -r .state");
}

}  // namespace retort::client
