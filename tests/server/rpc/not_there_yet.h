#ifndef RETORT_TESTS_SERVER_RPC_NOT_THERE_YET_H_
#define RETORT_TESTS_SERVER_RPC_NOT_THERE_YET_H_

#include <gmock/gmock.h>
#include <google/protobuf/descriptor.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "server/base/error.h"
#include "server/rpc/status.h"
#include "tests/support/call_by_name.h"

namespace retort::rpc {

// Calls every method of a service with an empty message, and returns those
// that answer UNIMPLEMENTED. Each of them must say so itself: with the reason
// NOT_IMPLEMENTED and its own name. gRPC's answer for a method that was
// forgotten has neither.
inline std::vector<std::string> MethodsNotThereYet(
    grpc::Server* server, const std::string& full_name) {
  const std::shared_ptr<grpc::Channel> channel =
      server->InProcessChannel(grpc::ChannelArguments());
  const auto* descriptor =
      google::protobuf::DescriptorPool::generated_pool()->FindServiceByName(
          full_name);
  std::vector<std::string> names;
  for (int i = 0; i < descriptor->method_count(); ++i) {
    const std::string& name = descriptor->method(i)->name();
    google::protobuf::Empty response;
    const absl::Status status = FromGrpc(testing::CallByName(
        channel, "/" + full_name + "/" + name, {}, &response));
    if (!absl::IsUnimplemented(status)) continue;
    names.push_back(name);
    EXPECT_EQ(service::ReasonOf(status), v1::ERROR_REASON_NOT_IMPLEMENTED)
        << name;
    EXPECT_THAT(status.message(), ::testing::HasSubstr("/" + name));
  }
  return names;
}

}  // namespace retort::rpc

#endif  // RETORT_TESTS_SERVER_RPC_NOT_THERE_YET_H_
