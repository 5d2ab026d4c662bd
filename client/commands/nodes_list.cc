#include "client/commands/commands.h"
#include "client/output.h"
#include "client/top_frame.h"
#include "core/base/status_macros.h"
#include "retort/v1/cluster_service.grpc.pb.h"

namespace retort::client {
namespace {

absl::Status ListNodes(Context* context) {
  auto stub = context->NewStub<v1::ClusterService>();
  v1::Cluster cluster;
  RETORT_RETURN_IF_ERROR(context->Call(*stub,
                                       &v1::ClusterService::Stub::GetCluster,
                                       v1::GetClusterRequest(), &cluster));
  if (context->options.json) {
    PrintJsonList("nodes", cluster.nodes());
  } else {
    NodeTable(cluster).Print("no nodes");
  }
  return absl::OkStatus();
}

}  // namespace

void AddNodesList(CLI::App* parent, Context* context) {
  CLI::App* command =
      AddCommand(parent, context, "list",
                 "List the machines, what of them is used, and by whom",
                 [=] { return ListNodes(context); });
  command->footer("Example:\n  retort nodes list");
}

}  // namespace retort::client
