#ifndef RETORT_SERVER_SCHEDULER_JOB_FACTS_H_
#define RETORT_SERVER_SCHEDULER_JOB_FACTS_H_

#include <memory>

#include "absl/time/time.h"
#include "retort/v1/job_service.pb.h"
#include "server/jobs/job_store.h"
#include "server/scheduler/cluster_state.h"

// A job in the words of the policy.
namespace retort::scheduler {

Gang GangOf(const v1::ResourceSpec& resources);
// PRIORITY_CLASS_UNSPECIFIED is NORMAL.
JobClass ClassOf(const v1::Job& job);
// What a job may still run of its time_limit, below zero if it has run longer;
// infinite without one.
absl::Duration TimeLeft(const jobs::JobRecord& record);
// Only training can go on where it was stopped.
bool WritesCheckpoints(const v1::JobSpec& spec);
// Its project, by id.
std::string ProjectOf(const v1::Job& job);

WaitingJob ToWaiting(const jobs::JobRecord& record);
// As it starts now; its nodes are for the caller to fill in.
LiveGang ToGang(const WaitingJob& job, absl::Time start);

}  // namespace retort::scheduler

#endif  // RETORT_SERVER_SCHEDULER_JOB_FACTS_H_
