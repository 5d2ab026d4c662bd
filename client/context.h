#ifndef RETORT_CLIENT_CONTEXT_H_
#define RETORT_CLIENT_CONTEXT_H_

#include <google/protobuf/message.h>
#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "client/access.h"
#include "client/call_status.h"
#include "client/names.h"

namespace retort::client {

// Flags that every command has.
struct GlobalOptions {
  std::string server = "127.0.0.1:7433";
  std::string project = "default";
  bool json = false;
  // Limit of a call in seconds. Below 0: 60 for short calls, none for
  // transfers, sampling and watching. 0: none.
  double timeout = -1;
  AccessOptions access;
};

// What a command needs of the world: the flags, the server, and where its
// outcome goes. One per process.
class Context {
 public:
  enum class CallKind { kShort, kLong };

  GlobalOptions options;

  // Set by the command that ran.
  absl::Status status;
  int exit_code = kExitOk;  // counts when `status` is OK

  template <typename Service>
  std::unique_ptr<typename Service::Stub> NewStub() {
    return Service::NewStub(Channel());
  }

  std::unique_ptr<grpc::ClientContext> NewCall(
      CallKind kind = CallKind::kShort) const;

  // Makes a unary call with a deadline.
  template <typename Stub, typename Request, typename Response>
  absl::Status Call(Stub& stub,
                    grpc::Status (Stub::*method)(grpc::ClientContext*,
                                                 const Request&, Response*),
                    const Request& request, Response* response,
                    CallKind kind = CallKind::kShort) const {
    std::unique_ptr<grpc::ClientContext> call = NewCall(kind);
    return Check((stub.*method)(call.get(), request, response));
  }

  absl::Status Check(const grpc::Status& answer) const {
    if (!access_problem_.ok()) return access_problem_;
    return FromCall(answer, options.server, options.access.uses_tls());
  }

  // "projects/default", and names below it.
  std::string Parent() const;
  std::string Job(absl::string_view name) const {
    return FullName(options.project, "jobs", name);
  }
  std::string Model(absl::string_view name) const {
    return FullName(options.project, "models", name);
  }
  std::string Deployment(absl::string_view name) const {
    return FullName(options.project, "deployments", name);
  }

 private:
  std::shared_ptr<grpc::Channel> Channel();

  std::shared_ptr<grpc::Channel> channel_;
  std::string authorization_;
  // Why no call can be made: each call tells it.
  absl::Status access_problem_;
};

// Returns 32 hex digits that no other call has.
std::string NewRequestId();

}  // namespace retort::client

#endif  // RETORT_CLIENT_CONTEXT_H_
