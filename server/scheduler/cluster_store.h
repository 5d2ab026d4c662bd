#ifndef RETORT_SERVER_SCHEDULER_CLUSTER_STORE_H_
#define RETORT_SERVER_SCHEDULER_CLUSTER_STORE_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/db/database.h"
#include "server/scheduler/cluster_state.h"

namespace retort::scheduler {

// A project's part of the machines, as it is stored. A limit of 0 is none.
struct ProjectRecord {
  std::string name;
  double weight = 1;
  int max_gpus = 0;
  int max_jobs = 0;
  double max_gpu_hours = 0;
  int64_t revision = 0;  // 0: never changed by anybody
  UsageRecord usage;
};

// Where the gang of a job runs, and if it has been asked to make room.
struct GangRecord {
  std::string job;
  JobClass job_class = JobClass::kNormal;
  NamedPlacement nodes;
  absl::Time start;
  std::string room_for;  // empty: it has not
  absl::Time stop_by = absl::UnixEpoch();
  bool placed = true;  // LiveGang::placed
};

struct ClaimRecord {
  std::string job;
  JobClass job_class = JobClass::kNormal;
  NamedPlacement nodes;
};

// What the scheduler must still know after a restart, and nobody else does: in
// SQLite. Everything is committed when a method returns OK. Thread-safe.
class ClusterStore {
 public:
  // Creates or upgrades the tables. `db` outlives the store.
  static absl::StatusOr<std::unique_ptr<ClusterStore>> Create(db::Database* db);

  // Projects that have run a job, or have had their quota changed.
  absl::StatusOr<std::vector<ProjectRecord>> ListProjects() const;
  // The defaults, for one that is not known.
  absl::StatusOr<ProjectRecord> GetProject(const std::string& name) const;
  // Reads, lets `change` alter weight and limits, and writes. Aborted
  // (ETAG_MISMATCH) if `etag` is neither empty nor that of the record; an error
  // of `change` is returned and nothing is written.
  absl::StatusOr<ProjectRecord> UpdateProject(
      const std::string& name, const std::string& etag,
      absl::FunctionRef<absl::Status(ProjectRecord*)> change);
  static std::string EtagOf(const ProjectRecord& record);

  // Drained nodes with the reasons.
  absl::StatusOr<std::map<std::string, std::string>> ListDrained() const;
  absl::Status Drain(const std::string& node, const std::string& reason);
  absl::Status Undrain(const std::string& node);

  absl::StatusOr<std::vector<GangRecord>> ListGangs() const;
  // Oldest first.
  absl::StatusOr<std::vector<ClaimRecord>> ListClaims() const;

  // What changes together.
  struct Change {
    std::vector<GangRecord> gangs;
    std::vector<std::string> gone_gangs;
    std::vector<ClaimRecord> claims;
    std::vector<std::string> gone_claims;
    std::map<std::string, UsageRecord> usage;  // by project

    bool empty() const {
      return gangs.empty() && gone_gangs.empty() && claims.empty() &&
             gone_claims.empty() && usage.empty();
    }
  };
  absl::Status Write(const Change& change);

 private:
  explicit ClusterStore(db::Database* db) : db_(db) {}

  db::Database* const db_;
};

}  // namespace retort::scheduler

#endif  // RETORT_SERVER_SCHEDULER_CLUSTER_STORE_H_
