#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/commands/commands.h"
#include "client/output.h"
#include "client/spec_file.h"
#include "core/base/status_macros.h"
#include "retort/v1/job_service.grpc.pb.h"

namespace retort::client {
namespace {

struct ListJobsOptions {
  std::vector<std::string> states;
  int limit = 50;
};

std::string TaskName(const v1::JobSpec& spec) {
  const auto* field = spec.GetReflection()->GetOneofFieldDescriptor(
      spec, v1::JobSpec::descriptor()->FindOneofByName("task"));
  return field == nullptr ? "" : field->name();
}

void PrintJobs(const v1::ListJobsResponse& response) {
  Table table({"JOB", "TASK", "STATE", "STEP", "LOSS", "CREATED", "NAME"});
  const absl::Time now = absl::Now();
  for (const v1::Job& job : response.jobs()) {
    const v1::JobProgress& p = job.progress();
    const auto* state =
        v1::Job::State_descriptor()->FindValueByNumber(job.state());
    table.Add({ShortName(job.name()), TaskName(job.spec()),
               state == nullptr ? "" : ShortEnumName(*state),
               p.total_steps() > 0
                   ? absl::StrCat(p.step(), "/", p.total_steps())
                   : "",
               p.loss() != 0 ? absl::StrFormat("%.4g", p.loss()) : "",
               Ago(job.create_time(), now), job.display_name()});
  }
  table.Print();
}

absl::Status ListJobs(Context* context, const ListJobsOptions& options) {
  v1::ListJobsRequest request;
  request.set_parent(context->Parent());
  for (const std::string& state : options.states) {
    RETORT_ASSIGN_OR_RETURN(const int value,
                            ParseEnumName(state, *v1::Job::State_descriptor()));
    request.add_states(static_cast<v1::Job::State>(value));
  }
  auto stub = context->NewStub<v1::JobService>();
  v1::ListJobsResponse all;
  do {
    request.set_page_size(std::min(options.limit - all.jobs_size(), 1000));
    v1::ListJobsResponse page;
    RETORT_RETURN_IF_ERROR(
        context->Call(*stub, &v1::JobService::Stub::ListJobs, request, &page));
    all.mutable_jobs()->MergeFrom(page.jobs());
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty() && all.jobs_size() < options.limit);
  if (context->options.json) {
    PrintJsonList("jobs", all.jobs());
  } else {
    PrintJobs(all);
  }
  return absl::OkStatus();
}

}  // namespace

void AddJobsList(CLI::App* parent, Context* context) {
  auto options = std::make_shared<ListJobsOptions>();
  CLI::App* command = AddCommand(parent, context, "list", "List jobs",
                                 [=] { return ListJobs(context, *options); });
  command
      ->add_option("--state", options->states,
                   "Only jobs in this state: queued, running, succeeded, "
                   "... (repeatable)")
      ->allow_extra_args(false)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  command->add_option("--limit", options->limit, "At most so many")
      ->capture_default_str()
      ->check(CLI::Range(1, 1000000));
  command->footer(
      "Examples:\n  retort jobs list\n  retort jobs list --state running "
      "--json");
}

}  // namespace retort::client
