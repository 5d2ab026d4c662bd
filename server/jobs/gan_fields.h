#ifndef RETORT_SERVER_JOBS_GAN_FIELDS_H_
#define RETORT_SERVER_JOBS_GAN_FIELDS_H_

#include <string>

#include "retort/v1/spec.pb.h"
#include "server/jobs/spec_problems.h"

namespace retort::jobs {

// Fills in and checks a discriminator's settings. `at` is the path of the spec
// that has them, such as "distill"; they must be left out where weight is 0.
void ResolveGanFields(const std::string& at, v1::DistillSpec* task,
                      SpecProblems* problems);

}  // namespace retort::jobs

#endif  // RETORT_SERVER_JOBS_GAN_FIELDS_H_
