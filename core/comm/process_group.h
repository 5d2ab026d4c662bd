#ifndef RETORT_CORE_COMM_PROCESS_GROUP_H_
#define RETORT_CORE_COMM_PROCESS_GROUP_H_

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "core/comm/communicator.h"

namespace retort::comm {

struct ProcessGroupOptions {
  int rank = 0;
  int size = 1;

  // Host name or address by which the other ranks reach this process; it also
  // says which network is used. The default is for ranks on one machine.
  std::string host = "127.0.0.1";

  // Where rank 0's store listens; not for rank 0 itself.
  std::string store_host;
  int store_port = 0;
  // Of rank 0: called once its store listens, on `host`, at a port that the
  // system chose, before it waits for the others.
  std::function<void(const std::string& host, int port)> on_listening;

  bool cuda = false;  // NCCL on cuda:0 instead of gloo on the CPU

  // How long the ranks may take to find each other.
  absl::Duration connect_timeout = absl::Minutes(10);
  // How long one collective may take. Long: whether a rank hangs is for the
  // server to say, which sees them all, and a rank may wait here while rank 0
  // validates.
  absl::Duration collective_timeout = absl::Hours(7 * 24);
};

// Joins the ranks of a gang: c10d's process group of gloo (CPU) or NCCL, whose
// members find each other through a TCPStore of rank 0's. Returns when all have
// come; size 1 is a SingleCommunicator. From then on the process ignores
// SIGPIPE, unless it has a handler for it.
//
// Errors: InvalidArgument for a rank outside of the gang, a missing store or a
// host that has no address; FailedPrecondition for `cuda` in a build without;
// Unavailable when the others did not come in time.
absl::StatusOr<std::unique_ptr<Communicator>> JoinProcessGroup(
    const ProcessGroupOptions& options);

}  // namespace retort::comm

#endif  // RETORT_CORE_COMM_PROCESS_GROUP_H_
