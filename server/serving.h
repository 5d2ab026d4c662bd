#ifndef RETORT_SERVER_SERVING_H_
#define RETORT_SERVER_SERVING_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/base/clock.h"
#include "core/base/run_dir.h"
#include "server/db/database.h"
#include "server/executor/executor.h"
#include "server/executor/worker_links.h"
#include "server/jobs/job_store.h"
#include "server/jobs/model_lookup.h"
#include "server/metrics/service_metrics.h"

namespace grpc {
class Service;
}

namespace retort::scheduler {
class Scheduler;
}

namespace retort {

// What server.cc lends to the half of the service that is about models and
// samples. All outlive Serving.
struct ServingDeps {
  base::DataDir data_dir{""};
  std::string worker_binary;
  int cpu_slots = 0;
  base::Clock* clock = nullptr;
  db::Database* db = nullptr;
  executor::Executor* executor = nullptr;
  executor::WorkerLinks* links = nullptr;
  metrics::ServiceMetrics* metrics = nullptr;
  jobs::JobStore* jobs = nullptr;  // for "model in use by a live job"
};

// Registry, deployments with their replicas, and the gRPC services over them:
// model, deployment, sampling and cluster service. The other half (jobs) is
// wired in server.cc.
class Serving {
 public:
  // Opens the registry and the deployments' records and registers the
  // listener of "deployments" with the links. Starts no process yet.
  static absl::StatusOr<std::unique_ptr<Serving>> Create(
      const ServingDeps& deps);
  virtual ~Serving() = default;

  // Models as jobs see them.
  virtual jobs::ModelLookup* models() = 0;

  // Services to register with the gRPC server; valid as long as this.
  // `scheduler`, of which the cluster's service tells, outlives their use.
  virtual std::vector<grpc::Service*> services(
      scheduler::Scheduler* scheduler) = 0;

  // Before the API opens: makes stored deployments known.
  virtual absl::Status Load() = 0;
  // The workers' socket is open: start the replicas.
  virtual absl::Status Start() = 0;
  // No more requests come: end the replicas. Called before the gRPC server is
  // shut down.
  virtual void Stop() = 0;
};

}  // namespace retort

#endif  // RETORT_SERVER_SERVING_H_
