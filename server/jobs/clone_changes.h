#ifndef RETORT_SERVER_JOBS_CLONE_CHANGES_H_
#define RETORT_SERVER_JOBS_CLONE_CHANGES_H_

#include <google/protobuf/field_mask.pb.h>

#include <cstdint>

#include "absl/status/status.h"
#include "retort/v1/job_service.pb.h"
#include "server/jobs/model_lookup.h"

// What CloneJob makes of an old job.
namespace retort::jobs {

// Gives the fields of `job` that `mask` names the values that they have in
// `changes`: lists and messages as a whole; a field that is not set there is
// not set any more, so that it gets its default. Paths begin with
// display_name, priority, priority_class, labels or spec; "labels.KEY" is one
// label. A path may not lead into another task than the job's.
// InvalidArgument (BadRequest on "update_mask") names the path, and the nearest
// known name. On an error `job` is as it was.
absl::Status ApplyChanges(const v1::Job& changes,
                          const google::protobuf::FieldMask& mask,
                          v1::Job* job);

// Checks that a job of the resolved spec `now` can begin with the checkpoint
// of `step` of a job of the resolved spec `before`: task, method and network
// are the same (a teacher's network is its student's), and there are steps
// left. InvalidArgument (SPEC_INVALID; BadRequest names each field).
absl::Status CheckCanGoOn(const v1::JobSpec& before, int64_t step,
                          const v1::JobSpec& now, ModelLookup* models);

}  // namespace retort::jobs

#endif  // RETORT_SERVER_JOBS_CLONE_CHANGES_H_
