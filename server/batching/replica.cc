#include "server/batching/replica.h"

#include <algorithm>

namespace retort::batching {

absl::Duration Backoff(const ReplicaOptions& options, int crashes) {
  absl::Duration pause = options.first_backoff;
  for (int i = 1; i < crashes && pause < options.max_backoff; ++i) pause *= 2;
  return std::min(pause, options.max_backoff);
}

}  // namespace retort::batching
