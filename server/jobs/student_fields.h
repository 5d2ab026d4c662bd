#ifndef RETORT_SERVER_JOBS_STUDENT_FIELDS_H_
#define RETORT_SERVER_JOBS_STUDENT_FIELDS_H_

#include <string>

#include "retort/v1/spec.pb.h"
#include "server/jobs/spec_problems.h"

namespace retort::jobs {

// Fills in the defaults of those fields of a DistillSpec that say which pairs
// of times are drawn, how they weigh and how the target follows (grid_size,
// target_ema_rate, weighting, curriculum, start_grid_size, and those of
// METHOD_CTM), and adds what is wrong with them to `problems`. `at` is the path
// of `task` in the spec. Its method is resolved already.
void ResolveStudentFields(const std::string& at, v1::DistillSpec* task,
                          SpecProblems* problems);

// Adds what METHOD_CT without a teacher cannot have, and what only it can.
void CheckTeacherOrNone(const std::string& at, const v1::DistillSpec& task,
                        SpecProblems* problems);

}  // namespace retort::jobs

#endif  // RETORT_SERVER_JOBS_STUDENT_FIELDS_H_
