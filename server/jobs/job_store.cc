#include "server/jobs/job_store.h"

#include <google/protobuf/util/json_util.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/file.h"
#include "core/base/log.h"
#include "core/base/status_macros.h"
#include "server/base/error.h"
#include "server/jobs/copy_checkpoint.h"
#include "server/jobs/job_schema.h"
#include "server/jobs/spec_hash.h"
#include "server/jobs/timestamps.h"

namespace retort::jobs {
namespace {

// Removed folders get this prefix first; PathComponent never makes a name that
// begins with a dot.
constexpr char kDeletedPrefix[] = ".deleted-";
constexpr char kOrphanPrefix[] = ".orphan-";

absl::Status CheckArrow(const std::string& name, State from, State to) {
  if (from == to || CanMove(from, to)) return absl::OkStatus();
  return service::Error(absl::StatusCode::kFailedPrecondition,
                        v1::ERROR_REASON_STATE_CONFLICT,
                        absl::StrCat(name, " is ", StateName(from),
                                     " and cannot become ", StateName(to)),
                        {{"state", StateName(from)}});
}

// A gang runs from its job's RUNNING on until the job has none any more.
void CountRunningTime(State before, State after, absl::Time now,
                      JobRecord* record) {
  if (after == v1::Job::STATE_RUNNING) record->running_since = now;
  if (!HasWorker(before) || HasWorker(after)) return;
  if (record->running_since != absl::InfinitePast()) {
    record->ran += std::max(now - record->running_since, absl::ZeroDuration());
  }
  record->running_since = absl::InfinitePast();
}

// What does not run has none.
void ForgetSpeed(v1::Job* job) {
  if (!job->has_progress()) return;
  job->mutable_progress()->clear_images_per_second();
  job->mutable_progress()->clear_eta();
}

std::string StateMessage(const v1::Job& job) {
  return job.state_reason().empty()
             ? StateName(job.state())
             : absl::StrCat(StateName(job.state()), ": ", job.state_reason());
}

absl::StatusOr<std::string> ToJson(const v1::JobSpec& spec) {
  google::protobuf::util::JsonPrintOptions options;
  options.add_whitespace = true;
  options.preserve_proto_field_names = true;
  std::string json;
  const auto status =
      google::protobuf::util::MessageToJsonString(spec, &json, options);
  if (!status.ok()) return absl::InternalError(std::string(status.message()));
  return json;
}

}  // namespace

absl::StatusOr<std::unique_ptr<JobStore>> JobStore::Create(
    db::Database* db, base::Clock* clock, const base::DataDir& data_dir) {
  RETORT_RETURN_IF_ERROR(db->Migrate("jobs", JobMigrations()));
  RETORT_RETURN_IF_ERROR(db->Migrate("job_specs", SubmittedSpecMigrations()));
  RETORT_RETURN_IF_ERROR(base::MakeDirs(data_dir.jobs_dir()));
  std::unique_ptr<JobStore> store(new JobStore(db, clock, data_dir));
  RETORT_RETURN_IF_ERROR(store->SweepDeleted());
  return store;
}

base::JobDir JobStore::DirOf(const service::ResourceName& name) const {
  return base::JobDir(data_dir_.job_dir(name.DirName()));
}

absl::StatusOr<v1::Job> JobStore::FindByRequest(const NewJob& new_job) const {
  std::string fingerprint;
  absl::StatusOr<JobRecord> record = absl::NotFoundError("");
  RETORT_RETURN_IF_ERROR(db_->Read([&](db::Connection& connection) {
    return connection.Query(
        absl::StrCat("SELECT ", kColumns, ", request_fingerprint FROM jobs ",
                     "WHERE project = ? AND request_id = ?"),
        {new_job.project, new_job.request_id}, [&](const db::Row& row) {
          record = ReadRecord(row);
          fingerprint = row.Text(kColumnCount);
          return absl::OkStatus();
        });
  }));
  if (!record.ok()) return record.status();
  if (fingerprint != new_job.request_fingerprint) {
    return service::Error(
        absl::StatusCode::kAlreadyExists, v1::ERROR_REASON_REQUEST_ID_REUSED,
        absl::StrCat("request_id ", new_job.request_id, " came before with ",
                     "another request, which made ", record->job.name(),
                     "; use a fresh one for a new job"),
        {{"name", record->job.name()}});
  }
  OverlayLive(&record->job);
  return record->job;
}

absl::Status JobStore::Insert(db::Connection& connection, const NewJob& new_job,
                              JobRecord* record) {
  RETORT_RETURN_IF_ERROR(connection.Execute(
      "INSERT INTO jobs(name, project, state, job, revision, last_event, "
      "spec_sha256, request_id, request_fingerprint) "
      "VALUES(?, ?, ?, x'', 0, 0, ?, ?, ?)",
      {record->job.name(), new_job.project, int{record->job.state()},
       record->spec_sha256,
       new_job.request_id.empty() ? db::Value(nullptr)
                                  : db::Value(new_job.request_id),
       new_job.request_fingerprint}));
  record->seq = connection.LastInsertId();
  const std::string submitted = new_job.submitted.SerializeAsString();
  RETORT_RETURN_IF_ERROR(
      connection.Execute("INSERT INTO job_submitted_specs VALUES(?, ?)",
                         {record->seq, db::Blob{submitted}}));
  return Save(connection, record,
              {{v1::JobEvent::KIND_STATE, StateMessage(record->job)}});
}

absl::Status JobStore::CheckIsNew(const std::string& name) const {
  const absl::Status taken = Get(name).status();
  if (absl::IsNotFound(taken)) return absl::OkStatus();
  RETORT_RETURN_IF_ERROR(taken);
  return service::Error(
      absl::StatusCode::kAlreadyExists, v1::ERROR_REASON_ALREADY_EXISTS,
      absl::StrCat(name, " exists; choose another job_id, or leave it out"),
      {{"name", name}});
}

absl::Status JobStore::ClearFolder(const base::JobDir& dir,
                                   const service::ResourceName& name) const {
  // Checkpoints of another job must not become this one's. They are not thrown
  // away: the job's row may only be missing because the database is an older
  // copy.
  RETORT_ASSIGN_OR_RETURN(const std::vector<int64_t> steps,
                          dir.ListCheckpoints());
  if (steps.empty()) return base::RemoveTree(dir.path());
  const std::string aside =
      absl::StrCat(data_dir_.jobs_dir(), "/", kOrphanPrefix, name.DirName(),
                   "-", absl::ToUnixMillis(clock_->Now()));
  RETORT_RETURN_IF_ERROR(base::Rename(dir.path(), aside));
  RETORT_LOG(warn,
             "there was a folder of {}, of which the database knows nothing: "
             "its checkpoints (newest: step {}) are in {} now",
             name.ToString(), steps.back(), aside);
  return absl::OkStatus();
}

absl::StatusOr<v1::Job> JobStore::CreateJob(const NewJob& new_job) {
  const service::ResourceName name{
      new_job.project, service::kJobs,
      new_job.job_id.empty() ? service::MakeId("job") : new_job.job_id};
  JobRecord record;
  record.job = new_job.job;
  record.job.set_name(name.ToString());
  record.job.set_state(v1::Job::STATE_QUEUED);
  *record.job.mutable_create_time() = ToTimestamp(clock_->Now());
  record.spec_sha256 = SpecSha256(record.job.spec());
  RETORT_ASSIGN_OR_RETURN(std::string json, ToJson(record.job.spec()));
  {
    absl::MutexLock lock(&folders_mutex_);
    if (!new_job.request_id.empty()) {
      absl::StatusOr<v1::Job> earlier = FindByRequest(new_job);
      if (!absl::IsNotFound(earlier.status())) return earlier;
    }
    RETORT_RETURN_IF_ERROR(CheckIsNew(name.ToString()));
    const base::JobDir dir = DirOf(name);
    RETORT_RETURN_IF_ERROR(ClearFolder(dir, name));
    absl::Status status = MakeFolder(new_job, dir, json);
    if (status.ok()) {
      status = db_->Write([&](db::Connection& connection) {
        return Insert(connection, new_job, &record);
      });
    }
    if (!status.ok()) {
      base::RemoveTree(dir.path()).IgnoreError();
      return status;
    }
  }
  feed_.Notify(record.job.name());
  return record.job;
}

absl::Status JobStore::MakeFolder(const NewJob& new_job,
                                  const base::JobDir& dir,
                                  const std::string& json) const {
  RETORT_RETURN_IF_ERROR(base::MakeDirs(dir.path()));
  // Nobody sees the folder before its job is in the database.
  if (!new_job.start_from.empty()) {
    RETORT_RETURN_IF_ERROR(CopyCheckpoint(
        new_job.start_from, new_job.start_sha256, dir.start_dir()));
  }
  return base::AtomicWriteFile(dir.spec_path(), json);
}

absl::StatusOr<JobRecord> JobStore::Load(db::Connection& connection,
                                         const std::string& name) const {
  absl::StatusOr<JobRecord> record = service::NotFound("job", name);
  RETORT_RETURN_IF_ERROR(connection.Query(
      absl::StrCat("SELECT ", kColumns, " FROM jobs WHERE name = ?"), {name},
      [&](const db::Row& row) {
        record = ReadRecord(row);
        return absl::OkStatus();
      }));
  return record;
}

absl::StatusOr<int64_t> JobStore::SeqOf(db::Connection& connection,
                                        const std::string& name) const {
  absl::StatusOr<int64_t> seq = service::NotFound("job", name);
  RETORT_RETURN_IF_ERROR(connection.Query("SELECT seq FROM jobs WHERE name = ?",
                                          {name}, [&](const db::Row& row) {
                                            seq = row.Int(0);
                                            return absl::OkStatus();
                                          }));
  return seq;
}

absl::StatusOr<JobRecord> JobStore::Get(const std::string& name) const {
  absl::StatusOr<JobRecord> record = absl::InternalError("not read");
  RETORT_RETURN_IF_ERROR(db_->Read([&](db::Connection& connection) {
    record = Load(connection, name);
    return absl::OkStatus();
  }));
  if (record.ok()) OverlayLive(&record->job);
  return record;
}

absl::StatusOr<v1::JobSpec> JobStore::SubmittedSpec(
    const std::string& name) const {
  v1::JobSpec spec;
  RETORT_RETURN_IF_ERROR(
      db_->Read([&](db::Connection& connection) -> absl::Status {
        RETORT_ASSIGN_OR_RETURN(const JobRecord record, Load(connection, name));
        spec = record.job.spec();
        return connection.Query(
            "SELECT spec FROM job_submitted_specs WHERE job_seq = ?",
            {record.seq}, [&](const db::Row& row) -> absl::Status {
              if (spec.ParseFromString(row.Bytes(0))) return absl::OkStatus();
              return absl::DataLossError(absl::StrCat(
                  "database: the submitted spec of ", name,
                  " is damaged; restore the database from a backup"));
            });
      }));
  return spec;
}

absl::Status JobStore::Save(db::Connection& connection, JobRecord* record,
                            const std::vector<EventText>& events) {
  int64_t revision = 0, last_event = 0;
  RETORT_RETURN_IF_ERROR(
      connection.Query("SELECT revision, last_event FROM jobs WHERE seq = ?",
                       {record->seq}, [&](const db::Row& row) {
                         revision = row.Int(0) + 1;
                         last_event = row.Int(1);
                         return absl::OkStatus();
                       }));
  record->job.set_etag(absl::StrCat("r", revision));
  const std::string job = record->job.SerializeAsString();
  for (const EventText& event : events) {
    RETORT_RETURN_IF_ERROR(
        connection.Execute("INSERT INTO job_events VALUES(?, ?, ?, ?, ?, ?)",
                           {record->seq, ++last_event, int{event.kind},
                            clock_->Now(), event.message, db::Blob{job}}));
  }
  return connection.Execute(
      "UPDATE jobs SET state = ?, job = ?, revision = ?, last_event = ?, "
      "epoch = ?, handle = ?, token_sha256 = ?, failures = ?, ran = ?, "
      "running_since = ? WHERE seq = ?",
      {int{record->job.state()}, db::Blob{job}, revision, last_event,
       record->epoch, record->handle, record->token_sha256, record->failures,
       absl::ToInt64Microseconds(record->ran),
       record->running_since == absl::InfinitePast()
           ? db::Value(0)
           : db::Value(record->running_since),
       record->seq});
}

absl::StatusOr<JobRecord> JobStore::Update(const std::string& name,
                                           Change change) {
  JobRecord record;
  RETORT_RETURN_IF_ERROR(db_->Write([&](db::Connection& connection)
                                        -> absl::Status {
    RETORT_ASSIGN_OR_RETURN(record, Load(connection, name));
    // What was reached so far stays with the job.
    OverlayProgress(&record.job);
    const State before = record.job.state();
    std::vector<EventText> events;
    RETORT_RETURN_IF_ERROR(change(record, &events));
    const State after = record.job.state();
    RETORT_RETURN_IF_ERROR(CheckArrow(name, before, after));
    if (!HasWorker(after)) ForgetSpeed(&record.job);
    if (after != before) {
      CountRunningTime(before, after, clock_->Now(), &record);
      if (after == v1::Job::STATE_QUEUED) {
        RETORT_RETURN_IF_ERROR(GoBack(connection, &record));
      }
      const auto now = ToTimestamp(clock_->Now());
      if (after == v1::Job::STATE_RUNNING && !record.job.has_start_time()) {
        *record.job.mutable_start_time() = now;
      }
      if (IsEnded(after)) {
        *record.job.mutable_end_time() = now;
      } else {
        record.job.clear_end_time();
      }
      events.push_back({v1::JobEvent::KIND_STATE, StateMessage(record.job)});
    }
    return Save(connection, &record, events);
  }));
  if (!HasWorker(record.job.state())) feed_.ClearProgress(name);
  feed_.Notify(name);
  return record;
}

void JobStore::OverlayProgress(v1::Job* job) const {
  const auto latest = feed_.GetProgress(job->name());
  if (latest.has_value()) *job->mutable_progress() = latest->progress;
}

void JobStore::OverlayLive(v1::Job* job) const {
  OverlayProgress(job);
  const auto gang = feed_.GetGang(job->name());
  if (!gang.has_value()) return;
  *job->mutable_ranks() = {gang->ranks.begin(), gang->ranks.end()};
  job->set_executor_id(gang->executor_id);
}

absl::Status JobStore::Delete(const std::string& name,
                              const std::string& etag) {
  RETORT_ASSIGN_OR_RETURN(service::ResourceName parsed,
                          service::ParseName(service::kJobs, name));
  const std::string dir = DirOf(parsed).path();
  const std::string doomed =
      absl::StrCat(data_dir_.jobs_dir(), "/", kDeletedPrefix, parsed.DirName());
  absl::ReleasableMutexLock lock(&folders_mutex_);
  RETORT_RETURN_IF_ERROR(
      db_->Write([&](db::Connection& connection) -> absl::Status {
        RETORT_ASSIGN_OR_RETURN(JobRecord record, Load(connection, name));
        if (!IsEnded(record.job.state())) {
          return service::Error(
              absl::StatusCode::kFailedPrecondition,
              v1::ERROR_REASON_STATE_CONFLICT,
              absl::StrCat(name, " is ", StateName(record.job.state()),
                           "; cancel it first"),
              {{"state", StateName(record.job.state())}});
        }
        if (!etag.empty() && etag != record.job.etag()) {
          return service::Error(
              absl::StatusCode::kAborted, v1::ERROR_REASON_ETAG_MISMATCH,
              absl::StrCat(name, " has changed since it was read; read it ",
                           "again and decide anew"));
        }
        return connection.Execute("DELETE FROM jobs WHERE seq = ?",
                                  {record.seq});
      }));
  // Removing may take long, renaming does not.
  absl::Status status = base::RemoveTree(doomed);
  if (status.ok() && base::FileExists(dir)) status = base::Rename(dir, doomed);
  lock.Release();
  feed_.Notify(name);
  RETORT_RETURN_IF_ERROR(status);
  return base::RemoveTree(doomed);
}

absl::Status JobStore::SweepDeleted() {
  RETORT_ASSIGN_OR_RETURN(std::vector<std::string> names,
                          base::ListDir(data_dir_.jobs_dir()));
  for (const std::string& name : names) {
    if (name.rfind(kDeletedPrefix, 0) == 0) {
      RETORT_RETURN_IF_ERROR(
          base::RemoveTree(absl::StrCat(data_dir_.jobs_dir(), "/", name)));
    }
  }
  return absl::OkStatus();
}

}  // namespace retort::jobs
