#include "server/registry/registry_schema.h"

#include <string>
#include <vector>

namespace retort::registry {

absl::Status MigrateRegistry(db::Database* db) {
  static const auto& migrations = *new std::vector<std::string>{
      // 1. `record` is the serialized message of the API; the columns beside
      // it are what queries need.
      R"sql(
        CREATE TABLE models(
          seq INTEGER PRIMARY KEY AUTOINCREMENT,
          name TEXT NOT NULL UNIQUE,
          project TEXT NOT NULL,
          kind INTEGER NOT NULL,
          state INTEGER NOT NULL,
          request_id TEXT,
          request_sha256 TEXT,
          record BLOB NOT NULL);
        CREATE UNIQUE INDEX models_by_request ON models(project, request_id);
        CREATE INDEX models_by_project ON models(project, seq);
        CREATE TABLE deployments(
          seq INTEGER PRIMARY KEY AUTOINCREMENT,
          name TEXT NOT NULL UNIQUE,
          project TEXT NOT NULL,
          model TEXT NOT NULL,
          deleting INTEGER NOT NULL,
          request_id TEXT,
          request_sha256 TEXT,
          record BLOB NOT NULL);
        CREATE UNIQUE INDEX deployments_by_request
          ON deployments(project, request_id);
        CREATE INDEX deployments_by_project ON deployments(project, seq);
        CREATE INDEX deployments_by_model ON deployments(model);
      )sql"};
  return db->Migrate("registry", migrations);
}

}  // namespace retort::registry
