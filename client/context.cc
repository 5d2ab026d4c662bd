#include "client/context.h"

#include <chrono>
#include <random>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace retort::client {
namespace {

constexpr double kShortCallSeconds = 60;

// Calls that must not be made end here.
constexpr char kNowhere[] = "unix:/dev/null";

// Float images of a large request pass gRPC's default of 4 MiB.
constexpr int kMaxMessageBytes = 256 << 20;

}  // namespace

std::shared_ptr<grpc::Channel> Context::Channel() {
  if (channel_ == nullptr) {
    grpc::ChannelArguments args;
    args.SetMaxReceiveMessageSize(kMaxMessageBytes);
    // Not GRPC_ARG_MIN_RECONNECT_BACKOFF_MS: whatever its name says, it limits
    // how long one attempt may take, and a busy machine takes its time.
    args.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
    args.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 200);
    auto access = MakeAccess(options.access, options.server);
    access_problem_ = access.status();
    if (access.ok()) authorization_ = access->authorization;
    channel_ = grpc::CreateCustomChannel(
        access.ok() ? options.server : kNowhere,
        access.ok() ? access->credentials : grpc::InsecureChannelCredentials(),
        args);
  }
  return channel_;
}

std::unique_ptr<grpc::ClientContext> Context::NewCall(CallKind kind) const {
  auto call = std::make_unique<grpc::ClientContext>();
  double seconds = options.timeout;
  if (seconds < 0) seconds = kind == CallKind::kShort ? kShortCallSeconds : 0;
  if (seconds > 0) {
    call->set_deadline(
        std::chrono::system_clock::now() +
        std::chrono::milliseconds(static_cast<int64_t>(seconds * 1e3)));
  }
  if (!authorization_.empty()) {
    call->AddMetadata("authorization", authorization_);
  }
  return call;
}

std::string Context::Parent() const {
  return absl::StrCat("projects/", options.project);
}

std::string NewRequestId() {
  std::random_device random;
  return absl::StrFormat("%08x%08x%08x%08x", random(), random(), random(),
                         random());
}

}  // namespace retort::client
