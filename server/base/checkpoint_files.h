#ifndef RETORT_SERVER_BASE_CHECKPOINT_FILES_H_
#define RETORT_SERVER_BASE_CHECKPOINT_FILES_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "retort/v1/job_service.pb.h"

namespace retort::service {

// A checkpoint as the API tells of it, by the files in its folder: all but its
// time. An error if they cannot be read.
absl::StatusOr<v1::Checkpoint> ReadCheckpoint(int64_t step,
                                              const std::string& directory);

}  // namespace retort::service

#endif  // RETORT_SERVER_BASE_CHECKPOINT_FILES_H_
