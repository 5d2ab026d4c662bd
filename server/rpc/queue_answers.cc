#include "server/rpc/queue_answers.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "server/base/error.h"
#include "server/jobs/timestamps.h"

namespace retort::rpc {
namespace {

using Explained = v1::ExplainQueueResponse;
using scheduler::WaitReason;

Explained::Reason ToReason(WaitReason reason) {
  switch (reason) {
    case WaitReason::kStarts:
      return Explained::REASON_STARTS;
    case WaitReason::kNever:
      return Explained::REASON_NEVER;
    case WaitReason::kNotBefore:
      return Explained::REASON_NOT_BEFORE;
    case WaitReason::kQuota:
      return Explained::REASON_QUOTA;
    case WaitReason::kNodesDown:
      return Explained::REASON_NODES_DOWN;
    case WaitReason::kStopping:
      return Explained::REASON_STOPPING;
    case WaitReason::kFirst:
      return Explained::REASON_FIRST;
    case WaitReason::kNoRoom:
      return Explained::REASON_NO_ROOM;
    case WaitReason::kBehind:
      return Explained::REASON_BEHIND;
  }
  return Explained::REASON_UNSPECIFIED;
}

// Weights beyond these are slips, and would make shares of nothing.
constexpr double kMinWeight = 1e-3;
constexpr double kMaxWeight = 1e6;

absl::Status SetWeight(const v1::Quota& quota,
                       scheduler::ProjectRecord* record) {
  if (!(quota.weight() >= kMinWeight && quota.weight() <= kMaxWeight)) {
    return service::BadField(
        "quota.weight", absl::StrCat("is ", quota.weight(), "; must be in [",
                                     kMinWeight, ", ", kMaxWeight, "]"));
  }
  record->weight = quota.weight();
  return absl::OkStatus();
}

template <typename T>
absl::Status SetLimit(const std::string& name, T value, T* limit) {
  if (!(value >= 0) || !std::isfinite(static_cast<double>(value))) {
    return service::BadField(
        absl::StrCat("quota.", name),
        absl::StrCat("is ", value, "; must not be negative (0 is no limit)"));
  }
  *limit = value;
  return absl::OkStatus();
}

// The fields that an update without a mask means.
std::set<std::string> FieldsThatAreSet(const v1::Quota& quota) {
  std::set<std::string> fields;
  if (quota.max_gpus() != 0) fields.insert("max_gpus");
  if (quota.max_jobs() != 0) fields.insert("max_jobs");
  if (quota.max_gpu_hours() != 0) fields.insert("max_gpu_hours");
  if (quota.weight() != 0) fields.insert("weight");
  return fields;
}

absl::Status SetField(const std::string& field, const v1::Quota& quota,
                      scheduler::ProjectRecord* record) {
  if (field == "weight") return SetWeight(quota, record);
  if (field == "max_gpus") {
    return SetLimit(field, quota.max_gpus(), &record->max_gpus);
  }
  if (field == "max_jobs") {
    return SetLimit(field, quota.max_jobs(), &record->max_jobs);
  }
  if (field == "max_gpu_hours") {
    return SetLimit(field, quota.max_gpu_hours(), &record->max_gpu_hours);
  }
  // The others are told, not set.
  if (v1::Quota::descriptor()->FindFieldByName(field) != nullptr) {
    return absl::OkStatus();
  }
  return service::BadField(
      "update_mask",
      absl::StrCat("names ", field,
                   "; can be changed: max_gpus, max_jobs, max_gpu_hours, "
                   "weight"));
}

}  // namespace

v1::ExplainQueueResponse ToExplainQueueResponse(
    const scheduler::Explanation& explanation) {
  Explained answer;
  answer.set_explanation(explanation.words);
  answer.set_position(static_cast<int32_t>(explanation.before));
  answer.set_reason(ToReason(explanation.reason));
  if (explanation.earliest < absl::InfiniteFuture() &&
      explanation.earliest > absl::InfinitePast()) {
    *answer.mutable_earliest_start_time() =
        jobs::ToTimestamp(explanation.earliest);
  }
  return answer;
}

v1::ExplainQueueResponse ExplainJob(const scheduler::LiveCluster& cluster,
                                    const jobs::JobRecord& record,
                                    absl::Time now) {
  const v1::Job& job = record.job;
  Explained answer;
  if (job.state() == v1::Job::STATE_QUEUED) {
    const scheduler::ClusterState state = cluster.Copy();
    const scheduler::Picture picture(state, now);
    const auto explained =
        scheduler::Explain(picture.snapshot(), cluster.policy(), job.name());
    if (explained.ok()) return ToExplainQueueResponse(*explained);
    answer.set_explanation(state.gangs().count(job.name()) > 0
                               ? "waits until its last processes are gone"
                               : "has just come into the queue");
    return answer;
  }
  if (job.state() == v1::Job::STATE_STARTING && !job.state_reason().empty()) {
    answer.set_explanation(
        absl::StrCat("is given to the executor, which has "
                     "not started it yet: ",
                     job.state_reason()));
    answer.set_reason(Explained::REASON_EXECUTOR);
    return answer;
  }
  answer.set_explanation(
      absl::StrCat("does not wait: it is ", jobs::StateName(job.state()),
                   job.state_reason().empty() ? "" : ": ", job.state_reason()));
  return answer;
}

v1::Quota ToQuota(const scheduler::ProjectRecord& record,
                  const scheduler::ClusterState& state, absl::Time now) {
  v1::Quota quota;
  quota.set_project(absl::StrCat("projects/", record.name));
  quota.set_max_gpus(record.max_gpus);
  quota.set_max_jobs(record.max_jobs);
  quota.set_max_gpu_hours(record.max_gpu_hours);
  quota.set_weight(record.weight);
  quota.set_etag(scheduler::ClusterStore::EtagOf(record));
  const scheduler::Holdings held = state.HeldBy(record.name);
  quota.set_gpus_used(held.gpus);
  quota.set_cpu_slots_used(held.cpus);
  quota.set_running_jobs(held.jobs);
  quota.set_queued_jobs(static_cast<int32_t>(state.WaitingOf(record.name)));
  for (const scheduler::LiveProject& project : state.projects()) {
    if (project.name != record.name) continue;
    const scheduler::UsageRecord usage = state.UsageOf(project, now);
    quota.set_usage(usage.fair);
    quota.set_gpu_hours_used(usage.gpu_hours);
  }
  return quota;
}

absl::Status ApplyQuota(const v1::UpdateQuotaRequest& request,
                        scheduler::ProjectRecord* record) {
  std::set<std::string> fields(request.update_mask().paths().begin(),
                               request.update_mask().paths().end());
  if (fields.empty()) fields = FieldsThatAreSet(request.quota());
  for (const std::string& field : fields) {
    RETORT_RETURN_IF_ERROR(SetField(field, request.quota(), record));
  }
  return absl::OkStatus();
}

google::protobuf::RepeatedPtrField<v1::Node> ToNodes(
    const scheduler::ClusterState& state) {
  google::protobuf::RepeatedPtrField<v1::Node> nodes;
  std::map<std::string, v1::Node*> by_name;
  for (const scheduler::NodeFacts& facts : state.nodes()) {
    v1::Node* node = nodes.Add();
    by_name[facts.name] = node;
    node->set_name(facts.name);
    node->set_cpu_slots(facts.total.cpus);
    node->set_gpus(facts.total.gpus);
    node->set_usable(facts.usable);
    node->set_state_reason(facts.reason);
  }
  for (const auto& [name, gang] : state.gangs()) {
    const scheduler::Resources each = gang.gang.per_rank;
    for (const auto& [node_name, ranks] : gang.nodes) {
      const auto found = by_name.find(node_name);
      if (found == by_name.end()) continue;
      v1::Node* node = found->second;
      node->add_occupants(name);
      node->set_cpu_slots_used(node->cpu_slots_used() + ranks * each.cpus);
      node->set_gpus_used(node->gpus_used() + ranks * each.gpus);
    }
  }
  return nodes;
}

}  // namespace retort::rpc
