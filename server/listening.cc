#include "server/listening.h"

#include <fcntl.h>
#include <netdb.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/base/file.h"
#include "core/base/sha256.h"

namespace retort {

DataDirLock::~DataDirLock() {
  if (fd_ >= 0) ::close(fd_);
}

absl::Status DataDirLock::Acquire(const std::string& lock_path) {
  fd_ = ::open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (fd_ < 0) {
    return base::ErrnoStatus(errno, absl::StrCat("opening ", lock_path),
                             base::ParentDir(lock_path));
  }
  if (::flock(fd_, LOCK_EX | LOCK_NB) != 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("another retortd uses ", base::ParentDir(lock_path),
                     "; stop it, or choose another folder with --data_dir"));
  }
  return absl::OkStatus();
}

absl::Status ProbeAddress(const auth::ListenAddress& address,
                          const std::string& option) {
  if (address.port == 0) return absl::OkStatus();
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const std::string name = JoinAddress(address.host, address.port);
  const int error = ::getaddrinfo(
      address.host.c_str(), absl::StrCat(address.port).c_str(), &hints, &found);
  if (error != 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        option, ": ", name, " is no address: ", ::gai_strerror(error)));
  }
  absl::Cleanup free_found = [found] { ::freeaddrinfo(found); };
  const int fd = ::socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  absl::Cleanup close_fd = [fd] {
    if (fd >= 0) ::close(fd);
  };
  const int one = 1;
  ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
  if (::bind(fd, found->ai_addr, found->ai_addrlen) == 0) {
    return absl::OkStatus();
  }
  const int cause = errno;
  const std::string message = absl::StrCat(
      "cannot listen on ", name, ": ", strerror(cause), "; choose another ",
      "address with ", option, " (port 0: any free one)");
  if (cause == EADDRINUSE) return absl::UnavailableError(message);
  if (cause == EACCES) return absl::PermissionDeniedError(message);
  return absl::InvalidArgumentError(message);
}

std::string JoinAddress(const std::string& host, int port) {
  return absl::StrContains(host, ':') ? absl::StrCat("[", host, "]:", port)
                                      : absl::StrCat(host, ":", port);
}

std::string SocketPathFor(const std::string& wanted) {
  if (wanted.size() < sizeof(sockaddr_un::sun_path)) return wanted;
  return absl::StrCat("/tmp/retort-", ::getuid(), "-",
                      base::Sha256Hex(wanted).substr(0, 16), ".sock");
}

}  // namespace retort
