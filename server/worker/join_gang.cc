#include "server/worker/join_gang.h"

#include <ATen/Context.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <string>

#include "absl/cleanup/cleanup.h"
#include "core/base/log.h"
#include "core/base/status_macros.h"
#include "core/comm/process_group.h"

namespace retort::worker {
namespace {

using internal::v1::TaskEnded;

absl::StatusOr<std::unique_ptr<comm::Communicator>> Join(
    const TaskContext& context) {
  const internal::v1::Assignment& assignment = context.assignment;
  comm::ProcessGroupOptions options;
  if (context.rehearsal == nullptr) {
    options.rank = assignment.rank();
    options.size = std::max(assignment.world_size(), 1);
  }
  if (options.size == 1) return comm::JoinProcessGroup(options);
  RETORT_ASSIGN_OR_RETURN(const at::Device device, DeviceOf(assignment));
  options.cuda = device.is_cuda();
  const char* host = getenv("RETORT_GANG_HOST");
  if (host != nullptr && *host != 0) options.host = host;
  options.store_host = assignment.rendezvous().host();
  options.store_port = assignment.rendezvous().port();
  options.on_listening = [&context](const std::string& host, int port) {
    internal::v1::Rendezvous rendezvous;
    rendezvous.set_host(host);
    rendezvous.set_port(port);
    context.outbox->SendRendezvous(rendezvous);
    RETORT_LOG(info, "waiting for the other ranks at {}:{}", host, port);
  };
  context.outbox->SetActivity("waiting for other ranks", /*waiting=*/true);
  auto gang = comm::JoinProcessGroup(options);
  if (gang.ok()) {
    RETORT_LOG(info, "rank {} of {}", options.rank, options.size);
  }
  return gang;
}

}  // namespace

absl::StatusOr<at::Device> DeviceOf(
    const internal::v1::Assignment& assignment) {
  const std::string& device = assignment.device();
  if (device.empty() || device == "cpu") return at::Device(at::kCPU);
  if (device != "cuda") {
    return absl::InvalidArgumentError(
        "the server wants this task to compute on \"" + device +
        "\", which retort-worker does not know; use retortd and "
        "retort-worker of the same version");
  }
  if (at::hasCUDA()) return at::Device(at::kCUDA, 0);
  return absl::FailedPreconditionError(
      "the job wants a GPU, and retort-worker sees none: it was built without "
      "CUDA (-DRETORT_CUDA=ON), or the driver or the device is missing on this "
      "node. Set resources.gpus to 0 to train on the CPU");
}

absl::StatusOr<TaskEnded> InGang(
    const TaskContext& context,
    const std::function<absl::StatusOr<TaskEnded>(comm::Communicator&)>& body) {
  RETORT_ASSIGN_OR_RETURN(const auto gang, Join(context));
  std::string reason = "it failed";  // of an exception
  absl::Cleanup abort = [&] { gang->Abort(reason); };
  absl::StatusOr<TaskEnded> ended = body(*gang);
  if (ended.ok()) {
    std::move(abort).Cancel();
  } else {
    reason = std::string(ended.status().message());
  }
  return ended;
}

}  // namespace retort::worker
