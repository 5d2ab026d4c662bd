// The part of JobStore that only adds: metric series, checkpoints, events.
#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/file.h"
#include "core/base/status_macros.h"
#include "server/base/checkpoint_files.h"
#include "server/base/error.h"
#include "server/jobs/job_store.h"
#include "server/jobs/timestamps.h"

namespace retort::jobs {
namespace {

// Picks `count` points, evenly by position, ends included.
std::vector<v1::MetricPoint> Thin(const std::vector<v1::MetricPoint>& points,
                                  size_t count) {
  if (points.size() <= count) return points;
  if (count == 1) return {points.back()};
  std::vector<v1::MetricPoint> kept;
  for (size_t i = 0; i < count; ++i) {
    kept.push_back(points[i * (points.size() - 1) / (count - 1)]);
  }
  return kept;
}

absl::Status NoCheckpoint(const std::string& name, int64_t step,
                          const std::vector<v1::Checkpoint>& checkpoints) {
  const std::string known = absl::StrJoin(
      checkpoints, ", ", [](std::string* out, const v1::Checkpoint& c) {
        absl::StrAppend(out, c.step());
      });
  return service::Error(
      absl::StatusCode::kNotFound, v1::ERROR_REASON_RESOURCE_NOT_FOUND,
      absl::StrCat(name, " has no checkpoint of step ", step, "; ",
                   known.empty()
                       ? "it has none at all"
                       : absl::StrCat("there are those of steps ", known)),
      {{"name", name}});
}

// Under another name first, so that no half of one is ever found.
absl::Status RemoveCheckpoint(const std::string& dir) {
  const std::string doomed = dir + ".tmp";
  RETORT_RETURN_IF_ERROR(base::RemoveTree(doomed));
  RETORT_RETURN_IF_ERROR(base::Rename(dir, doomed));
  return base::RemoveTree(doomed);
}

}  // namespace

absl::Status JobStore::RecordProgress(
    const std::string& name, const v1::JobProgress& progress,
    const std::map<std::string, double>& metrics, absl::Time time) {
  absl::Status kept;
  if (!metrics.empty()) {
    kept = db_->Write([&](db::Connection& connection) -> absl::Status {
      RETORT_ASSIGN_OR_RETURN(int64_t seq, SeqOf(connection, name));
      for (const auto& [series, value] : metrics) {
        // A resumed run writes some steps again, with the same values.
        RETORT_RETURN_IF_ERROR(connection.Execute(
            "INSERT OR REPLACE INTO job_metrics VALUES(?, ?, ?, ?, ?)",
            {seq, series, progress.step(), value, time}));
      }
      return absl::OkStatus();
    });
  }
  // Those who watch see the job move on a full disk too.
  if (!absl::IsNotFound(kept)) feed_.SetProgress(name, progress);
  return kept;
}

absl::Status JobStore::RecordCheckpoint(const std::string& name,
                                        const v1::Checkpoint& checkpoint) {
  const absl::Time time = checkpoint.has_create_time()
                              ? FromTimestamp(checkpoint.create_time())
                              : clock_->Now();
  RETORT_RETURN_IF_ERROR(
      db_->Write([&](db::Connection& connection) -> absl::Status {
        RETORT_ASSIGN_OR_RETURN(JobRecord record, Load(connection, name));
        bool known = false;
        RETORT_RETURN_IF_ERROR(connection.Query(
            "SELECT 1 FROM job_checkpoints "
            "WHERE job_seq = ? AND step = ? AND sha256 = ?",
            {record.seq, checkpoint.step(), checkpoint.sha256()},
            [&](const db::Row&) {
              known = true;
              return absl::OkStatus();
            }));
        if (known) return absl::OkStatus();
        OverlayProgress(&record.job);
        record.failures = 0;
        RETORT_RETURN_IF_ERROR(connection.Execute(
            "INSERT OR REPLACE INTO job_checkpoints VALUES(?, ?, ?, ?, ?)",
            {record.seq, checkpoint.step(), checkpoint.bytes(), time,
             checkpoint.sha256()}));
        return Save(connection, &record,
                    {{v1::JobEvent::KIND_CHECKPOINT,
                      absl::StrCat("checkpoint at step ", checkpoint.step(),
                                   ", ", checkpoint.bytes(), " bytes")}});
      }));
  feed_.Notify(name);
  return absl::OkStatus();
}

absl::StatusOr<std::vector<v1::MetricSeries>> JobStore::ListMetrics(
    const std::string& name, const std::vector<std::string>& series,
    int max_points) const {
  std::map<std::string, std::vector<v1::MetricPoint>> points;
  RETORT_RETURN_IF_ERROR(
      db_->Read([&](db::Connection& connection) -> absl::Status {
        RETORT_ASSIGN_OR_RETURN(int64_t seq, SeqOf(connection, name));
        return connection.Query(
            "SELECT series, step, value, time FROM job_metrics "
            "WHERE job_seq = ? ORDER BY series, step",
            {seq}, [&](const db::Row& row) {
              const std::string key = row.Text(0);
              if (!series.empty() && std::find(series.begin(), series.end(),
                                               key) == series.end()) {
                return absl::OkStatus();
              }
              v1::MetricPoint point;
              point.set_step(row.Int(1));
              point.set_value(row.Double(2));
              *point.mutable_time() = ToTimestamp(row.Time(3));
              points[key].push_back(std::move(point));
              return absl::OkStatus();
            });
      }));
  std::vector<v1::MetricSeries> result;
  for (const auto& [key, all] : points) {
    v1::MetricSeries one;
    one.set_name(key);
    for (const v1::MetricPoint& point :
         Thin(all, static_cast<size_t>(max_points))) {
      *one.add_points() = point;
    }
    result.push_back(std::move(one));
  }
  return result;
}

absl::StatusOr<std::vector<v1::Checkpoint>> JobStore::ListCheckpoints(
    const std::string& name) const {
  RETORT_ASSIGN_OR_RETURN(service::ResourceName parsed,
                          service::ParseName(service::kJobs, name));
  const base::JobDir dir = DirOf(parsed);
  std::vector<v1::Checkpoint> checkpoints;
  RETORT_RETURN_IF_ERROR(
      db_->Read([&](db::Connection& connection) -> absl::Status {
        RETORT_ASSIGN_OR_RETURN(int64_t seq, SeqOf(connection, name));
        return connection.Query(
            "SELECT step, bytes, time, sha256 FROM job_checkpoints "
            "WHERE job_seq = ? ORDER BY step",
            {seq}, [&](const db::Row& row) {
              v1::Checkpoint checkpoint;
              checkpoint.set_step(row.Int(0));
              checkpoint.set_bytes(row.Int(1));
              *checkpoint.mutable_create_time() = ToTimestamp(row.Time(2));
              checkpoint.set_sha256(row.Text(3));
              checkpoints.push_back(std::move(checkpoint));
              return absl::OkStatus();
            });
      }));
  // The trainer keeps only the newest few.
  std::erase_if(checkpoints, [&](const v1::Checkpoint& checkpoint) {
    return !base::IsDirectory(dir.checkpoint_dir(checkpoint.step()));
  });
  return checkpoints;
}

absl::Status JobStore::LookForCheckpoints(const std::string& name) {
  RETORT_ASSIGN_OR_RETURN(const service::ResourceName parsed,
                          service::ParseName(service::kJobs, name));
  const base::JobDir dir = DirOf(parsed);
  RETORT_ASSIGN_OR_RETURN(const std::vector<v1::Checkpoint> known,
                          ListCheckpoints(name));
  RETORT_ASSIGN_OR_RETURN(const std::vector<int64_t> steps,
                          dir.ListCheckpoints());
  for (const int64_t step : steps) {
    const bool recorded =
        std::any_of(known.begin(), known.end(),
                    [&](const v1::Checkpoint& c) { return c.step() == step; });
    if (recorded) continue;
    const auto found = service::ReadCheckpoint(step, dir.checkpoint_dir(step));
    // One that cannot be read is for the worker to pass over, aloud.
    if (!found.ok()) continue;
    RETORT_RETURN_IF_ERROR(RecordCheckpoint(name, *found));
  }
  return absl::OkStatus();
}

absl::StatusOr<v1::Checkpoint> JobStore::FindCheckpoint(const std::string& name,
                                                        int64_t step) const {
  RETORT_ASSIGN_OR_RETURN(const std::vector<v1::Checkpoint> checkpoints,
                          ListCheckpoints(name));
  for (const v1::Checkpoint& checkpoint : checkpoints) {
    if (checkpoint.step() == step) return checkpoint;
  }
  return NoCheckpoint(name, step, checkpoints);
}

absl::Status JobStore::DropAfter(const std::string& name, int64_t step) {
  RETORT_ASSIGN_OR_RETURN(const service::ResourceName parsed,
                          service::ParseName(service::kJobs, name));
  RETORT_ASSIGN_OR_RETURN(const JobRecord before, Get(name));
  const bool at_start =
      before.job.has_origin() && before.job.origin().step() == step;
  if (!at_start) {
    RETORT_RETURN_IF_ERROR(FindCheckpoint(name, step).status());
  }
  const base::JobDir dir = DirOf(parsed);
  RETORT_ASSIGN_OR_RETURN(std::vector<int64_t> steps, dir.ListCheckpoints());
  std::erase_if(steps, [&](int64_t s) { return s <= step; });
  for (auto s = steps.rbegin(); s != steps.rend(); ++s) {
    RETORT_RETURN_IF_ERROR(RemoveCheckpoint(dir.checkpoint_dir(*s)));
  }
  RETORT_RETURN_IF_ERROR(
      db_->Write([&](db::Connection& connection) -> absl::Status {
        RETORT_ASSIGN_OR_RETURN(JobRecord record, Load(connection, name));
        for (const char* table : {"job_checkpoints", "job_metrics"}) {
          RETORT_RETURN_IF_ERROR(connection.Execute(
              absl::StrCat("DELETE FROM ", table,
                           " WHERE job_seq = ? AND step > ?"),
              {record.seq, step}));
        }
        const int64_t reached = record.job.progress().step();
        if (reached <= step) return absl::OkStatus();
        RETORT_RETURN_IF_ERROR(SetReached(connection, step, &record));
        return Save(
            connection, &record,
            {{v1::JobEvent::KIND_WARNING,
              absl::StrCat("went back from step ", reached,
                           " to the checkpoint of step ", step,
                           " by request; what came after it is gone")}});
      }));
  feed_.Notify(name);
  return absl::OkStatus();
}

absl::Status JobStore::GoBack(db::Connection& connection,
                              JobRecord* record) const {
  RETORT_ASSIGN_OR_RETURN(
      const service::ResourceName parsed,
      service::ParseName(service::kJobs, record->job.name()));
  const base::JobDir dir = DirOf(parsed);
  int64_t newest = record->job.origin().step();
  RETORT_RETURN_IF_ERROR(connection.Query(
      "SELECT step FROM job_checkpoints WHERE job_seq = ? AND step > ?",
      {record->seq, newest}, [&](const db::Row& row) {
        if (base::IsDirectory(dir.checkpoint_dir(row.Int(0)))) {
          newest = std::max(newest, row.Int(0));
        }
        return absl::OkStatus();
      }));
  return SetReached(connection, newest, record);
}

absl::Status JobStore::SetReached(db::Connection& connection, int64_t step,
                                  JobRecord* record) const {
  const int64_t before = record->job.progress().step();
  if (step == 0 || before == 0) record->job.clear_progress();
  if (step == before || !record->job.has_progress()) return absl::OkStatus();
  v1::JobProgress* progress = record->job.mutable_progress();
  progress->set_step(step);
  progress->set_images(std::llround(static_cast<double>(progress->images()) *
                                    static_cast<double>(step) /
                                    static_cast<double>(before)));
  progress->clear_loss();
  return connection.Query(
      "SELECT value FROM job_metrics WHERE job_seq = ? AND series = 'loss' AND "
      "step <= ? ORDER BY step DESC LIMIT 1",
      {record->seq, step}, [&](const db::Row& row) {
        progress->set_loss(row.Double(0));
        return absl::OkStatus();
      });
}

absl::StatusOr<std::vector<v1::WatchJobResponse>> JobStore::ListEvents(
    const std::string& name, int64_t from, int limit) const {
  std::vector<v1::WatchJobResponse> events;
  RETORT_RETURN_IF_ERROR(
      db_->Read([&](db::Connection& connection) -> absl::Status {
        RETORT_ASSIGN_OR_RETURN(int64_t seq, SeqOf(connection, name));
        return connection.Query(
            "SELECT number, kind, time, message, job FROM job_events "
            "WHERE job_seq = ? AND number >= ? ORDER BY number LIMIT ?",
            {seq, from, limit}, [&](const db::Row& row) -> absl::Status {
              v1::WatchJobResponse response;
              v1::JobEvent* event = response.mutable_event();
              event->set_number(row.Int(0));
              event->set_kind(static_cast<v1::JobEvent::Kind>(row.Int(1)));
              *event->mutable_time() = ToTimestamp(row.Time(2));
              event->set_message(row.Text(3));
              if (!response.mutable_job()->ParseFromString(row.Bytes(4))) {
                return absl::DataLossError(absl::StrCat(
                    "database: event ", row.Int(0), " of ", name,
                    " is damaged; restore the database from a backup"));
              }
              events.push_back(std::move(response));
              return absl::OkStatus();
            });
      }));
  return events;
}

}  // namespace retort::jobs
