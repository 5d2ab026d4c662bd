#ifndef RETORT_CORE_BASE_CHECK_H_
#define RETORT_CORE_BASE_CHECK_H_

#include "absl/base/optimization.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"

// For invariants of our own code only: a failed check prints the place and
// aborts the process, in every build type. Whatever the outside world can
// cause (a file, a request, a full disk) is an absl::Status instead.
//
//   RETORT_CHECK(index < size_);
//   RETORT_CHECK(index < size_, absl::StrCat("index ", index));
#define RETORT_CHECK(cond, ...)                          \
  (ABSL_PREDICT_TRUE(cond)                               \
       ? static_cast<void>(0)                            \
       : ::retort::base::CheckFailed(__FILE__, __LINE__, \
                                     #cond __VA_OPT__(, ) __VA_ARGS__))

// For a Status that cannot fail where it is used.
#define RETORT_CHECK_OK(expr)                                               \
  do {                                                                      \
    const ::absl::Status retort_check_status = (expr);                      \
    RETORT_CHECK(retort_check_status.ok(), retort_check_status.ToString()); \
  } while (false)

namespace retort::base {

// Writes "file:line: check failed: condition: detail" to stderr and aborts.
[[noreturn]] void CheckFailed(const char* file, int line, const char* condition,
                              absl::string_view detail = "");

}  // namespace retort::base

#endif  // RETORT_CORE_BASE_CHECK_H_
