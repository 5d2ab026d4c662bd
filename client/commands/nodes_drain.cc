#include <memory>

#include "absl/strings/str_cat.h"
#include "client/commands/commands.h"
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

absl::Status DrainNode(Context* context, const DrainOptions& options,
                       bool undo) {
  v1::DrainNodeRequest request;
  request.set_node(options.node);
  request.set_reason(options.reason);
  request.set_undo(undo);
  auto stub = context->NewStub<v1::ClusterService>();
  v1::Node node;
  RETORT_RETURN_IF_ERROR(context->Call(
      *stub, &v1::ClusterService::Stub::DrainNode, request, &node));
  if (context->options.json) {
    PrintJson(node);
  } else {
    puts(absl::StrCat(node.name(),
                      node.usable() ? ": jobs may start there again"
                                    : ": no new job starts there; ",
                      node.usable() ? "" : node.state_reason())
             .c_str());
  }
  return absl::OkStatus();
}

}  // namespace

void AddNodesDrain(CLI::App* parent, Context* context) {
  auto options = std::make_shared<DrainOptions>();
  CLI::App* command = AddCommand(
      parent, context, "drain",
      "Let no new job start on a machine; what runs there is left alone",
      [=] { return DrainNode(context, *options, /*undo=*/false); });
  command->add_option("NODE", options->node, "Its name")->required();
  command->add_option("--reason", options->reason,
                      "Said to whom it keeps waiting");
  command->footer("Example:\n  retort nodes drain gpu-07 --reason 'new disks'");
}

void AddNodesUndrain(CLI::App* parent, Context* context) {
  auto options = std::make_shared<DrainOptions>();
  CLI::App* command = AddCommand(
      parent, context, "undrain", "Let jobs start on a drained machine again",
      [=] { return DrainNode(context, *options, /*undo=*/true); });
  command->add_option("NODE", options->node, "Its name")->required();
  command->footer("Example:\n  retort nodes undrain gpu-07");
}

}  // namespace retort::client
