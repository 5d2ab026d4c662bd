#include <algorithm>
#include <memory>

#include "client/commands/commands.h"
#include "client/job_text.h"
#include "client/output.h"
#include "core/base/status_macros.h"
#include "retort/v1/cluster_service.grpc.pb.h"

// `nodes drain` and its opposite, which are one method.
namespace retort::client {
namespace {

struct DrainOptions {
  std::string node;
  std::string reason;
};

absl::Status CallDrainNode(Context* context, const DrainOptions& options,
                           bool undo, v1::Node* node) {
  v1::DrainNodeRequest request;
  request.set_node(options.node);
  request.set_reason(options.reason);
  request.set_undo(undo);
  return context->Call(*context->NewStub<v1::ClusterService>(),
                       &v1::ClusterService::Stub::DrainNode, request, node);
}

void Say(const Context& context, const v1::Node& node,
         const std::string& text) {
  if (context.options.json) {
    PrintJson(node);
  } else {
    puts(text.c_str());
  }
}

absl::Status DrainNode(Context* context, const DrainOptions& options) {
  v1::Node node;
  RETORT_RETURN_IF_ERROR(
      CallDrainNode(context, options, /*undo=*/false, &node));
  Say(*context, node, DrainedText(node));
  return absl::OkStatus();
}

// Whether jobs may start there; false for a node that is not known.
absl::StatusOr<bool> IsUsable(Context* context, const std::string& name) {
  v1::Cluster cluster;
  RETORT_RETURN_IF_ERROR(context->Call(*context->NewStub<v1::ClusterService>(),
                                       &v1::ClusterService::Stub::GetCluster,
                                       v1::GetClusterRequest(), &cluster));
  return std::any_of(cluster.nodes().begin(), cluster.nodes().end(),
                     [&](const v1::Node& node) {
                       return node.name() == name && node.usable();
                     });
}

absl::Status UndrainNode(Context* context, const DrainOptions& options) {
  RETORT_ASSIGN_OR_RETURN(const bool was_usable,
                          IsUsable(context, options.node));
  v1::Node node;
  RETORT_RETURN_IF_ERROR(CallDrainNode(context, options, /*undo=*/true, &node));
  Say(*context, node, UndrainedText(node, was_usable));
  return absl::OkStatus();
}

}  // namespace

void AddNodesDrain(CLI::App* parent, Context* context) {
  auto options = std::make_shared<DrainOptions>();
  CLI::App* command = AddCommand(
      parent, context, "drain",
      "Let no new job start on a machine; what runs there is left alone",
      [=] { return DrainNode(context, *options); });
  command->add_option("NODE", options->node, "Its name")->required();
  command->add_option("--reason", options->reason,
                      "Said to whom it keeps waiting");
  command->footer("Example:\n  retort nodes drain gpu-07 --reason 'new disks'");
}

void AddNodesUndrain(CLI::App* parent, Context* context) {
  auto options = std::make_shared<DrainOptions>();
  CLI::App* command = AddCommand(
      parent, context, "undrain", "Let jobs start on a drained machine again",
      [=] { return UndrainNode(context, *options); });
  command->add_option("NODE", options->node, "Its name")->required();
  command->footer("Example:\n  retort nodes undrain gpu-07");
}

}  // namespace retort::client
