#ifndef RETORT_SERVER_JOBS_JOB_SCHEMA_H_
#define RETORT_SERVER_JOBS_JOB_SCHEMA_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/db/database.h"
#include "server/jobs/job_store.h"

// How jobs lie in the database, for JobStore alone.
namespace retort::jobs {

// Of "jobs": the jobs, their events, series and checkpoints. A job's row is the
// serialized v1::Job; the columns beside it are what statements select by, or
// what callers do not see.
std::vector<std::string> JobMigrations();

// Of "job_specs": what was submitted, beside the jobs' own table, so that jobs
// of earlier builds have none.
std::vector<std::string> SubmittedSpecMigrations();

// What ReadRecord() reads; others may follow in a statement.
inline constexpr char kColumns[] =
    "seq, job, epoch, handle, token_sha256, failures, spec_sha256, ran, "
    "running_since";
inline constexpr int kColumnCount = 9;

// DataLoss if the record is damaged.
absl::StatusOr<JobRecord> ReadRecord(const db::Row& row);

}  // namespace retort::jobs

#endif  // RETORT_SERVER_JOBS_JOB_SCHEMA_H_
