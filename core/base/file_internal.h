#ifndef RETORT_CORE_BASE_FILE_INTERNAL_H_
#define RETORT_CORE_BASE_FILE_INTERNAL_H_

#include <unistd.h>

#include <cerrno>

namespace retort::base::internal {

// Closes a file descriptor at the end of its scope.
class FileHandle {
 public:
  explicit FileHandle(int fd) : fd_(fd) {}
  ~FileHandle() {
    if (fd_ >= 0) ::close(fd_);
  }
  FileHandle(const FileHandle&) = delete;
  FileHandle& operator=(const FileHandle&) = delete;

  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }

 private:
  int fd_;
};

// Runs a system call that returns -1 on error until it is not interrupted.
template <typename Call>
auto RetryInterrupted(Call call) {
  decltype(call()) result;
  do {
    result = call();
  } while (result == -1 && errno == EINTR);
  return result;
}

}  // namespace retort::base::internal

#endif  // RETORT_CORE_BASE_FILE_INTERNAL_H_
