#include <memory>

#include "absl/strings/str_format.h"
#include "client/commands/commands.h"
#include "client/output.h"
#include "client/top_frame.h"
#include "core/base/status_macros.h"
#include "retort/v1/cluster_service.grpc.pb.h"

namespace retort::client {
namespace {

absl::Status ShowQueue(Context* context, int limit) {
  v1::ListQueueRequest request;
  request.set_page_size(limit);
  auto stub = context->NewStub<v1::ClusterService>();
  v1::ListQueueResponse queue;
  RETORT_RETURN_IF_ERROR(context->Call(
      *stub, &v1::ClusterService::Stub::ListQueue, request, &queue));
  if (context->options.json) {
    PrintJson(queue);
    return absl::OkStatus();
  }
  QueueTable(queue, context->options.project, absl::Now())
      .Print(
          "no job waits; those that run: retort top, retort jobs list --state "
          "running");
  if (queue.total() > queue.entries_size()) NoteMore();
  return absl::OkStatus();
}

}  // namespace

void AddQueue(CLI::App* parent, Context* context) {
  auto limit = std::make_shared<int>(100);
  CLI::App* command = AddCommand(
      parent, context, "queue",
      "List the jobs that wait, in the order in which they would be tried",
      [=] { return ShowQueue(context, *limit); });
  command->add_option("--limit", *limit, "The first so many")
      ->capture_default_str()
      ->check(CLI::Range(1, 1000));
  command->footer("Example:\n  retort queue --limit 20");
}

}  // namespace retort::client
