#include "client/top_frame.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_split.h"

namespace retort::client {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

const absl::Time kDrawn = absl::FromUnixSeconds(1800000000);
constexpr int kWide = 200;

TopData Data() {
  TopData data;
  v1::Node* node = data.cluster.add_nodes();
  node->set_name("n1");
  node->set_cpu_slots(4);
  node->set_cpu_slots_used(1);
  node->set_usable(true);
  v1::Job job;
  job.set_name("projects/default/jobs/mine");
  job.set_state(v1::Job::STATE_RUNNING);
  job.set_priority_class(v1::Job::PRIORITY_CLASS_LOW);
  job.mutable_spec()->mutable_resources()->set_world_size(2);
  job.mutable_progress()->set_step(120);
  job.mutable_progress()->set_total_steps(400);
  job.mutable_progress()->set_images_per_second(63.14);
  job.mutable_progress()->mutable_eta()->set_seconds(123);
  job.add_ranks()->set_node("n1");
  data.running.push_back(job);
  v1::QueueEntry* entry = data.queue.add_entries();
  entry->set_job("projects/vision/jobs/theirs");
  entry->set_project("projects/vision");
  entry->set_priority_class(v1::Job::PRIORITY_CLASS_HIGH);
  entry->set_gpus(8);
  entry->mutable_explanation()->set_explanation("waits for 8 GPUs");
  data.queue.set_total(3);
  v1::Quota* quota = data.quotas.add_quotas();
  quota->set_project("projects/vision");
  quota->set_weight(2.5);
  quota->set_max_gpus(16);
  quota->set_gpus_used(3);
  return data;
}

TEST(TopFrameTest, ShowsNodesJobsQueueAndProjects) {
  const std::string frame = TopFrame(Data(), "default", kDrawn, kWide);
  EXPECT_THAT(frame, HasSubstr("[#####---------------] 1/4"));
  EXPECT_THAT(frame, AllOf(HasSubstr("120/400"), HasSubstr("63.1"),
                           HasSubstr("2 m 03 s")));
  EXPECT_THAT(frame, HasSubstr("vision/theirs"));
  EXPECT_THAT(frame, HasSubstr("waits for 8 GPUs"));
  EXPECT_THAT(frame, HasSubstr("and 2 more"));
  EXPECT_THAT(frame, HasSubstr("3/16"));
  // Those of one's own project are called by their ids.
  EXPECT_THAT(frame, Not(HasSubstr("default/mine")));
}

TEST(TopFrameTest, ColumnsOfGpusAreThereIfThereAreGpus) {
  TopData data = Data();
  EXPECT_THAT(TopFrame(data, "default", kDrawn, kWide),
              Not(HasSubstr("CPU SLOTS                  GPUS")));
  data.cluster.mutable_nodes(0)->set_gpus(8);
  EXPECT_THAT(TopFrame(data, "default", kDrawn, kWide),
              HasSubstr("[--------------------] 0/8"));
}

TEST(TopFrameTest, AJobThatOneMayNotSeeHasNoName) {
  v1::ListQueueResponse queue;
  queue.add_entries()->set_cpu_slots(2);
  EXPECT_THAT(QueueTable(queue, "default", kDrawn).ToString(),
              AllOf(HasSubstr("\n-    normal"), HasSubstr("2 CPUs"),
                    HasSubstr("of a project that you may not look into")));
}

TEST(TopFrameTest, ANarrowFrameLosesColumnsAndNoWords) {
  TopData data = Data();
  data.cluster.set_version("1.22.333");
  data.cluster.set_executor("an-executor-of-a-long-name");
  data.running[0].set_state_reason("makes room for projects/default/jobs/big");
  v1::ExplainQueueResponse* why =
      data.queue.mutable_entries(0)->mutable_explanation();
  why->set_explanation(
      "waits for a node with 8 free GPUs (1 now); 1 job is before it; it would "
      "fit now, but the first in line waits for that room");
  for (const int columns : {80, 60}) {
    const std::string frame = TopFrame(data, "default", kDrawn, columns);
    for (absl::string_view line : absl::StrSplit(frame, '\n')) {
      EXPECT_LE(line.size(), static_cast<size_t>(columns)) << line;
    }
    EXPECT_THAT(frame, AllOf(HasSubstr("for that room"), HasSubstr("120/400"),
                             HasSubstr("jobs/big"), Not(HasSubstr("PRIORITY")),
                             HasSubstr("0 deployments ready\n")));
  }
}

TEST(TopFrameTest, JobsThatOneMayNotSeeAreCounted) {
  TopData data = Data();
  data.cluster.mutable_nodes(0)->set_cpu_slots_used(4);
  data.cluster.set_running_jobs(3);
  v1::Quota* own = data.quotas.add_quotas();
  own->set_running_jobs(1);
  own->set_cpu_slots_used(2);
  data.quotas.mutable_quotas(0)->set_gpus_used(0);
  const std::string line =
      "2 jobs of projects that you may not look into: 2 CPU slots\n";
  EXPECT_EQ(OthersText(data.cluster, data.quotas), line);
  EXPECT_THAT(TopFrame(data, "default", kDrawn, kWide), HasSubstr(line));
  own->set_running_jobs(3);
  EXPECT_EQ(OthersText(data.cluster, data.quotas), "");
}

TEST(TopFrameTest, UsageIsInGpuHours) {
  v1::ListQuotasResponse quotas;
  quotas.add_quotas()->set_usage(5400);
  EXPECT_THAT(QuotaTable(quotas).ToString(),
              AllOf(HasSubstr("USAGE (GPU-H)"), HasSubstr("  1.5\n")));
}

TEST(TopFrameTest, AFrameIsCutToItsTerminal) {
  EXPECT_THAT(CutTo("abcdef\ngh\n", 4, 2), ElementsAre("abcd", "gh"));
  EXPECT_THAT(CutTo("ab\n", 4, 10), ElementsAre("ab"));
  EXPECT_THAT(CutTo("ab\ncd\nef\n", 16, 2),
              ElementsAre("ab", "... 2 more lines"));
}

}  // namespace
}  // namespace retort::client
