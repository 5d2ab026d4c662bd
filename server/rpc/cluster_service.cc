#include "server/rpc/cluster_service.h"

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "server/base/error.h"
#include "server/base/resource_name.h"
#include "server/jobs/timestamps.h"
#include "server/rpc/call_guard.h"
#include "server/rpc/queue_answers.h"
#include "server/rpc/unary_reactor.h"

namespace retort::rpc {
namespace {

constexpr int kDefaultEntries = 100;
constexpr int kMaxEntries = 1000;
constexpr size_t kMaxReason = 256;

v1::Job::PriorityClass ToClass(scheduler::JobClass job_class) {
  switch (job_class) {
    case scheduler::JobClass::kLow:
      return v1::Job::PRIORITY_CLASS_LOW;
    case scheduler::JobClass::kNormal:
      return v1::Job::PRIORITY_CLASS_NORMAL;
    case scheduler::JobClass::kHigh:
      return v1::Job::PRIORITY_CLASS_HIGH;
  }
  return v1::Job::PRIORITY_CLASS_UNSPECIFIED;
}

void Fill(const scheduler::QueueEntry& entry, v1::QueueEntry* message) {
  // All that wait in a ClusterState are of this kind.
  const auto& job = static_cast<const scheduler::WaitingJob&>(*entry.job);
  message->set_job(job.name);
  message->set_project(absl::StrCat("projects/", job.project));
  message->set_priority_class(ToClass(entry.job_class));
  message->set_priority(job.priority);
  message->set_gpus(job.gang.gpus());
  message->set_cpu_slots(job.gang.cpus());
  *message->mutable_queued_time() = jobs::ToTimestamp(job.since);
  *message->mutable_explanation() = ToExplainQueueResponse(entry.explanation);
}

// Whether the caller may see a job or deployment of this name.
bool MayRead(const auth::Caller& caller, const std::string& name) {
  const auto parsed = service::ParseAnyName(name);
  return parsed.ok() && caller.MayRead(parsed->project);
}

// Leaves what concerns those who wait behind it: its size, rank and kind of
// wait, not whose it is and the words about that.
void Redact(v1::QueueEntry* entry) {
  entry->clear_job();
  entry->clear_project();
  entry->mutable_explanation()->clear_explanation();
}

google::protobuf::RepeatedPtrField<v1::Node> NodesFor(
    const auth::Caller& caller, const scheduler::ClusterState& state) {
  auto nodes = ToNodes(state);
  for (v1::Node& node : nodes) {
    google::protobuf::RepeatedPtrField<std::string> seen;
    for (const std::string& name : node.occupants()) {
      if (MayRead(caller, name)) *seen.Add() = name;
    }
    node.mutable_occupants()->Swap(&seen);
  }
  return nodes;
}

}  // namespace

grpc::ServerUnaryReactor* ClusterService::GetCluster(
    grpc::CallbackServerContext* context, const v1::GetClusterRequest*,
    v1::Cluster* response) {
  return Answer(context, "ClusterService/GetCluster", deps_.metrics,
                [&] { return DoGetCluster(*CallerOf(*context), response); });
}

grpc::ServerUnaryReactor* ClusterService::ListQueue(
    grpc::CallbackServerContext* context, const v1::ListQueueRequest* request,
    v1::ListQueueResponse* response) {
  return Answer(context, "ClusterService/ListQueue", deps_.metrics, [&] {
    return DoListQueue(*CallerOf(*context), *request, response);
  });
}

grpc::ServerUnaryReactor* ClusterService::GetQuota(
    grpc::CallbackServerContext* context, const v1::GetQuotaRequest* request,
    v1::Quota* response) {
  return Answer(context, "ClusterService/GetQuota", deps_.metrics,
                [&] { return DoGetQuota(*request, response); });
}

grpc::ServerUnaryReactor* ClusterService::ListQuotas(
    grpc::CallbackServerContext* context, const v1::ListQuotasRequest*,
    v1::ListQuotasResponse* response) {
  return Answer(context, "ClusterService/ListQuotas", deps_.metrics,
                [&] { return DoListQuotas(*CallerOf(*context), response); });
}

grpc::ServerUnaryReactor* ClusterService::UpdateQuota(
    grpc::CallbackServerContext* context, const v1::UpdateQuotaRequest* request,
    v1::Quota* response) {
  return Answer(context, "ClusterService/UpdateQuota", deps_.metrics,
                [&] { return DoUpdateQuota(*request, response); });
}

grpc::ServerUnaryReactor* ClusterService::DrainNode(
    grpc::CallbackServerContext* context, const v1::DrainNodeRequest* request,
    v1::Node* response) {
  return Answer(context, "ClusterService/DrainNode", deps_.metrics,
                [&] { return DoDrainNode(*request, response); });
}

absl::Status ClusterService::DoGetCluster(const auth::Caller& caller,
                                          v1::Cluster* response) const {
  const scheduler::ClusterState state = deps_.scheduler->cluster()->Copy();
  response->set_version(deps_.version);
  response->set_executor(deps_.executor);
  *response->mutable_nodes() = NodesFor(caller, state);
  // Replicas run on the service's own machine.
  for (v1::Node& node : *response->mutable_nodes()) {
    if (node.name() != deps_.node) continue;
    for (const std::string& name : deps_.deployments->Names()) {
      if (MayRead(caller, name)) node.add_occupants(name);
    }
  }
  response->set_queued_jobs(
      static_cast<int32_t>(state.waiting().size() + state.claims().size()));
  response->set_running_jobs(static_cast<int32_t>(state.gangs().size()));
  response->set_ready_deployments(deps_.deployments->ReadyDeployments());
  return absl::OkStatus();
}

absl::Status ClusterService::DoListQueue(
    const auth::Caller& caller, const v1::ListQueueRequest& request,
    v1::ListQueueResponse* response) const {
  if (request.page_size() < 0 || request.page_size() > kMaxEntries) {
    return service::BadField(
        "page_size",
        absl::StrCat("is ", request.page_size(), "; must be in [1, ",
                     kMaxEntries, "], or 0 for ", kDefaultEntries));
  }
  const int count =
      request.page_size() == 0 ? kDefaultEntries : request.page_size();
  const scheduler::ClusterState state = deps_.scheduler->cluster()->Copy();
  const scheduler::Picture picture(state, deps_.clock->Now());
  for (const scheduler::QueueEntry& entry : scheduler::ExplainFirst(
           picture.snapshot(), deps_.scheduler->cluster()->policy(), count)) {
    v1::QueueEntry* message = response->add_entries();
    Fill(entry, message);
    if (!MayRead(caller, message->job())) Redact(message);
  }
  response->set_total(
      static_cast<int32_t>(state.waiting().size() + state.claims().size()));
  return absl::OkStatus();
}

absl::Status ClusterService::DoGetQuota(const v1::GetQuotaRequest& request,
                                        v1::Quota* response) const {
  RETORT_ASSIGN_OR_RETURN(const std::string project,
                          service::ParseParent(request.project(), "project"));
  scheduler::LiveCluster* cluster = deps_.scheduler->cluster();
  RETORT_ASSIGN_OR_RETURN(const scheduler::ProjectRecord record,
                          cluster->store()->GetProject(project));
  const scheduler::ClusterState state = cluster->Copy();
  // A slip of the pen, more likely than a question about nothing.
  if (std::none_of(state.projects().begin(), state.projects().end(),
                   [&](const auto& known) { return known.name == project; })) {
    return service::Error(
        absl::StatusCode::kNotFound, v1::ERROR_REASON_RESOURCE_NOT_FOUND,
        absl::StrCat("project ", project,
                     " has no quota of its own and has run no job: nothing "
                     "limits it; `retort quotas list` shows which have"),
        {{"name", request.project()}});
  }
  *response = ToQuota(record, state, deps_.clock->Now());
  return absl::OkStatus();
}

absl::Status ClusterService::DoListQuotas(
    const auth::Caller& caller, v1::ListQuotasResponse* response) const {
  scheduler::LiveCluster* cluster = deps_.scheduler->cluster();
  RETORT_ASSIGN_OR_RETURN(const std::vector<scheduler::ProjectRecord> stored,
                          cluster->store()->ListProjects());
  const scheduler::ClusterState state = cluster->Copy();
  std::map<std::string, scheduler::ProjectRecord> records;
  for (const scheduler::LiveProject& project : state.projects()) {
    records[project.name].name = project.name;
  }
  for (const scheduler::ProjectRecord& record : stored) {
    records[record.name] = record;
  }
  for (const auto& [name, record] : records) {
    if (!caller.MayRead(name)) continue;
    *response->add_quotas() = ToQuota(record, state, deps_.clock->Now());
  }
  return absl::OkStatus();
}

absl::Status ClusterService::DoUpdateQuota(
    const v1::UpdateQuotaRequest& request, v1::Quota* response) const {
  RETORT_ASSIGN_OR_RETURN(
      const std::string project,
      service::ParseParent(request.quota().project(), "quota.project"));
  scheduler::LiveCluster* cluster = deps_.scheduler->cluster();
  RETORT_ASSIGN_OR_RETURN(
      const scheduler::ProjectRecord record,
      cluster->UpdateProject(project, request.quota().etag(),
                             [&](scheduler::ProjectRecord* changed) {
                               return ApplyQuota(request, changed);
                             }));
  deps_.scheduler->Wake();
  *response = ToQuota(record, cluster->Copy(), deps_.clock->Now());
  return absl::OkStatus();
}

absl::Status ClusterService::DoDrainNode(const v1::DrainNodeRequest& request,
                                         v1::Node* response) const {
  if (request.reason().size() > kMaxReason) {
    return service::BadField(
        "reason", absl::StrCat("has ", request.reason().size(),
                               " bytes; at most ", kMaxReason, " are allowed"));
  }
  if (deps_.executor == "slurm") {
    return service::Error(
        absl::StatusCode::kFailedPrecondition, v1::ERROR_REASON_STATE_CONFLICT,
        absl::StrCat(request.node(),
                     " is Slurm's; use `scontrol update "
                     "NodeName=",
                     request.node(), " State=",
                     request.undo() ? "RESUME`" : "DRAIN Reason=...`"));
  }
  scheduler::LiveCluster* cluster = deps_.scheduler->cluster();
  RETORT_RETURN_IF_ERROR(
      cluster->DrainNode(request.node(), request.reason(), request.undo()));
  deps_.scheduler->Wake();
  for (const v1::Node& node : ToNodes(cluster->Copy())) {
    if (node.name() == request.node()) *response = node;
  }
  return absl::OkStatus();
}

}  // namespace retort::rpc
