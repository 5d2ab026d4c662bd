#ifndef RETORT_SERVER_BASE_DURATIONS_H_
#define RETORT_SERVER_BASE_DURATIONS_H_

#include <google/protobuf/duration.pb.h>

#include <algorithm>
#include <cstdint>

#include "absl/time/time.h"

namespace retort::service {

// Writes a duration as messages have it; a negative one as zero.
inline void SetDuration(absl::Duration value, google::protobuf::Duration* out) {
  const int64_t nanos = std::max<int64_t>(0, absl::ToInt64Nanoseconds(value));
  out->set_seconds(nanos / 1000000000);
  out->set_nanos(static_cast<int32_t>(nanos % 1000000000));
}

inline absl::Duration GetDuration(const google::protobuf::Duration& value) {
  return absl::Seconds(value.seconds()) + absl::Nanoseconds(value.nanos());
}

}  // namespace retort::service

#endif  // RETORT_SERVER_BASE_DURATIONS_H_
