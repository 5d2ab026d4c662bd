#include "server/rpc/cluster_service.h"

#include <algorithm>
#include <vector>

#include "core/base/status_macros.h"
#include "server/base/resource_name.h"
#include "server/rpc/call_guard.h"
#include "server/rpc/unary_reactor.h"

namespace retort::rpc {
namespace {

// True for a job that has a process.
bool Occupies(const v1::Job& job) {
  switch (job.state()) {
    case v1::Job::STATE_STARTING:
    case v1::Job::STATE_RUNNING:
    case v1::Job::STATE_PAUSING:
    case v1::Job::STATE_CANCELLING:
      return true;
    default:
      return false;
  }
}

}  // namespace

grpc::ServerUnaryReactor* ClusterService::GetCluster(
    grpc::CallbackServerContext* context, const v1::GetClusterRequest*,
    v1::Cluster* response) {
  return Answer(context, "ClusterService/GetCluster", deps_.metrics,
                [&] { return DoGet(*CallerOf(*context), response); });
}

grpc::ServerUnaryReactor* ClusterService::GetQuota(
    grpc::CallbackServerContext* context, const v1::GetQuotaRequest*,
    v1::Quota*) {
  return AnswerNotImplemented(context, "ClusterService/GetQuota",
                              deps_.metrics);
}

grpc::ServerUnaryReactor* ClusterService::UpdateQuota(
    grpc::CallbackServerContext* context, const v1::UpdateQuotaRequest*,
    v1::Quota*) {
  return AnswerNotImplemented(context, "ClusterService/UpdateQuota",
                              deps_.metrics);
}

absl::Status ClusterService::DoGet(const auth::Caller& caller,
                                   v1::Cluster* response) const {
  const auto add_occupant = [&](v1::Node* to, const std::string& name) {
    const auto parsed = service::ParseAnyName(name);
    if (parsed.ok() && caller.MayRead(parsed->project)) to->add_occupants(name);
  };
  RETORT_ASSIGN_OR_RETURN(const std::vector<jobs::JobRecord> live,
                          deps_.jobs->ListLive());
  response->set_version(deps_.version);
  response->set_executor(deps_.executor);
  v1::Node* node = response->add_nodes();
  node->set_name(deps_.node);
  node->set_cpu_slots(deps_.cpu_slots);
  int64_t used = 0;
  for (const jobs::JobRecord& record : live) {
    const v1::Job& job = record.job;
    if (!Occupies(job)) {
      const bool queued = job.state() == v1::Job::STATE_QUEUED;
      response->set_queued_jobs(response->queued_jobs() + (queued ? 1 : 0));
      continue;
    }
    response->set_running_jobs(response->running_jobs() + 1);
    const v1::ResourceSpec& resources = job.spec().resources();
    used += int64_t{std::max(1, resources.world_size())} *
            std::max(1, resources.cpu_threads());
    add_occupant(node, job.name());
  }
  node->set_cpu_slots_used(
      static_cast<int32_t>(std::min<int64_t>(used, deps_.cpu_slots)));
  for (const std::string& name : deps_.deployments->Names()) {
    add_occupant(node, name);
  }
  response->set_ready_deployments(deps_.deployments->ReadyDeployments());
  return absl::OkStatus();
}

}  // namespace retort::rpc
