#include "server/jobs/job_schema.h"

#include "absl/strings/str_cat.h"

namespace retort::jobs {

std::vector<std::string> JobMigrations() {
  return {R"sql(
    CREATE TABLE jobs(
      seq INTEGER PRIMARY KEY AUTOINCREMENT,
      name TEXT NOT NULL UNIQUE,
      project TEXT NOT NULL,
      state INTEGER NOT NULL,
      job BLOB NOT NULL,
      revision INTEGER NOT NULL,
      last_event INTEGER NOT NULL,
      epoch INTEGER NOT NULL DEFAULT 0,
      pid INTEGER NOT NULL DEFAULT 0,
      start_ticks INTEGER NOT NULL DEFAULT 0,
      token_sha256 TEXT NOT NULL DEFAULT '',
      failures INTEGER NOT NULL DEFAULT 0,
      spec_sha256 TEXT NOT NULL,
      request_id TEXT,
      request_fingerprint TEXT NOT NULL DEFAULT '');
    CREATE UNIQUE INDEX jobs_by_request ON jobs(project, request_id);
    CREATE INDEX jobs_by_state ON jobs(state);
    CREATE TABLE job_events(
      job_seq INTEGER NOT NULL REFERENCES jobs(seq) ON DELETE CASCADE,
      number INTEGER NOT NULL,
      kind INTEGER NOT NULL,
      time INTEGER NOT NULL,
      message TEXT NOT NULL,
      job BLOB NOT NULL,
      PRIMARY KEY(job_seq, number)) WITHOUT ROWID;
    CREATE TABLE job_metrics(
      job_seq INTEGER NOT NULL REFERENCES jobs(seq) ON DELETE CASCADE,
      series TEXT NOT NULL,
      step INTEGER NOT NULL,
      value REAL NOT NULL,
      time INTEGER NOT NULL,
      PRIMARY KEY(job_seq, series, step)) WITHOUT ROWID;
    CREATE TABLE job_checkpoints(
      job_seq INTEGER NOT NULL REFERENCES jobs(seq) ON DELETE CASCADE,
      step INTEGER NOT NULL,
      bytes INTEGER NOT NULL,
      time INTEGER NOT NULL,
      sha256 TEXT NOT NULL,
      PRIMARY KEY(job_seq, step)) WITHOUT ROWID;
  )sql",
          // 2. One process became a gang. Times are in microseconds.
          R"sql(
    ALTER TABLE jobs ADD COLUMN handle TEXT NOT NULL DEFAULT '';
    UPDATE jobs SET handle = 'local ' || pid || ':' || start_ticks
      WHERE pid != 0;
    ALTER TABLE jobs DROP COLUMN pid;
    ALTER TABLE jobs DROP COLUMN start_ticks;
    ALTER TABLE jobs ADD COLUMN ran INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE jobs ADD COLUMN running_since INTEGER NOT NULL DEFAULT 0;
  )sql"};
}

std::vector<std::string> SubmittedSpecMigrations() {
  return {R"sql(
    CREATE TABLE job_submitted_specs(
      job_seq INTEGER PRIMARY KEY REFERENCES jobs(seq) ON DELETE CASCADE,
      spec BLOB NOT NULL);
  )sql"};
}

absl::StatusOr<JobRecord> ReadRecord(const db::Row& row) {
  JobRecord record;
  record.seq = row.Int(0);
  if (!record.job.ParseFromString(row.Bytes(1))) {
    return absl::DataLossError(
        absl::StrCat("database: the record of job number ", record.seq,
                     " is damaged; restore the database from a backup"));
  }
  record.epoch = row.Int(2);
  record.handle = row.Text(3);
  record.token_sha256 = row.Text(4);
  record.failures = row.Int(5);
  record.spec_sha256 = row.Text(6);
  record.ran = absl::Microseconds(row.Int(7));
  if (row.Int(8) != 0) record.running_since = row.Time(8);
  return record;
}

}  // namespace retort::jobs
