#ifndef RETORT_CORE_BASE_LOG_H_
#define RETORT_CORE_BASE_LOG_H_

#include <spdlog/spdlog.h>

#include <string>

#include "absl/status/status.h"

// Logging to stderr. The level is one of trace, debug, info, warn, error,
// critical; the rest is fmt's format, checked at compile time.
//
//   RETORT_LOG(info, "checkpoint at step {} took {:.1f} s", step, seconds);
//
// Logs are output: nothing reads them back. Thread-safe.
#define RETORT_LOG(level, ...) ::spdlog::level(__VA_ARGS__)

namespace retort::base {

// Sets up logging: each line has UTC time, level, `name`, process id. Call
// once, first thing in main(); before it, lines go out in spdlog's own form.
// `level` is the least one that is written (also "off"); InvalidArgument for
// an unknown one.
absl::Status InitLog(const std::string& name, const std::string& level);

}  // namespace retort::base

#endif  // RETORT_CORE_BASE_LOG_H_
