#ifndef RETORT_SERVER_WORKER_DIAL_CREDENTIALS_H_
#define RETORT_SERVER_WORKER_DIAL_CREDENTIALS_H_

#include <grpcpp/security/credentials.h>

#include <memory>
#include <string>

namespace retort::worker {

// How a worker dials `server` (a gRPC target). Over a unix socket, or where
// RETORT_WORKER_CA is not set: without TLS. Else with TLS, the server's
// certificate being checked with the CAs in that file (PEM), and the worker's
// own certificate being that of RETORT_WORKER_CERT and RETORT_WORKER_KEY if
// they are set. The files are read anew each time. One that cannot be read is
// logged, and the credentials trust nobody until it can.
std::shared_ptr<grpc::ChannelCredentials> DialCredentials(
    const std::string& server);

}  // namespace retort::worker

#endif  // RETORT_SERVER_WORKER_DIAL_CREDENTIALS_H_
