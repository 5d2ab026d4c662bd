#ifndef RETORT_SERVER_RPC_QUEUE_ANSWERS_H_
#define RETORT_SERVER_RPC_QUEUE_ANSWERS_H_

#include "retort/v1/cluster_service.pb.h"
#include "retort/v1/job_service.pb.h"
#include "server/jobs/job_store.h"
#include "server/scheduler/explain.h"
#include "server/scheduler/live_cluster.h"

// What the scheduler knows, as messages.
namespace retort::rpc {

v1::ExplainQueueResponse ToExplainQueueResponse(
    const scheduler::Explanation& explanation);

// Of any job, waiting or not.
v1::ExplainQueueResponse ExplainJob(const scheduler::LiveCluster& cluster,
                                    const jobs::JobRecord& record,
                                    absl::Time now);

// A project's quota, and what it uses of it now.
v1::Quota ToQuota(const scheduler::ProjectRecord& record,
                  const scheduler::ClusterState& state, absl::Time now);

// Alters a record as the update says. InvalidArgument with the field.
absl::Status ApplyQuota(const v1::UpdateQuotaRequest& request,
                        scheduler::ProjectRecord* record);

// The nodes with what runs there; deployments are for the caller to add.
google::protobuf::RepeatedPtrField<v1::Node> ToNodes(
    const scheduler::ClusterState& state);

}  // namespace retort::rpc

#endif  // RETORT_SERVER_RPC_QUEUE_ANSWERS_H_
