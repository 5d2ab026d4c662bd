#include "server/auth/method_policy.h"

#include "absl/strings/match.h"

namespace retort::auth {

const std::vector<MethodPolicy>& MethodPolicies() {
  using enum Right;
  using enum Scope;
  static const auto* const policies = new std::vector<MethodPolicy>{
      {"/retort.v1.JobService/CreateJob", kUse, kProject, "parent"},
      {"/retort.v1.JobService/GetJob", kRead, kProject, "name"},
      {"/retort.v1.JobService/ListJobs", kRead, kProject, "parent"},
      {"/retort.v1.JobService/CancelJob", kUse, kProject, "name"},
      {"/retort.v1.JobService/DeleteJob", kUse, kProject, "name"},
      {"/retort.v1.JobService/PauseJob", kUse, kProject, "name"},
      {"/retort.v1.JobService/ResumeJob", kUse, kProject, "name"},
      {"/retort.v1.JobService/WatchJob", kRead, kProject, "name"},
      {"/retort.v1.JobService/StreamLogs", kRead, kProject, "name"},
      {"/retort.v1.JobService/ListMetrics", kRead, kProject, "name"},
      {"/retort.v1.JobService/ListCheckpoints", kRead, kProject, "name"},
      {"/retort.v1.JobService/CloneJob", kUse, kProject, "name"},
      {"/retort.v1.JobService/ExplainQueue", kRead, kProject, "name"},

      {"/retort.v1.ModelService/ImportModel", kUse, kProject, "header.parent"},
      {"/retort.v1.ModelService/GetModel", kRead, kProject, "name"},
      {"/retort.v1.ModelService/ListModels", kRead, kProject, "parent"},
      {"/retort.v1.ModelService/DeleteModel", kUse, kProject, "name"},
      {"/retort.v1.ModelService/ExportModel", kUse, kProject, "name"},

      {"/retort.v1.DeploymentService/CreateDeployment", kUse, kProject,
       "parent"},
      {"/retort.v1.DeploymentService/GetDeployment", kRead, kProject, "name"},
      {"/retort.v1.DeploymentService/ListDeployments", kRead, kProject,
       "parent"},
      {"/retort.v1.DeploymentService/DeleteDeployment", kUse, kProject, "name"},
      {"/retort.v1.DeploymentService/UpdateDeployment", kUse, kProject,
       "deployment.name"},
      {"/retort.v1.DeploymentService/RollbackDeployment", kUse, kProject,
       "name"},

      {"/retort.v1.SamplingService/Sample", kUse, kProject, "deployment"},
      {"/retort.v1.SamplingService/StreamSample", kUse, kProject,
       "request.deployment"},

      {"/retort.v1.ClusterService/GetCluster", kRead, kFiltered, ""},
      {"/retort.v1.ClusterService/ListQueue", kRead, kFiltered, ""},
      {"/retort.v1.ClusterService/GetQuota", kRead, kProject, "project"},
      {"/retort.v1.ClusterService/ListQuotas", kRead, kFiltered, ""},
      {"/retort.v1.ClusterService/UpdateQuota", kOperate, kProject,
       "quota.project"},
      {"/retort.v1.ClusterService/DrainNode", kOperate, kMachines, ""},

      {"/inference.GRPCInferenceService/ServerLive", kRead, kFiltered, ""},
      {"/inference.GRPCInferenceService/ServerReady", kRead, kFiltered, ""},
      {"/inference.GRPCInferenceService/ServerMetadata", kRead, kFiltered, ""},
      {"/inference.GRPCInferenceService/ModelReady", kRead, kProject, "name"},
      {"/inference.GRPCInferenceService/ModelMetadata", kRead, kProject,
       "name"},
      {"/inference.GRPCInferenceService/ModelInfer", kUse, kProject,
       "model_name"},
  };
  return *policies;
}

const MethodPolicy* FindPolicy(absl::string_view method) {
  for (const MethodPolicy& policy : MethodPolicies()) {
    if (method == policy.method) return &policy;
  }
  return nullptr;
}

bool IsOpen(absl::string_view method) {
  return absl::StartsWith(method, "/grpc.health.v1.Health/") ||
         absl::StartsWith(method, "/grpc.reflection.");
}

}  // namespace retort::auth
