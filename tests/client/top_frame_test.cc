#include "client/top_frame.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace retort::client {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

const absl::Time kNow = absl::FromUnixSeconds(1800000000);

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
  const std::string frame = TopFrame(Data(), "default", kNow);
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
  EXPECT_THAT(TopFrame(data, "default", kNow),
              Not(HasSubstr("CPU SLOTS                  GPUS")));
  data.cluster.mutable_nodes(0)->set_gpus(8);
  EXPECT_THAT(TopFrame(data, "default", kNow),
              HasSubstr("[--------------------] 0/8"));
}

TEST(TopFrameTest, AJobThatOneMayNotSeeHasNoName) {
  v1::ListQueueResponse queue;
  queue.add_entries()->set_project("projects/vision");
  EXPECT_THAT(QueueTable(queue, "default", kNow).ToString(),
              HasSubstr("vision/-"));
}

TEST(TopFrameTest, AFrameIsCutToItsTerminal) {
  EXPECT_EQ(CutTo("abcdef\ngh\nij\n", 4, 2), "abcd\ngh");
  EXPECT_EQ(CutTo("ab\n", 4, 10), "ab\n");
}

}  // namespace
}  // namespace retort::client
