#ifndef RETORT_SERVER_REGISTRY_DEPLOYMENT_STORE_H_
#define RETORT_SERVER_REGISTRY_DEPLOYMENT_STORE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/base/clock.h"
#include "retort/v1/deployment_service.pb.h"
#include "server/base/pagination.h"
#include "server/db/database.h"

namespace retort::registry {

// What the deployments are to be, in retort.db. What they are just now (state,
// ready replicas) lives in server/batching; here `state` is STARTING, or
// DELETING from MarkDeleting on. Thread-safe.
class DeploymentStore {
 public:
  struct Listing {
    std::vector<v1::Deployment> deployments;
    int64_t last_seq = 0;
    bool more = false;
  };

  // Opens the store and removes deployments whose deletion an earlier server
  // did not bring to its end. `db` and `clock` outlive it.
  static absl::StatusOr<std::unique_ptr<DeploymentStore>> Open(
      db::Database* db, base::Clock* clock);

  // Stores `deployment`, whose name and models are set, and returns it with
  // create_time, etag and state. With a request_id ("": none) that has been
  // used for a request of the same hash, returns what that made.
  // ALREADY_EXISTS; NOT_FOUND if the model is not there (any more).
  absl::StatusOr<v1::Deployment> Create(const v1::Deployment& deployment,
                                        const std::string& request_id,
                                        const std::string& request_sha256);

  // NOT_FOUND (RESOURCE_NOT_FOUND).
  absl::StatusOr<v1::Deployment> Get(const std::string& name) const;

  // Newest first.
  absl::StatusOr<Listing> List(const std::string& project,
                               const service::Page& page) const;

  // All of all projects, oldest first.
  absl::StatusOr<std::vector<v1::Deployment>> All() const;

  // From now on the deployment is DELETING, also after a crash. ABORTED
  // (ETAG_MISMATCH) unless `etag` is empty or current; NOT_FOUND.
  absl::Status MarkDeleting(const std::string& name, const std::string& etag);

  // OK if it is gone already.
  absl::Status Remove(const std::string& name);

 private:
  DeploymentStore(db::Database* db, base::Clock* clock)
      : db_(db), clock_(clock) {}

  absl::StatusOr<v1::Deployment> FindRequest(
      const std::string& project, const std::string& request_id,
      const std::string& request_sha256) const;

  db::Database* const db_;
  base::Clock* const clock_;
};

}  // namespace retort::registry

#endif  // RETORT_SERVER_REGISTRY_DEPLOYMENT_STORE_H_
