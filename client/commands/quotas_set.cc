#include <memory>
#include <optional>

#include "client/call_status.h"
#include "client/commands/commands.h"
#include "client/output.h"
#include "client/top_frame.h"
#include "core/base/status_macros.h"
#include "retort/v1/cluster_service.grpc.pb.h"

namespace retort::client {
namespace {

struct SetQuotaOptions {
  std::string project;
  std::optional<int> max_gpus;
  std::optional<int> max_jobs;
  std::optional<double> max_gpu_hours;
  std::optional<double> weight;
  std::string etag;
};

absl::Status SetQuota(Context* context, const SetQuotaOptions& options) {
  v1::UpdateQuotaRequest request;
  v1::Quota* quota = request.mutable_quota();
  quota->set_project(ProjectName(options.project));
  quota->set_etag(options.etag);
  google::protobuf::FieldMask* mask = request.mutable_update_mask();
  if (options.max_gpus) {
    quota->set_max_gpus(*options.max_gpus);
    mask->add_paths("max_gpus");
  }
  if (options.max_jobs) {
    quota->set_max_jobs(*options.max_jobs);
    mask->add_paths("max_jobs");
  }
  if (options.max_gpu_hours) {
    quota->set_max_gpu_hours(*options.max_gpu_hours);
    mask->add_paths("max_gpu_hours");
  }
  if (options.weight) {
    quota->set_weight(*options.weight);
    mask->add_paths("weight");
  }
  if (mask->paths().empty()) {
    return UsageError(
        "say what to set: --max-gpus, --max-jobs, --max-gpu-hours or --weight");
  }
  auto stub = context->NewStub<v1::ClusterService>();
  v1::Quota changed;
  RETORT_RETURN_IF_ERROR(context->Call(
      *stub, &v1::ClusterService::Stub::UpdateQuota, request, &changed));
  if (context->options.json) {
    PrintJson(changed);
    return absl::OkStatus();
  }
  v1::ListQuotasResponse one;
  *one.add_quotas() = changed;
  QuotaTable(one).Print();
  return absl::OkStatus();
}

}  // namespace

void AddQuotasSet(CLI::App* parent, Context* context) {
  auto options = std::make_shared<SetQuotaOptions>();
  CLI::App* command =
      AddCommand(parent, context, "set", "Change a project's share and limits",
                 [=] { return SetQuota(context, *options); });
  command->add_option("PROJECT", options->project, "Its id")->required();
  command->add_option("--max-gpus", options->max_gpus,
                      "GPUs in use at once; 0: no limit");
  command->add_option("--max-jobs", options->max_jobs,
                      "Jobs that run at once; 0: no limit");
  command->add_option("--max-gpu-hours", options->max_gpu_hours,
                      "GPU-hours a calendar month (UTC); 0: no limit");
  command->add_option("--weight", options->weight,
                      "Share of the machines relative to other projects");
  command->add_option("--etag", options->etag,
                      "Refuse if the quota has changed since it was read");
  command->footer(
      "Example:\n  retort quotas set vision --weight 3 "
      "--max-gpus 16");
}

}  // namespace retort::client
