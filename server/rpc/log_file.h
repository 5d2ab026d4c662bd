#ifndef RETORT_SERVER_RPC_LOG_FILE_H_
#define RETORT_SERVER_RPC_LOG_FILE_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace retort::rpc {

// Reads a growing text file line by line. A missing file reads as an empty
// one, and one that has become shorter is read from its start again. Not
// thread-safe.
class LogFile {
 public:
  // With `tail` > 0 the first Next begins at the last so many lines, else at
  // byte `offset`.
  LogFile(std::string path, int tail, int64_t offset = 0)
      : path_(std::move(path)), tail_(tail), offset_(offset) {}

  // Returns whole lines that follow the last ones, at most about 64 KiB;
  // empty if there are none (yet). `at_end`: return an unfinished last line
  // too.
  std::vector<std::string> Next(bool at_end);

  // Where the next lines begin.
  int64_t offset() const { return offset_; }

 private:
  void SkipToTail();

  const std::string path_;
  int tail_;
  int64_t offset_;
};

}  // namespace retort::rpc

#endif  // RETORT_SERVER_RPC_LOG_FILE_H_
