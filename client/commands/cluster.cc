#include "absl/strings/str_format.h"
#include "client/commands/commands.h"
#include "client/output.h"
#include "client/top_frame.h"
#include "core/base/status_macros.h"
#include "retort/v1/cluster_service.grpc.pb.h"

namespace retort::client {
namespace {

void PrintCluster(const v1::Cluster& cluster) {
  absl::PrintF(
      "retortd %s, executor %s: %d queued and %d running jobs, %d deployments "
      "ready\n",
      cluster.version(), cluster.executor(), cluster.queued_jobs(),
      cluster.running_jobs(), cluster.ready_deployments());
  NodeTable(cluster).Print();
}

absl::Status ShowCluster(Context* context) {
  auto stub = context->NewStub<v1::ClusterService>();
  v1::Cluster cluster;
  RETORT_RETURN_IF_ERROR(context->Call(*stub,
                                       &v1::ClusterService::Stub::GetCluster,
                                       v1::GetClusterRequest(), &cluster));
  context->options.json ? PrintJson(cluster) : PrintCluster(cluster);
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
