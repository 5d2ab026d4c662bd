#ifndef RETORT_TESTS_SUPPORT_CALL_BY_NAME_H_
#define RETORT_TESTS_SUPPORT_CALL_BY_NAME_H_

#include <google/protobuf/empty.pb.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/impl/codegen/proto_utils.h>

#include <chrono>
#include <memory>
#include <string>

#include "absl/synchronization/notification.h"

namespace retort::testing {

// Calls "/package.Service/Method" without its generated code. Empty stands for
// any message: what is in it are unknown fields, each with its number. A
// streaming method gets the one message and may answer with one.
// `authorization`, if not empty, goes as metadata of that name.
inline grpc::Status CallByName(const std::shared_ptr<grpc::Channel>& channel,
                               const std::string& method,
                               const google::protobuf::Empty& request,
                               google::protobuf::Empty* response,
                               const std::string& authorization = "") {
  using Message = google::protobuf::Empty;
  grpc::TemplatedGenericStub<Message, Message> stub(channel);
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() +
                       std::chrono::minutes(2));
  if (!authorization.empty()) {
    context.AddMetadata("authorization", authorization);
  }
  grpc::Status status;
  absl::Notification done;
  stub.UnaryCall(&context, method, grpc::StubOptions(), &request, response,
                 [&](grpc::Status ended) {
                   status = ended;
                   done.Notify();
                 });
  done.WaitForNotification();
  return status;
}

}  // namespace retort::testing

#endif  // RETORT_TESTS_SUPPORT_CALL_BY_NAME_H_
