#include "absl/strings/str_format.h"
#include "client/commands/commands.h"
#include "client/output.h"
#include "client/top_frame.h"
#include "core/base/status_macros.h"
#include "retort/v1/cluster_service.grpc.pb.h"

namespace retort::client {
namespace {

void PrintCluster(const v1::Cluster& cluster,
                  const v1::ListQuotasResponse& quotas) {
  absl::PrintF("retortd %s, executor %s: %s queued, %d running, %s ready\n",
               cluster.version(), cluster.executor(),
               Counted(cluster.queued_jobs(), "job"), cluster.running_jobs(),
               Counted(cluster.ready_deployments(), "deployment"));
  NodeTable(cluster).Print("no nodes");
  fputs(OthersText(cluster, quotas).c_str(), stdout);
}

absl::Status ShowCluster(Context* context) {
  auto stub = context->NewStub<v1::ClusterService>();
  v1::Cluster cluster;
  RETORT_RETURN_IF_ERROR(context->Call(*stub,
                                       &v1::ClusterService::Stub::GetCluster,
                                       v1::GetClusterRequest(), &cluster));
  if (context->options.json) {
    PrintJson(cluster);
    return absl::OkStatus();
  }
  v1::ListQuotasResponse quotas;
  RETORT_RETURN_IF_ERROR(context->Call(*stub,
                                       &v1::ClusterService::Stub::ListQuotas,
                                       v1::ListQuotasRequest(), &quotas));
  PrintCluster(cluster, quotas);
  return absl::OkStatus();
}

}  // namespace

void AddCluster(CLI::App* parent, Context* context) {
  CLI::App* command =
      AddCommand(parent, context, "cluster",
                 "Show machines, their slots and what runs where",
                 [=] { return ShowCluster(context); });
  command->footer("Example:\n  retort cluster --json");
}

}  // namespace retort::client
