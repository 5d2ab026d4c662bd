#ifndef RETORT_SERVER_BATCHING_DEPLOYMENT_MANAGER_H_
#define RETORT_SERVER_BATCHING_DEPLOYMENT_MANAGER_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "core/base/clock.h"
#include "core/base/run_dir.h"
#include "retort/v1/deployment_service.pb.h"
#include "retort/v1/sampling_service.pb.h"
#include "server/base/pagination.h"
#include "server/batching/deployment_runtime.h"
#include "server/executor/executor.h"
#include "server/executor/worker_links.h"
#include "server/metrics/service_metrics.h"
#include "server/registry/deployment_store.h"
#include "server/registry/model_store.h"

namespace retort::batching {

struct DeploymentManagerOptions {
  ReplicaOptions replica;
  QueueLimits queue;
  SampleLimits sample;
  int max_replicas = 64;
  // Threads of a replica whose deployment asks for no number.
  int cpu_slots = 1;
  // A replica that was asked to end is killed after this long.
  absl::Duration end_grace = absl::Seconds(10);
  // False: nothing happens by itself; call Tick (tests).
  bool timer_thread = true;
};

// What the manager works with; all of it outlives the manager.
struct DeploymentManagerDeps {
  base::DataDir data_dir{""};
  base::Clock* clock = nullptr;
  registry::DeploymentStore* deployments = nullptr;
  registry::ModelStore* models = nullptr;
  executor::Executor* executor = nullptr;
  metrics::ServiceMetrics* metrics = nullptr;
};

// The deployments at work: what is stored is kept running, and requests find
// their way to a replica and back.
//
//   DeploymentManager manager(deps, options);
//   links->SetListener("deployments", &manager);
//   RETORT_RETURN_IF_ERROR(manager.Load());
//   RETORT_RETURN_IF_ERROR(manager.Start());
//   int64_t id = manager.Submit(request, deadline, done);
//   ... manager.Cancel(id) ...
//   manager.Stop(absl::Seconds(5));
//
// Thread-safe. Callbacks, processes, messages and the database are reached
// with no lock held.
class DeploymentManager : public executor::WorkerListener {
 public:
  DeploymentManager(const DeploymentManagerDeps& deps,
                    const DeploymentManagerOptions& options);
  ~DeploymentManager() override;
  DeploymentManager(const DeploymentManager&) = delete;
  DeploymentManager& operator=(const DeploymentManager&) = delete;

  // Makes all stored deployments known: requests to them are answered with
  // UNAVAILABLE until replicas are ready.
  absl::Status Load();
  // Starts the replicas of what was loaded, and the timer.
  absl::Status Start();
  // Takes no more requests, waits up to `grace` for those in flight, answers
  // the rest with UNAVAILABLE and ends the replicas. May be called twice.
  void Stop(absl::Duration grace);

  // The deployment is stored when this returns; its replicas start. Errors:
  // INVALID_ARGUMENT, NOT_FOUND (the model), ALREADY_EXISTS, UNIMPLEMENTED
  // (several models).
  absl::StatusOr<v1::Deployment> Create(
      const v1::CreateDeploymentRequest& request);
  absl::StatusOr<v1::Deployment> Get(const std::string& name) const;
  absl::StatusOr<registry::DeploymentStore::Listing> List(
      const std::string& project, const service::Page& page) const;
  // The deployment takes no more requests, and is gone when the last one in
  // flight is answered; at once if there is none.
  absl::Status Delete(const std::string& name, const std::string& etag);

  // Validates and queues a request; `done` is called once, possibly before
  // this returns. Returns the id for Cancel, 0 if `done` was called already.
  int64_t Submit(const v1::SampleRequest& request, absl::Time deadline,
                 SampleDone done);
  // Answers the request with CANCELLED, unless it has been answered.
  void Cancel(const std::string& deployment, int64_t id);

  // Names of all deployments, and how many of them are READY.
  std::vector<std::string> Names() const;
  int ReadyDeployments() const;

  // Does what is due by now. The timer's thread calls it.
  void Tick();

  void OnAttached(const std::string& subject, int64_t epoch,
                  const internal::v1::Hello& hello,
                  std::shared_ptr<executor::WorkerSession> session) override;
  void OnMessage(const std::string& subject, int64_t epoch, int rank,
                 const internal::v1::AttachRequest& message) override;
  void OnDetached(const std::string& subject, int64_t epoch, int rank) override;
  void OnExited(const std::string& subject, int64_t epoch,
                const executor::ExitStatus& exit) override;

 private:
  // A replica that has been asked to end.
  struct Ending {
    std::string name;
    int64_t epoch;
    absl::Time kill_at;
  };

  absl::StatusOr<v1::Deployment> Resolve(
      const v1::CreateDeploymentRequest& request) const;
  absl::StatusOr<ServedModel> FindModel(const std::string& name) const;
  // Adds the deployment's runtime; false if it is there already.
  bool Add(const v1::Deployment& deployment);
  // Starts its replicas, if it has a model to serve.
  void StartReplicas(const std::string& name);
  DeploymentRuntime* Find(const std::string& name) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Runs `change` on a deployment's runtime under the lock and does what it
  // asks for afterwards. False if there is no such deployment.
  template <typename Change>
  bool Apply(const std::string& name, Change change)
      ABSL_LOCKS_EXCLUDED(mutex_);
  void Perform(const std::string& name, Actions actions)
      ABSL_LOCKS_EXCLUDED(mutex_);
  void StartReplica(const std::string& name, int64_t epoch);
  absl::Status TryStartReplica(const std::string& name, int64_t epoch);
  void AnswerOne(const std::string& name, Actions::Answer answer);
  void FinishDeletion(const std::string& name);
  std::string LogDir(const std::string& name) const;
  void PublishMetrics(const std::string& name) const;

  void TimerLoop() ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Time NextDue() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool Idle() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const DeploymentManagerDeps deps_;
  const DeploymentManagerOptions options_;

  mutable absl::Mutex mutex_;
  absl::CondVar wake_;
  std::map<std::string, std::unique_ptr<DeploymentRuntime>> runtimes_
      ABSL_GUARDED_BY(mutex_);
  std::map<std::string, int> threads_ ABSL_GUARDED_BY(mutex_);
  std::vector<Ending> endings_ ABSL_GUARDED_BY(mutex_);
  int64_t next_id_ ABSL_GUARDED_BY(mutex_) = 1;
  bool draining_ ABSL_GUARDED_BY(mutex_) = false;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;

  std::vector<std::string> loaded_;  // and not started yet
  std::thread timer_;
};

}  // namespace retort::batching

#endif  // RETORT_SERVER_BATCHING_DEPLOYMENT_MANAGER_H_
