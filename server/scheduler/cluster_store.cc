#include "server/scheduler/cluster_store.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "server/base/error.h"

namespace retort::scheduler {
namespace {

std::vector<std::string> Migrations() {
  return {R"sql(
    CREATE TABLE project_shares(
      name TEXT PRIMARY KEY,
      weight REAL NOT NULL DEFAULT 1,
      max_gpus INTEGER NOT NULL DEFAULT 0,
      max_jobs INTEGER NOT NULL DEFAULT 0,
      max_gpu_hours REAL NOT NULL DEFAULT 0,
      revision INTEGER NOT NULL DEFAULT 0,
      fair_usage REAL NOT NULL DEFAULT 0,
      gpu_hours REAL NOT NULL DEFAULT 0,
      used_at INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;
    CREATE TABLE drained_nodes(
      name TEXT PRIMARY KEY,
      reason TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE gangs(
      job TEXT PRIMARY KEY,
      class INTEGER NOT NULL,
      nodes TEXT NOT NULL,
      start INTEGER NOT NULL,
      room_for TEXT NOT NULL,
      stop_by INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE claims(
      number INTEGER PRIMARY KEY AUTOINCREMENT,
      job TEXT NOT NULL UNIQUE,
      class INTEGER NOT NULL,
      nodes TEXT NOT NULL);
  )sql",
          R"sql(
    ALTER TABLE gangs ADD COLUMN placed INTEGER NOT NULL DEFAULT 1;
  )sql"};
}

constexpr char kProjectColumns[] =
    "name, weight, max_gpus, max_jobs, max_gpu_hours, revision, fair_usage, "
    "gpu_hours, used_at";

ProjectRecord ReadProject(const db::Row& row) {
  ProjectRecord record;
  record.name = row.Text(0);
  record.weight = row.Double(1);
  record.max_gpus = static_cast<int>(row.Int(2));
  record.max_jobs = static_cast<int>(row.Int(3));
  record.max_gpu_hours = row.Double(4);
  record.revision = row.Int(5);
  record.usage = {row.Double(6), row.Double(7), row.Time(8)};
  return record;
}

// [["n1", 2], ["n2", 2]]
std::string ToText(const NamedPlacement& nodes) {
  return nlohmann::json(nodes).dump();
}

absl::StatusOr<NamedPlacement> ParseNodes(const std::string& text) {
  const auto json = nlohmann::json::parse(text, nullptr, false);
  NamedPlacement nodes;
  for (const auto& entry : json) {
    if (!entry.is_array() || entry.size() != 2 || !entry[0].is_string() ||
        !entry[1].is_number_integer()) {
      return absl::DataLossError(
          absl::StrCat("database: the placement ", text,
                       " is damaged; restore the database from a backup"));
    }
    nodes.emplace_back(entry[0].get<std::string>(), entry[1].get<int>());
  }
  return nodes;
}

absl::StatusOr<ProjectRecord> LoadProject(db::Connection& connection,
                                          const std::string& name) {
  ProjectRecord record;
  record.name = name;
  RETORT_RETURN_IF_ERROR(
      connection.Query(absl::StrCat("SELECT ", kProjectColumns,
                                    " FROM project_shares WHERE name = ?"),
                       {name}, [&](const db::Row& row) {
                         record = ReadProject(row);
                         return absl::OkStatus();
                       }));
  return record;
}

absl::Status WriteGang(db::Connection& connection, const GangRecord& gang) {
  return connection.Execute(
      "INSERT OR REPLACE INTO gangs(job, class, nodes, start, room_for, "
      "stop_by, "
      "placed) VALUES(?, ?, ?, ?, ?, ?, ?)",
      {gang.job, static_cast<int>(gang.job_class), ToText(gang.nodes),
       gang.start, gang.room_for, gang.stop_by, gang.placed});
}

absl::Status WriteUsage(db::Connection& connection, const std::string& project,
                        const UsageRecord& usage) {
  return connection.Execute(
      "INSERT INTO project_shares(name, fair_usage, gpu_hours, used_at) "
      "VALUES(?, ?, ?, ?) ON CONFLICT(name) DO UPDATE SET "
      "fair_usage = excluded.fair_usage, gpu_hours = excluded.gpu_hours, "
      "used_at = excluded.used_at",
      {project, usage.fair, usage.gpu_hours, usage.at});
}

}  // namespace

absl::StatusOr<std::unique_ptr<ClusterStore>> ClusterStore::Create(
    db::Database* db) {
  RETORT_RETURN_IF_ERROR(db->Migrate("cluster", Migrations()));
  return std::unique_ptr<ClusterStore>(new ClusterStore(db));
}

absl::StatusOr<std::vector<ProjectRecord>> ClusterStore::ListProjects() const {
  std::vector<ProjectRecord> projects;
  RETORT_RETURN_IF_ERROR(db_->Read([&](db::Connection& connection) {
    return connection.Query(absl::StrCat("SELECT ", kProjectColumns,
                                         " FROM project_shares ORDER BY name"),
                            {}, [&](const db::Row& row) {
                              projects.push_back(ReadProject(row));
                              return absl::OkStatus();
                            });
  }));
  return projects;
}

absl::StatusOr<ProjectRecord> ClusterStore::GetProject(
    const std::string& name) const {
  absl::StatusOr<ProjectRecord> record = absl::InternalError("not read");
  RETORT_RETURN_IF_ERROR(db_->Read([&](db::Connection& connection) {
    record = LoadProject(connection, name);
    return absl::OkStatus();
  }));
  return record;
}

std::string ClusterStore::EtagOf(const ProjectRecord& record) {
  return absl::StrCat("r", record.revision);
}

absl::StatusOr<ProjectRecord> ClusterStore::UpdateProject(
    const std::string& name, const std::string& etag,
    absl::FunctionRef<absl::Status(ProjectRecord*)> change) {
  ProjectRecord record;
  RETORT_RETURN_IF_ERROR(
      db_->Write([&](db::Connection& connection) -> absl::Status {
        RETORT_ASSIGN_OR_RETURN(record, LoadProject(connection, name));
        if (!etag.empty() && etag != EtagOf(record)) {
          return service::Error(
              absl::StatusCode::kAborted, v1::ERROR_REASON_ETAG_MISMATCH,
              absl::StrCat("the quota of projects/", name,
                           " has changed since it was read; read it again "
                           "and decide anew"));
        }
        RETORT_RETURN_IF_ERROR(change(&record));
        ++record.revision;
        return connection.Execute(
            "INSERT INTO project_shares(name, weight, max_gpus, max_jobs, "
            "max_gpu_hours, revision) VALUES(?, ?, ?, ?, ?, ?) "
            "ON CONFLICT(name) DO UPDATE SET weight = excluded.weight, "
            "max_gpus = excluded.max_gpus, max_jobs = excluded.max_jobs, "
            "max_gpu_hours = excluded.max_gpu_hours, "
            "revision = excluded.revision",
            {name, record.weight, record.max_gpus, record.max_jobs,
             record.max_gpu_hours, record.revision});
      }));
  return record;
}

absl::StatusOr<std::map<std::string, std::string>> ClusterStore::ListDrained()
    const {
  std::map<std::string, std::string> drained;
  RETORT_RETURN_IF_ERROR(db_->Read([&](db::Connection& connection) {
    return connection.Query("SELECT name, reason FROM drained_nodes", {},
                            [&](const db::Row& row) {
                              drained[row.Text(0)] = row.Text(1);
                              return absl::OkStatus();
                            });
  }));
  return drained;
}

absl::Status ClusterStore::Drain(const std::string& node,
                                 const std::string& reason) {
  return db_->Write([&](db::Connection& connection) {
    return connection.Execute(
        "INSERT OR REPLACE INTO drained_nodes VALUES(?, ?)", {node, reason});
  });
}

absl::Status ClusterStore::Undrain(const std::string& node) {
  return db_->Write([&](db::Connection& connection) {
    return connection.Execute("DELETE FROM drained_nodes WHERE name = ?",
                              {node});
  });
}

absl::StatusOr<std::vector<GangRecord>> ClusterStore::ListGangs() const {
  std::vector<GangRecord> gangs;
  RETORT_RETURN_IF_ERROR(db_->Read([&](db::Connection& connection) {
    return connection.Query(
        "SELECT job, class, nodes, start, room_for, stop_by, placed FROM gangs",
        {}, [&](const db::Row& row) -> absl::Status {
          RETORT_ASSIGN_OR_RETURN(NamedPlacement nodes,
                                  ParseNodes(row.Text(2)));
          gangs.push_back({row.Text(0), static_cast<JobClass>(row.Int(1)),
                           std::move(nodes), row.Time(3), row.Text(4),
                           row.Time(5), row.Int(6) != 0});
          return absl::OkStatus();
        });
  }));
  return gangs;
}

absl::StatusOr<std::vector<ClaimRecord>> ClusterStore::ListClaims() const {
  std::vector<ClaimRecord> claims;
  RETORT_RETURN_IF_ERROR(db_->Read([&](db::Connection& connection) {
    return connection.Query(
        "SELECT job, class, nodes FROM claims ORDER BY number", {},
        [&](const db::Row& row) -> absl::Status {
          RETORT_ASSIGN_OR_RETURN(NamedPlacement nodes,
                                  ParseNodes(row.Text(2)));
          claims.push_back({row.Text(0), static_cast<JobClass>(row.Int(1)),
                            std::move(nodes)});
          return absl::OkStatus();
        });
  }));
  return claims;
}

absl::Status ClusterStore::Write(const Change& change) {
  if (change.empty()) return absl::OkStatus();
  return db_->Write([&](db::Connection& connection) -> absl::Status {
    for (const GangRecord& gang : change.gangs) {
      RETORT_RETURN_IF_ERROR(WriteGang(connection, gang));
    }
    for (const std::string& job : change.gone_gangs) {
      RETORT_RETURN_IF_ERROR(
          connection.Execute("DELETE FROM gangs WHERE job = ?", {job}));
    }
    for (const ClaimRecord& claim : change.claims) {
      RETORT_RETURN_IF_ERROR(connection.Execute(
          "INSERT OR REPLACE INTO claims(job, class, nodes) VALUES(?, ?, ?)",
          {claim.job, static_cast<int>(claim.job_class), ToText(claim.nodes)}));
    }
    for (const std::string& job : change.gone_claims) {
      RETORT_RETURN_IF_ERROR(
          connection.Execute("DELETE FROM claims WHERE job = ?", {job}));
    }
    for (const auto& [project, usage] : change.usage) {
      RETORT_RETURN_IF_ERROR(WriteUsage(connection, project, usage));
    }
    return absl::OkStatus();
  });
}

}  // namespace retort::scheduler
