#ifndef RETORT_SERVER_JOBS_JOB_STORE_H_
#define RETORT_SERVER_JOBS_JOB_STORE_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "core/base/clock.h"
#include "core/base/run_dir.h"
#include "retort/v1/job_service.pb.h"
#include "server/base/pagination.h"
#include "server/base/resource_name.h"
#include "server/db/database.h"
#include "server/jobs/job_feed.h"
#include "server/jobs/job_filter.h"
#include "server/jobs/job_state.h"

namespace retort::jobs {

// A job as it is kept: what callers see, and what only the service knows.
struct JobRecord {
  v1::Job job;
  int64_t seq = 0;  // order of creation
  // Incarnation of the worker; 0 before the first one.
  int64_t epoch = 0;
  // Where the executor has its gang (Executor::Start); empty: not started, or
  // not noted yet. And the hash of the secret its ranks attach with.
  std::string handle;
  std::string token_sha256;
  // Workers lost in a row without a new checkpoint.
  int64_t failures = 0;
  // How long its earlier gangs have run, and since when (RUNNING) its present
  // one does; InfinitePast: none runs. Kept by Update().
  absl::Duration ran;
  absl::Time running_since = absl::InfinitePast();
  // SHA-256 of the resolved spec (deterministic serialization).
  std::string spec_sha256;
};

struct NewJob {
  std::string project;
  std::string job_id;  // empty: made up
  v1::Job job;         // spec resolved; display_name, priority, labels, ...
  // The spec as it came, without the defaults: what clones are made of.
  v1::JobSpec submitted;
  // A checkpoint folder that the job begins with, of which it gets a copy (hard
  // links where possible) as JobDir::start_dir(); empty: none.
  std::string start_from;
  // SHA-256 of its manifest; empty: not known.
  std::string start_sha256;
  // Empty: not idempotent. The fingerprint tells a repetition from a misuse.
  std::string request_id;
  std::string request_fingerprint;
};

struct JobPage {
  std::vector<v1::Job> jobs;
  std::string next_page_token;
};

// The jobs, their events, metric series and checkpoints in SQLite, and their
// folders. Everything is committed when a method returns OK; watchers (feed())
// are told after the commit, from the caller's thread. Thread-safe.
class JobStore {
 public:
  // Creates or upgrades the tables. All arguments outlive the store.
  static absl::StatusOr<std::unique_ptr<JobStore>> Create(
      db::Database* db, base::Clock* clock, const base::DataDir& data_dir);

  // Puts a job in the queue, with its folder and spec.json. A repeated
  // request_id returns the job made then. AlreadyExists: job_id is taken, or
  // the request_id came with another fingerprint (REQUEST_ID_REUSED).
  // NotFound: start_from is not there (any more). DataLoss: it is damaged.
  absl::StatusOr<v1::Job> CreateJob(const NewJob& new_job);

  // The job that an earlier request of this id made; NotFound if there was
  // none, AlreadyExists (REQUEST_ID_REUSED) as above.
  absl::StatusOr<v1::Job> FindByRequest(const NewJob& new_job) const;

  // AlreadyExists if there is a job of this name.
  absl::Status CheckIsNew(const std::string& name) const;

  // NotFound (RESOURCE_NOT_FOUND) here and below for an unknown name.
  absl::StatusOr<JobRecord> Get(const std::string& name) const;

  // The spec that a job was submitted with, without the defaults; of a job
  // that was made when this was not kept yet, the resolved one.
  absl::StatusOr<v1::JobSpec> SubmittedSpec(const std::string& name) const;

  // A project's jobs in these states (none: in any) for which the filter
  // holds, newest first. Jobs are read a few hundred at a time, and no more
  // than it takes to fill the page.
  absl::StatusOr<JobPage> List(const std::string& project,
                               const std::vector<State>& states,
                               const JobFilter& filter, int page_size,
                               const std::string& page_token) const;

  // Every job that has not ended, oldest first.
  absl::StatusOr<std::vector<JobRecord>> ListLive() const;
  absl::StatusOr<std::map<State, int64_t>> CountByState() const;

  // What an Update adds to the job's events.
  struct EventText {
    v1::JobEvent::Kind kind = v1::JobEvent::KIND_WARNING;
    std::string message;
  };
  using Change =
      absl::FunctionRef<absl::Status(JobRecord&, std::vector<EventText>*)>;

  // Reads a job, lets `change` alter it, and writes it with its events in one
  // transaction. A change of state must follow an arrow, else
  // FailedPrecondition (STATE_CONFLICT); it adds an event by itself, with
  // job.state_reason as its words, and sets start_time and end_time (which a
  // job that leaves its end loses). A job that goes to the queue has the
  // progress of the checkpoint that it goes on from, and none without one. An
  // error of `change` is returned and nothing is written. `change` must not
  // call the store.
  absl::StatusOr<JobRecord> Update(const std::string& name, Change change);

  // The worker's progress: the numbers go into the job's series, the rest is
  // kept in memory for readers and watchers.
  absl::Status RecordProgress(const std::string& name,
                              const v1::JobProgress& progress,
                              const std::map<std::string, double>& metrics,
                              absl::Time time);
  // Records the checkpoints that lie on disk and are not known: written by a
  // worker that ended before it could say so. For jobs without a worker.
  absl::Status LookForCheckpoints(const std::string& name);
  // A checkpoint lies on disk. Also clears the count of failures. Without
  // effect if it is known already: each new stream of a worker repeats its
  // last ones.
  absl::Status RecordCheckpoint(const std::string& name,
                                const v1::Checkpoint& checkpoint);

  // Series by name (none: all), thinned to at most max_points each, the first
  // and last point always among them.
  absl::StatusOr<std::vector<v1::MetricSeries>> ListMetrics(
      const std::string& name, const std::vector<std::string>& series,
      int max_points) const;
  // Checkpoints that still exist, oldest first.
  absl::StatusOr<std::vector<v1::Checkpoint>> ListCheckpoints(
      const std::string& name) const;
  // The checkpoint of this step; NotFound, with the steps that there are.
  absl::StatusOr<v1::Checkpoint> FindCheckpoint(const std::string& name,
                                                int64_t step) const;
  // Forgets all that came after the checkpoint of `step`: later checkpoints on
  // disk (newest first, so that a crash in between leaves a job that goes on
  // from the newest one left), then their rows and all points of series after
  // it, with an event that says so. `step` may also be that of the checkpoint
  // that a clone began with. NotFound as above. For a job that CanResume, and
  // that nobody resumes meanwhile. Said again, it does no more.
  absl::Status DropAfter(const std::string& name, int64_t step);
  // At most `limit` stored events from `from` on.
  absl::StatusOr<std::vector<v1::WatchJobResponse>> ListEvents(
      const std::string& name, int64_t from, int limit) const;

  // Removes an ended job and its folder. FailedPrecondition (STATE_CONFLICT)
  // if it has not ended, Aborted (ETAG_MISMATCH) if `etag` is neither empty
  // nor the job's.
  absl::Status Delete(const std::string& name, const std::string& etag);

  base::JobDir DirOf(const service::ResourceName& name) const;
  JobFeed* feed() { return &feed_; }
  // Held from the check that a new job's models are there until the job is,
  // and from the check that no job needs a model until the model is gone.
  absl::Mutex* models_mutex() const { return &models_mutex_; }

 private:
  JobStore(db::Database* db, base::Clock* clock, const base::DataDir& data_dir)
      : db_(db), clock_(clock), data_dir_(data_dir) {}

  absl::StatusOr<JobRecord> Load(db::Connection& connection,
                                 const std::string& name) const;
  absl::StatusOr<int64_t> SeqOf(db::Connection& connection,
                                const std::string& name) const;
  absl::Status Save(db::Connection& connection, JobRecord* record,
                    const std::vector<EventText>& events);
  // A job in the queue stands where it goes on from: at its newest checkpoint,
  // at the one it was cloned from, or at nothing.
  absl::Status GoBack(db::Connection& connection, JobRecord* record) const;
  // Its progress as it was at `step`, which had a checkpoint.
  absl::Status SetReached(db::Connection& connection, int64_t step,
                          JobRecord* record) const;
  absl::Status Insert(db::Connection& connection, const NewJob& new_job,
                      JobRecord* record);
  // Makes room for a new job's folder.
  absl::Status ClearFolder(const base::JobDir& dir,
                           const service::ResourceName& name) const;
  absl::Status MakeFolder(const NewJob& new_job, const base::JobDir& dir,
                          const std::string& json) const;
  // Up to `limit` jobs below seq `before`, newest first.
  absl::StatusOr<std::vector<JobRecord>> ReadBelow(
      const std::string& project, const std::vector<State>& states,
      int64_t before, int limit) const;
  // What the feed knows of a job: for what is stored, and for readers.
  void OverlayProgress(v1::Job* job) const;
  void OverlayLive(v1::Job* job) const;
  absl::Status SweepDeleted();

  db::Database* const db_;
  base::Clock* const clock_;
  const base::DataDir data_dir_;
  JobFeed feed_;
  // Held while a job's folder appears or disappears together with its row.
  absl::Mutex folders_mutex_;
  mutable absl::Mutex models_mutex_;
};

}  // namespace retort::jobs

#endif  // RETORT_SERVER_JOBS_JOB_STORE_H_
