#include "server/simulator/simulation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "absl/strings/str_cat.h"
#include "server/simulator/variants.h"

namespace retort::simulator {
namespace {

const absl::Time kStart = absl::FromUnixSeconds(1800000000);

SimulatedJob Job(int gpus, absl::Duration work,
                 scheduler::JobClass job_class = scheduler::JobClass::kNormal,
                 absl::Duration later = absl::ZeroDuration()) {
  SimulatedJob job;
  job.queued.gang = {gpus, {1, 1}};
  job.queued.time_limit = 2 * work;
  job.job_class = job_class;
  job.work = work;
  job.submitted = kStart + later;
  return job;
}

// One project, no failures.
Measures RunJobs(std::vector<SimulatedJob> jobs, int nodes,
                 SimulationOptions options = {}) {
  Workload workload;
  workload.projects.resize(1);
  for (int i = 0; i < nodes; ++i) {
    workload.nodes.push_back({absl::StrCat(i), {8, 8}, {8, 8}});
  }
  for (SimulatedJob& job : jobs) {
    job.queued.seq = static_cast<int64_t>(workload.jobs.size());
    job.queued.name = absl::StrCat(job.queued.seq);
    workload.jobs.push_back(job);
  }
  options.mean_between_failures = absl::InfiniteDuration();
  return Simulation(options, std::move(workload)).Run();
}

void ExpectPromisesKept(const Measures& measures) {
  EXPECT_EQ(measures.gangs_split, 0);
  EXPECT_EQ(measures.overcommitted, 0);
  EXPECT_EQ(measures.over_quota, 0);
  EXPECT_EQ(measures.preempted_equal_or_higher, 0);
  EXPECT_EQ(measures.unfinished, 0);
}

TEST(SimulationTest, RunsJobsOneAfterTheOtherWhereOneFits) {
  const Measures measures =
      RunJobs({Job(8, absl::Hours(1)), Job(8, absl::Hours(2))}, 1);
  ExpectPromisesKept(measures);
  EXPECT_EQ(measures.makespan, absl::Hours(3));
  EXPECT_EQ(measures.used, 8 * 3 * 3600);
  EXPECT_EQ(measures.there, 8 * 3 * 3600);
  const auto waits = measures.ToJson({"p"}, {1})["wait_hours"]["backlog"];
  EXPECT_EQ(waits["normal"]["max"], 1);
  EXPECT_EQ(measures.used_in_demand, 8 * 3600);
  EXPECT_EQ(measures.there_in_demand, 8 * 3600);
}

TEST(SimulationTest, CountsWhatIsLostToAPreemption) {
  SimulationOptions options;
  options.failed_stops = 0;
  options.mean_stop = absl::Seconds(0.5);  // at most one second, rounded up
  const Measures measures = RunJobs(
      {Job(8, absl::Hours(2), scheduler::JobClass::kLow),
       Job(4, absl::Hours(1), scheduler::JobClass::kHigh, absl::Hours(1))},
      1, options);
  ExpectPromisesKept(measures);
  EXPECT_EQ(measures.preemptions, 1);
  EXPECT_EQ(measures.starts, 3);
  // It loses the minute that it takes to start again, and nothing else.
  EXPECT_DOUBLE_EQ(measures.lost_to_preemption, 8.0 / 60);
  EXPECT_EQ(measures.used, 8 * 7200 + 4 * 3600 + 8 * 60);
}

TEST(SimulationTest, LosesWorkSinceTheCheckpointIfStoppingFails) {
  SimulationOptions options;
  options.failed_stops = 1;
  options.mean_stop = absl::Seconds(0.5);
  const Measures measures = RunJobs(
      {Job(8, absl::Hours(2), scheduler::JobClass::kLow),
       Job(4, absl::Hours(1), scheduler::JobClass::kHigh, absl::Minutes(70))},
      1, options);
  ExpectPromisesKept(measures);
  // Ten minutes since the last checkpoint, a second, a minute to start again.
  EXPECT_NEAR(measures.lost_to_preemption, 8 * 661.0 / 3600, 1e-9);
}

WorkloadOptions Small() {
  WorkloadOptions options;
  options.nodes = 40;
  options.backlog = 1500;
  options.arrivals_per_hour = 20;
  options.arrive_for = absl::Hours(48);
  options.largest_gpus = 128;
  return options;
}

TEST(SimulationTest, FinishesEverythingThroughFailuresAndKeepsItsPromises) {
  SimulationOptions options;
  options.mean_between_failures = absl::Hours(200);
  const Measures measures =
      Simulation(options, MakeWorkload(Small(), kStart)).Run();
  ExpectPromisesKept(measures);
  EXPECT_GT(measures.node_failures, 10);
  EXPECT_GT(measures.gangs_failed, 5);
  EXPECT_GT(measures.preemptions, 20);
  EXPECT_EQ(measures.refused, 0);
}

TEST(SimulationTest, IsTheSameForTheSameSeeds) {
  const auto run = [] {
    auto json = Simulation({}, MakeWorkload(Small(), kStart))
                    .Run()
                    .ToJson(std::vector<std::string>(8, "p"),
                            std::vector<double>(8, 1));
    json.erase("decision_ms");
    return json.dump();
  };
  EXPECT_EQ(run(), run());
}

TEST(SimulationTest, EachPartOfThePolicyIsWorthItsPlace) {
  std::map<std::string, Measures> runs;
  for (const Variant& variant : AllVariants({})) {
    runs[variant.name] =
        Simulation(variant.options, MakeWorkload(Small(), kStart)).Run();
    ExpectPromisesKept(runs[variant.name]);
  }
  const auto utilisation = [&](const char* name) {
    return runs[name].used_in_demand / runs[name].there_in_demand;
  };
  EXPECT_GT(utilisation("policy"), utilisation("no-backfill") + 0.03);
  EXPECT_GT(utilisation("no-backfill"), utilisation("fifo"));
  const auto high = [&](const char* name) {
    return runs[name].wait_arrived[2].Summary()["p90"].get<double>();
  };
  EXPECT_LT(high("policy"), high("no-preemption"));
  EXPECT_EQ(runs["no-preemption"].preemptions, 0);
}

}  // namespace
}  // namespace retort::simulator
