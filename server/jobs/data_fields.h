#ifndef RETORT_SERVER_JOBS_DATA_FIELDS_H_
#define RETORT_SERVER_JOBS_DATA_FIELDS_H_

#include <cstdint>
#include <string>

#include "retort/v1/spec.pb.h"
#include "server/jobs/spec_problems.h"

namespace retort::jobs {

// What the data are for: their resolution is the job's to choose, or that of
// the model that the job starts from.
struct DataUse {
  bool own_resolution = false;   // train_teacher
  int64_t model_resolution = 0;  // 0: the model's manifest does not say
  int64_t model_channels = 0;    // the same
};

// Fills in and checks the data set of a task; `at` is the field's path below
// the spec. Whether the files are there shows when the job runs: they lie on
// the machine that trains.
void ResolveData(const DataUse& use, const std::string& at, v1::DataSpec* data,
                 SpecProblems* problems);

}  // namespace retort::jobs

#endif  // RETORT_SERVER_JOBS_DATA_FIELDS_H_
