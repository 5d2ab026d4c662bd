#ifndef RETORT_SERVER_REGISTRY_REGISTRY_SCHEMA_H_
#define RETORT_SERVER_REGISTRY_REGISTRY_SCHEMA_H_

#include "absl/status/status.h"
#include "server/db/database.h"

namespace retort::registry {

// States of a row of `models`. A row comes before the folder it names and goes
// after it, so that a crash between the two is seen, and mended, at the next
// start. Numbers are on disk and never change meaning.
enum class RowState {
  kArriving = 0,  // the folder is about to be renamed into place
  kPresent = 1,   // the only state that anyone hears of
  kLeaving = 2,   // the folder is being removed
};

// Brings the tables `models` and `deployments` of the registry up to date.
absl::Status MigrateRegistry(db::Database* db);

}  // namespace retort::registry

#endif  // RETORT_SERVER_REGISTRY_REGISTRY_SCHEMA_H_
