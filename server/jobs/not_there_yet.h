#ifndef RETORT_SERVER_JOBS_NOT_THERE_YET_H_
#define RETORT_SERVER_JOBS_NOT_THERE_YET_H_

#include "retort/v1/spec.pb.h"
#include "server/jobs/spec_problems.h"

namespace retort::jobs {

// Refuses, as UNIMPLEMENTED, what the API has and no worker does yet: a spec
// that asks for it must not run without it. Marked in spec.proto.
void RefuseWhatIsNotThere(const v1::JobSpec& spec, SpecProblems* problems);

}  // namespace retort::jobs

#endif  // RETORT_SERVER_JOBS_NOT_THERE_YET_H_
