#include "server/serving.h"

#include <unistd.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/base/version.h"
#include "server/base/host_name.h"
#include "server/base/resource_name.h"
#include "server/batching/deployment_manager.h"
#include "server/registry/deployment_store.h"
#include "server/registry/model_store.h"
#include "server/rpc/cluster_service.h"
#include "server/rpc/deployment_service.h"
#include "server/rpc/model_service.h"
#include "server/rpc/sampling_service.h"
#include "server/weights_process.h"

namespace retort {
namespace {

// Requests in flight may take so long to end when the server stops.
constexpr absl::Duration kStopGrace = absl::Seconds(5);

batching::DeploymentManagerOptions ManagerOptions(const ServingDeps& deps) {
  batching::DeploymentManagerOptions options;
  options.cpu_slots = deps.cpu_slots;
  return options;
}

// The registry as jobs see it.
class RegistryLookup : public jobs::ModelLookup {
 public:
  explicit RegistryLookup(registry::ModelStore* models) : models_(models) {}

  absl::StatusOr<v1::Model> GetModel(const std::string& name) override {
    return models_->Get(name);
  }
  absl::StatusOr<std::string> ModelPath(const std::string& name) override {
    return models_->Dir(name);
  }
  absl::StatusOr<std::string> Adopt(const std::string& name,
                                    const std::string& display_name,
                                    const std::string& dir) override {
    RETORT_ASSIGN_OR_RETURN(const v1::Model model,
                            models_->Adopt(name, display_name, dir));
    return model.name();
  }

 private:
  registry::ModelStore* const models_;
};

class ServingImpl : public Serving {
 public:
  ServingImpl(const ServingDeps& deps,
              std::unique_ptr<registry::WeightsTool> weights,
              std::unique_ptr<registry::ModelStore> models,
              std::unique_ptr<registry::DeploymentStore> deployments)
      : deps_(deps),
        weights_(std::move(weights)),
        models_(std::move(models)),
        deployments_(std::move(deployments)),
        manager_({deps.data_dir, deps.clock, deployments_.get(), models_.get(),
                  deps.executor, deps.metrics},
                 ManagerOptions(deps)),
        lookup_(models_.get()) {
    deps_.links->SetListener(service::kDeployments, &manager_);
  }

  jobs::ModelLookup* models() override { return &lookup_; }

  std::vector<grpc::Service*> services(
      scheduler::Scheduler* scheduler) override {
    if (model_service_ == nullptr) MakeServices(scheduler);
    return {model_service_.get(), deployment_service_.get(),
            sampling_service_.get(), cluster_service_.get()};
  }

  absl::Status Load() override { return manager_.Load(); }
  absl::Status Start() override { return manager_.Start(); }
  void Stop() override { manager_.Stop(kStopGrace); }

 private:
  void MakeServices(scheduler::Scheduler* scheduler) {
    model_service_ = std::make_unique<rpc::ModelService>(
        models_.get(), deps_.jobs, deps_.metrics);
    deployment_service_ =
        std::make_unique<rpc::DeploymentService>(&manager_, deps_.metrics);
    sampling_service_ =
        std::make_unique<rpc::SamplingService>(&manager_, deps_.metrics);
    rpc::ClusterServiceDeps cluster;
    cluster.version = kVersion;
    cluster.executor = deps_.executor->name();
    cluster.node = service::HostName();
    cluster.clock = deps_.clock;
    cluster.scheduler = scheduler;
    cluster.deployments = &manager_;
    cluster.metrics = deps_.metrics;
    cluster_service_ = std::make_unique<rpc::ClusterService>(cluster);
  }

  const ServingDeps deps_;
  const std::unique_ptr<registry::WeightsTool> weights_;
  const std::unique_ptr<registry::ModelStore> models_;
  const std::unique_ptr<registry::DeploymentStore> deployments_;
  batching::DeploymentManager manager_;
  RegistryLookup lookup_;
  std::unique_ptr<rpc::ModelService> model_service_;
  std::unique_ptr<rpc::DeploymentService> deployment_service_;
  std::unique_ptr<rpc::SamplingService> sampling_service_;
  std::unique_ptr<rpc::ClusterService> cluster_service_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Serving>> Serving::Create(
    const ServingDeps& deps) {
  auto weights = std::make_unique<WeightsProcess>(deps.worker_binary);
  RETORT_ASSIGN_OR_RETURN(auto models, registry::ModelStore::Open(
                                           deps.db, deps.data_dir, deps.clock,
                                           deps.metrics, weights.get()));
  RETORT_ASSIGN_OR_RETURN(auto deployments,
                          registry::DeploymentStore::Open(deps.db, deps.clock));
  return std::make_unique<ServingImpl>(
      deps, std::move(weights), std::move(models), std::move(deployments));
}

}  // namespace retort
