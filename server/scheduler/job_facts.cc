#include "server/scheduler/job_facts.h"

#include <algorithm>

#include "server/base/durations.h"
#include "server/base/resource_name.h"

namespace retort::scheduler {

Gang GangOf(const v1::ResourceSpec& resources) {
  Gang gang;
  gang.ranks = std::max(1, resources.world_size());
  gang.per_rank = {resources.gpus(), std::max(1, resources.cpu_threads())};
  gang.max_ranks_per_node = resources.max_ranks_per_node();
  return gang;
}

JobClass ClassOf(const v1::Job& job) {
  switch (job.priority_class()) {
    case v1::Job::PRIORITY_CLASS_LOW:
      return JobClass::kLow;
    case v1::Job::PRIORITY_CLASS_HIGH:
      return JobClass::kHigh;
    default:
      return JobClass::kNormal;
  }
}

absl::Duration TimeLeft(const jobs::JobRecord& record) {
  const v1::ResourceSpec& resources = record.job.spec().resources();
  if (!resources.has_time_limit()) return absl::InfiniteDuration();
  return service::GetDuration(resources.time_limit()) - record.ran;
}

bool WritesCheckpoints(const v1::JobSpec& spec) {
  return spec.has_train_teacher() || spec.has_distill();
}

std::string ProjectOf(const v1::Job& job) {
  const auto name = service::ParseName(service::kJobs, job.name());
  return name.ok() ? name->project : "";
}

WaitingJob ToWaiting(const jobs::JobRecord& record) {
  WaitingJob job;
  job.name = record.job.name();
  job.seq = record.seq;
  job.priority = record.job.priority();
  job.gang = GangOf(record.job.spec().resources());
  job.time_limit = std::max(TimeLeft(record), absl::ZeroDuration());
  job.project = ProjectOf(record.job);
  job.job_class = ClassOf(record.job);
  job.preemptible = WritesCheckpoints(record.job.spec());
  return job;
}

LiveGang ToGang(const WaitingJob& job, absl::Time start) {
  LiveGang gang;
  gang.name = job.name;
  gang.project = job.project;
  gang.seq = job.seq;
  gang.job_class = job.job_class;
  gang.gang = job.gang;
  gang.start = start;
  gang.time_limit = job.time_limit;
  gang.preemptible = job.preemptible;
  return gang;
}

}  // namespace retort::scheduler
