#ifndef RETORT_CORE_BASE_WRITE_FAULT_H_
#define RETORT_CORE_BASE_WRITE_FAULT_H_

#include <cstdint>

namespace retort::base {

// Test seam: while one lives, the process's writes through core/base/file.h
// and AtomicFileWriter succeed for `bytes` more bytes and then fail with
// `error` (ENOSPC, EDQUOT, EIO, ...), as a disk that fills up does.
//
//   ScopedWriteFault full_disk(/*bytes=*/1000, ENOSPC);
//   EXPECT_THAT(SaveCheckpoint(dir), StatusIs(kResourceExhausted));
//
// At most one at a time. Thread-safe against writers in other threads.
class ScopedWriteFault {
 public:
  ScopedWriteFault(int64_t bytes, int error);
  ~ScopedWriteFault();
  ScopedWriteFault(const ScopedWriteFault&) = delete;
  ScopedWriteFault& operator=(const ScopedWriteFault&) = delete;

  // For the writers: takes `bytes` from the budget. Returns 0, or the errno
  // value to fail with. Costs one relaxed load when no fault is set.
  static int Charge(int64_t bytes);
};

}  // namespace retort::base

#endif  // RETORT_CORE_BASE_WRITE_FAULT_H_
