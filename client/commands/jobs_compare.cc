#include <memory>

#include "client/commands/commands.h"
#include "client/comparison.h"
#include "core/base/status_macros.h"
#include "retort/v1/job_service.grpc.pb.h"

namespace retort::client {
namespace {

absl::Status CompareJobs(Context* context,
                         const std::vector<std::string>& names) {
  auto stub = context->NewStub<v1::JobService>();
  std::vector<v1::Job> jobs(names.size());
  for (size_t i = 0; i < names.size(); ++i) {
    v1::GetJobRequest request;
    request.set_name(context->Job(names[i]));
    RETORT_RETURN_IF_ERROR(
        context->Call(*stub, &v1::JobService::Stub::GetJob, request, &jobs[i]));
  }
  RETORT_ASSIGN_OR_RETURN(const Comparison comparison, Compare(jobs));
  if (context->options.json) {
    puts(comparison.ToJson().dump(2).c_str());
  } else {
    comparison.ToTable().Print();
  }
  return absl::OkStatus();
}

}  // namespace

void AddJobsCompare(CLI::App* parent, Context* context) {
  auto names = std::make_shared<std::vector<std::string>>();
  CLI::App* command = AddCommand(
      parent, context, "compare",
      "Show evaluations side by side; refused if they measured differently",
      [=] { return CompareJobs(context, *names); });
  command->add_option("JOB", *names, "Ids or full names of evaluate jobs")
      ->required()
      ->expected(2, 100);
  command->footer(
      "[low, high] is the 95 % confidence interval of a mean over seeds.\n"
      "Example:\n  retort jobs compare student-eval teacher-eval");
}

}  // namespace retort::client
