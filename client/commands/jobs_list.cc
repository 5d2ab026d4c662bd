#include <memory>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "client/commands/commands.h"
#include "client/flag_values.h"
#include "client/output.h"
#include "client/result_text.h"
#include "client/spec_file.h"
#include "client/table.h"
#include "core/base/status_macros.h"
#include "retort/v1/job_service.grpc.pb.h"

namespace retort::client {
namespace {

struct ListJobsOptions {
  std::vector<std::string> states;
  std::string filter;
  std::vector<std::string> labels;
  std::string task;
  int limit = 50;

  bool IsAll() const {
    return states.empty() && filter.empty() && labels.empty() && task.empty();
  }
};

std::string TaskName(const v1::JobSpec& spec) {
  const auto* field = spec.GetReflection()->GetOneofFieldDescriptor(
      spec, v1::JobSpec::descriptor()->FindOneofByName("task"));
  return field == nullptr ? "" : field->name();
}

void PrintJobs(const v1::ListJobsResponse& response,
               const ListJobsOptions& options, const std::string& project) {
  Table table(
      {"JOB", "TASK", "STATE", "CLASS", "STEP", "LOSS", "CREATED", "NAME"});
  const absl::Time now = absl::Now();
  for (const v1::Job& job : response.jobs()) {
    const v1::JobProgress& p = job.progress();
    const auto* state =
        v1::Job::State_descriptor()->FindValueByNumber(job.state());
    table.Add({ShortName(job.name()), TaskName(job.spec()),
               state == nullptr ? "" : ShortEnumName(*state),
               ClassText(job.priority_class()),
               p.total_steps() > 0
                   ? absl::StrCat(p.step(), "/", p.total_steps())
                   : "",
               p.loss() != 0 ? absl::StrFormat("%.4g", p.loss()) : "",
               Ago(job.create_time(), now), job.display_name()});
  }
  table.Print(options.IsAll()
                  ? absl::StrCat("no jobs in project ", project,
                                 "; submit one with: retort jobs submit -f "
                                 "FILE, or --preset NAME")
                  : absl::StrCat("no such jobs in project ", project));
  if (!response.next_page_token().empty()) NoteMore();
}

std::string Quoted(absl::string_view text) {
  return absl::StrCat(
      "\"", absl::StrReplaceAll(text, {{"\\", "\\\\"}, {"\"", "\\\""}}), "\"");
}

// One filter of all the flags that say which jobs.
absl::StatusOr<std::string> FilterOf(const ListJobsOptions& options) {
  std::vector<std::string> parts;
  if (!options.filter.empty()) parts.push_back(options.filter);
  if (!options.task.empty()) {
    RETORT_ASSIGN_OR_RETURN(const std::string task, ParseTask(options.task));
    parts.push_back(absl::StrCat("task = ", task));
  }
  for (const std::string& label : options.labels) {
    const std::pair<std::string, std::string> pair =
        absl::StrSplit(label, absl::MaxSplits('=', 1));
    if (pair.first.empty()) {
      return UsageError(
          absl::StrCat("--label ", label, ": must look like KEY=VALUE or KEY"));
    }
    parts.push_back(
        absl::StrContains(label, "=")
            ? absl::StrCat("labels.", pair.first, " = ", Quoted(pair.second))
            : absl::StrCat("labels : ", Quoted(pair.first)));
  }
  return absl::StrJoin(parts, " AND ");
}

absl::Status ListJobs(Context* context, const ListJobsOptions& options) {
  v1::ListJobsRequest request;
  request.set_parent(context->Parent());
  RETORT_ASSIGN_OR_RETURN(*request.mutable_filter(), FilterOf(options));
  for (const std::string& state : options.states) {
    RETORT_ASSIGN_OR_RETURN(
        const int value,
        ParseEnumFlag("--state", state, *v1::Job::State_descriptor()));
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
    all.set_next_page_token(page.next_page_token());
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty() && all.jobs_size() < options.limit);
  if (context->options.json) {
    PrintJsonList("jobs", all.jobs());
  } else {
    PrintJobs(all, options, context->options.project);
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
  command->add_option("--filter", options->filter,
                      "Comparisons joined by AND of state, task, method, "
                      "priority, priority_class, display_name, job_id, "
                      "labels.KEY, create_time with = != < > :");
  command
      ->add_option("--label", options->labels,
                   "Only jobs with this label, KEY=VALUE or KEY (repeatable)")
      ->allow_extra_args(false)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  command->add_option("--task", options->task,
                      "Only jobs of this task: distill, ...");
  command->add_option("--limit", options->limit, "At most so many")
      ->capture_default_str()
      ->check(CLI::Range(1, 1000000));
  command->footer(
      "Examples:\n  retort jobs list\n  retort jobs list --state running "
      "--json\n  retort jobs list --filter 'display_name : cifar AND "
      "create_time "
      "> 2026-01-31'\n  retort jobs list --task distill --label team=vision");
}

}  // namespace retort::client
