#ifndef RETORT_SERVER_RPC_STATUS_H_
#define RETORT_SERVER_RPC_STATUS_H_

#include <grpcpp/support/status.h>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

// The one place where absl::Status becomes grpc::Status and back, details
// (server/base/error.h) included: as google.rpc.Status in the trailing
// metadata grpc-status-details-bin.
namespace retort::rpc {

grpc::Status ToGrpc(const absl::Status& status);
absl::Status FromGrpc(const grpc::Status& status);

// What a method that is part of the API but not of this build answers.
grpc::Status NotImplementedMethod(absl::string_view method);

}  // namespace retort::rpc

#endif  // RETORT_SERVER_RPC_STATUS_H_
