#include <cstdio>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/commands/commands.h"
#include "client/output.h"
#include "client/table.h"
#include "core/base/status_macros.h"
#include "retort/v1/job_service.grpc.pb.h"

namespace retort::client {
namespace {

constexpr int kAllPoints = 100000;

struct MetricsOptions {
  std::string name;
  std::vector<std::string> series;
  int points = 20;
};

absl::Status PrintMetrics(Context* context, const MetricsOptions& options) {
  v1::ListMetricsRequest request;
  request.set_name(context->Job(options.name));
  for (const std::string& s : options.series) request.add_series(s);
  request.set_max_points(options.points);
  auto stub = context->NewStub<v1::JobService>();
  v1::ListMetricsResponse response;
  RETORT_RETURN_IF_ERROR(context->Call(
      *stub, &v1::JobService::Stub::ListMetrics, request, &response));
  if (context->options.json) {
    PrintJson(response);
    return absl::OkStatus();
  }
  Table table({"SERIES", "STEP", "VALUE"});
  bool thinned = false;
  for (const v1::MetricSeries& series : response.series()) {
    thinned |= series.points_size() == options.points;
    for (const v1::MetricPoint& point : series.points()) {
      table.Add({series.name(), absl::StrCat(point.step()),
                 absl::StrFormat("%.6g", point.value())});
    }
  }
  table.Print(absl::StrCat(ShortName(request.name()), " has measured nothing",
                           options.series.empty() ? " yet" : " of that name"));
  if (thinned) {
    std::fprintf(stderr, "there may be more points; --points %d shows them\n",
                 kAllPoints);
  }
  return absl::OkStatus();
}

}  // namespace

void AddJobsMetrics(CLI::App* parent, Context* context) {
  auto options = std::make_shared<MetricsOptions>();
  CLI::App* command =
      AddCommand(parent, context, "metrics", "Print a job's series of numbers",
                 [=] { return PrintMetrics(context, *options); });
  command->add_option("JOB", options->name, "Id or full name")->required();
  command
      ->add_option("--series", options->series,
                   "Only this series: loss, ... (repeatable)")
      ->allow_extra_args(false)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  command->add_option("--points", options->points, "At most so many of each")
      ->capture_default_str()
      ->check(CLI::Range(1, kAllPoints));
  command->footer(
      "Example:\n  retort jobs metrics my-teacher --series loss --points 100");
}

}  // namespace retort::client
