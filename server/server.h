#ifndef RETORT_SERVER_SERVER_H_
#define RETORT_SERVER_SERVER_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/base/run_dir.h"
#include "server/options.h"

namespace retort {

// The whole of retortd in one object: who owns what, and the order of start
// and stop.
//
//   RETORT_ASSIGN_OR_RETURN(auto server, Server::Create(options));
//   RETORT_RETURN_IF_ERROR(server->Start());
//   ... until a signal ...
//   server->Stop();
//
// Start: lock the data folder, open the database, registry and job store,
// pick up what an earlier server left, open the workers' socket and the ports,
// write retortd.json, start the scheduler. Stop in the reverse order: workers
// of jobs are asked to write a checkpoint and end (their jobs go back to the
// queue), replicas are ended, calls in flight get a grace period.
class Server {
 public:
  // Errors are one line with cause and remedy: FailedPrecondition (another
  // retortd uses the folder), PermissionDenied, InvalidArgument (options).
  static absl::StatusOr<std::unique_ptr<Server>> Create(
      const ServerOptions& options);
  // Stops if still running.
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // Unavailable if a port is in use.
  absl::Status Start();
  void Stop();

  // Where it listens ("127.0.0.1:40123"), after Start.
  const std::string& grpc_address() const;
  const std::string& http_address() const;

 private:
  struct Parts;
  explicit Server(std::unique_ptr<Parts> parts);

  std::unique_ptr<Parts> parts_;
};

}  // namespace retort

#endif  // RETORT_SERVER_SERVER_H_
