#ifndef RETORT_SERVER_LISTENING_H_
#define RETORT_SERVER_LISTENING_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/auth/listen_policy.h"

namespace retort {

// Takes the data folder for this process alone, for as long as this lives.
class DataDirLock {
 public:
  DataDirLock() = default;
  ~DataDirLock();
  DataDirLock(const DataDirLock&) = delete;
  DataDirLock& operator=(const DataDirLock&) = delete;

  // FailedPrecondition if another process has it.
  absl::Status Acquire(const std::string& lock_path);

 private:
  int fd_ = -1;
};

// Tries whether the address can be listened on, for a clear answer: Unavailable
// (in use), PermissionDenied (a port below 1024), InvalidArgument (no address
// of this machine). `option` is the flag to name. Port 0 is always fine.
absl::Status ProbeAddress(const auth::ListenAddress& address,
                          const std::string& option);

// "127.0.0.1:80", "[::1]:80".
std::string JoinAddress(const std::string& host, int port);

// Returns `wanted`, or a short path that is a function of it where `wanted` is
// too long for a unix socket.
std::string SocketPathFor(const std::string& wanted);

}  // namespace retort

#endif  // RETORT_SERVER_LISTENING_H_
