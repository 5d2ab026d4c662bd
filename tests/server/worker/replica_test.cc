#include "server/worker/replica.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/server/worker/fake_outbox.h"
#include "tests/server/worker/small_models.h"
#include "tests/support/fake_clock.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace retort::worker {
namespace {

using ::retort::testing::IsOk;
using ::retort::testing::StatusIs;
using ::testing::HasSubstr;

internal::v1::SampleTask TaskOf(int64_t id, int samples = 2) {
  internal::v1::SampleTask task;
  task.set_id(id);
  task.mutable_request()->set_samples(samples);
  task.mutable_request()->set_seed(5);
  return task;
}

class ReplicaTest : public ::testing::Test {
 protected:
  void Load(const std::string& kind) {
    WriteSmallModel(dir_ / kind, kind);
    ASSERT_THAT(replica_.Load(dir_ / kind), IsOk());
  }
  // Answers what is queued.
  void Drain() {
    replica_.Drain();
    replica_.Run();
  }

  testing::TempDir dir_;
  testing::FakeClock clock_;
  FakeOutbox outbox_;
  Replica replica_{&outbox_, &clock_};
};

TEST_F(ReplicaTest, SaysWhatItServesOnceItIsWarm) {
  Load("ctm");
  ASSERT_EQ(outbox_.ready.size(), 1);
  EXPECT_EQ(outbox_.ready[0].width(), 8);
  EXPECT_EQ(outbox_.ready[0].channels(), 1);
  EXPECT_EQ(outbox_.ready[0].classes(), 10);
}

TEST_F(ReplicaTest, AnswersInOrderOfPriorityAndThenOfArrival) {
  Load("ctm");
  replica_.Enqueue(TaskOf(1));
  internal::v1::SampleTask urgent = TaskOf(2);
  urgent.mutable_request()->set_priority(5);
  replica_.Enqueue(urgent);
  replica_.Enqueue(TaskOf(3));
  Drain();
  ASSERT_EQ(outbox_.answers.size(), 3);
  EXPECT_EQ(outbox_.answers[0].id(), 2);
  EXPECT_EQ(outbox_.answers[1].id(), 1);
  EXPECT_EQ(outbox_.answers[2].id(), 3);
}

TEST_F(ReplicaTest, GivesEachFormatItsBytes) {
  Load("ctm");
  for (int format = 1; format <= 3; ++format) {
    internal::v1::SampleTask task = TaskOf(format);
    task.mutable_request()->set_format(static_cast<v1::ImageFormat>(format));
    replica_.Enqueue(task);
  }
  Drain();
  ASSERT_EQ(outbox_.answers.size(), 3);
  EXPECT_EQ(outbox_.answers[0].response().images(0).size(), 64);
  EXPECT_EQ(outbox_.answers[1].response().images(0).size(), 4 * 64);
  EXPECT_EQ(outbox_.answers[2].response().images(1).substr(1, 3), "PNG");
}

TEST_F(ReplicaTest, AnImageDoesNotDependOnItsBatch) {
  Load("ctm");
  internal::v1::SampleTask second = TaskOf(2, 1);
  second.mutable_request()->set_first_index(1);
  replica_.Enqueue(TaskOf(1, 2));
  replica_.Enqueue(second);
  Drain();
  ASSERT_EQ(outbox_.answers.size(), 2);
  EXPECT_EQ(outbox_.answers[0].response().images(1),
            outbox_.answers[1].response().images(0));
  EXPECT_EQ(outbox_.answers[1].response().classes(0), 1);
}

TEST_F(ReplicaTest, SamplesTeachersByHeunsMethod) {
  Load("teacher");
  internal::v1::SampleTask task = TaskOf(1);
  task.mutable_request()->set_steps(3);
  replica_.Enqueue(task);
  Drain();
  ASSERT_EQ(outbox_.answers.size(), 1);
  EXPECT_EQ(outbox_.answers[0].response().statistics().network_calls(), 5);
}

TEST_F(ReplicaTest, DropsCancelledRequestsSilently) {
  Load("ctm");
  replica_.Enqueue(TaskOf(1));
  internal::v1::SampleTask cancel;
  cancel.set_id(1);
  cancel.set_cancel(true);
  replica_.Enqueue(cancel);
  Drain();
  EXPECT_TRUE(outbox_.answers.empty());
}

TEST_F(ReplicaTest, RefusesRequestsWhoseTimeIsUp) {
  Load("ctm");
  internal::v1::SampleTask task = TaskOf(1);
  task.set_timeout_ms(100);
  replica_.Enqueue(task);
  clock_.Advance(absl::Milliseconds(100));
  Drain();
  ASSERT_EQ(outbox_.answers.size(), 1);
  EXPECT_EQ(outbox_.answers[0].code(),
            static_cast<int>(absl::StatusCode::kDeadlineExceeded));
}

TEST_F(ReplicaTest, AnswersBadRequestsWithTheFieldAndGoesOn) {
  Load("ctm");
  internal::v1::SampleTask bad = TaskOf(1);
  bad.mutable_request()->add_classes(10);
  replica_.Enqueue(bad);
  replica_.Enqueue(TaskOf(2));
  Drain();
  ASSERT_EQ(outbox_.answers.size(), 2);
  EXPECT_EQ(outbox_.answers[0].code(),
            static_cast<int>(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(outbox_.answers[0].error(), HasSubstr("class"));
  EXPECT_EQ(outbox_.answers[1].code(), 0);
}

TEST_F(ReplicaTest, RefusesMoreImagesThanTheLimit) {
  Load("ctm");
  replica_.Enqueue(TaskOf(1, 4097));
  Drain();
  EXPECT_THAT(outbox_.answers.at(0).error(), HasSubstr("from 1 to 4096"));
}

TEST_F(ReplicaTest, TellsWhatWaitsThatItIsBeingStopped) {
  Load("ctm");
  replica_.Enqueue(TaskOf(1));
  replica_.Stop();
  replica_.Run();
  ASSERT_EQ(outbox_.answers.size(), 1);
  EXPECT_EQ(outbox_.answers[0].code(),
            static_cast<int>(absl::StatusCode::kUnavailable));
}

TEST_F(ReplicaTest, ForgetsEverythingWhenTheServerIsGone) {
  Load("ctm");
  replica_.Enqueue(TaskOf(1));
  replica_.DropAll();
  Drain();
  EXPECT_TRUE(outbox_.answers.empty());
}

TEST_F(ReplicaTest, RefusesAModelWithoutANetwork) {
  io::ModelManifest manifest;
  manifest.kind = "preconditioning";
  ASSERT_THAT(io::WriteModelDir(dir_ / "p", manifest, {}), IsOk());
  EXPECT_THAT(replica_.Load(dir_ / "p"),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("kind preconditioning")));
}

}  // namespace
}  // namespace retort::worker
