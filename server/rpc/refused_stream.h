#ifndef RETORT_SERVER_RPC_REFUSED_STREAM_H_
#define RETORT_SERVER_RPC_REFUSED_STREAM_H_

#include <grpcpp/grpcpp.h>

namespace retort::rpc {

// A server stream that ends at once, without a message. Owns itself.
template <typename Response>
class RefusedStream : public grpc::ServerWriteReactor<Response> {
 public:
  explicit RefusedStream(const grpc::Status& status) { this->Finish(status); }
  void OnDone() override { delete this; }

 private:
  ~RefusedStream() override = default;
};

}  // namespace retort::rpc

#endif  // RETORT_SERVER_RPC_REFUSED_STREAM_H_
