#include "server/batching/sample_queue.h"

#include <gtest/gtest.h>

#include <utility>
#include <vector>

#include "server/base/error.h"
#include "tests/support/status_matchers.h"

namespace retort::batching {
namespace {

using ::testing::ElementsAre;
using testing::IsOk;
using testing::StatusIs;

const absl::Time kNow = absl::FromUnixSeconds(1000);

SampleEntry Entry(int64_t id, int priority = 0,
                  absl::Time deadline = absl::InfiniteFuture()) {
  SampleEntry entry;
  entry.id = id;
  entry.request.set_samples(1);
  entry.request.set_priority(priority);
  entry.bytes = 10;
  entry.deadline = deadline;
  return entry;
}

void Admit(SampleQueue* queue, SampleEntry entry) {
  ASSERT_THAT(queue->Admit(std::move(entry), absl::Seconds(1)), IsOk());
}

std::vector<int64_t> Drain(SampleQueue* queue) {
  std::vector<int64_t> order;
  while (SampleEntry* entry = queue->Next(kNow)) order.push_back(entry->id);
  return order;
}

TEST(SampleQueueTest, PriorityGoesBeforeDeadlineAndDeadlineBeforeArrival) {
  SampleQueue queue{QueueLimits()};
  Admit(&queue, Entry(1));
  Admit(&queue, Entry(2, 0, kNow + absl::Seconds(20)));
  Admit(&queue, Entry(3, 0, kNow + absl::Seconds(10)));
  Admit(&queue, Entry(4, 5));
  Admit(&queue, Entry(5));
  Admit(&queue, Entry(6, -1));
  EXPECT_THAT(Drain(&queue), ElementsAre(4, 3, 2, 1, 5, 6));
}

TEST(SampleQueueTest, ARequestThatIsPutBackKeepsItsPlace) {
  SampleQueue queue{QueueLimits()};
  Admit(&queue, Entry(1));
  Admit(&queue, Entry(2));
  ASSERT_EQ(queue.Next(kNow)->id, 1);
  queue.PutBack(1);
  SampleEntry* again = queue.Next(kNow);
  EXPECT_EQ(again->id, 1);
  EXPECT_EQ(again->attempts, 2);
}

TEST(SampleQueueTest, RefusesWhatDoesNotFitAndSaysWhenToTryAgain) {
  QueueLimits limits;
  limits.max_samples = 2;
  SampleQueue queue{limits};
  Admit(&queue, Entry(1));
  // What a replica works on counts until it is answered.
  ASSERT_NE(queue.Next(kNow), nullptr);
  Admit(&queue, Entry(2));
  const absl::Status full = queue.Admit(Entry(3), absl::Seconds(7));
  EXPECT_THAT(full, StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_EQ(service::RetryAfterOf(full), absl::Seconds(7));
  EXPECT_EQ(service::ReasonOf(full), v1::ERROR_REASON_LIMIT_EXCEEDED);
  queue.Take(1);
  EXPECT_THAT(queue.Admit(Entry(3), absl::Seconds(7)), IsOk());
}

TEST(SampleQueueTest, BytesAreBoundedToo) {
  QueueLimits limits;
  limits.max_bytes = 25;
  SampleQueue queue{limits};
  Admit(&queue, Entry(1));
  Admit(&queue, Entry(2));
  EXPECT_THAT(queue.Admit(Entry(3), absl::Seconds(1)),
              StatusIs(absl::StatusCode::kResourceExhausted));
}

TEST(SampleQueueTest, KnowsWhoseDeadlineHasPassed) {
  SampleQueue queue{QueueLimits()};
  Admit(&queue, Entry(1, 0, kNow + absl::Seconds(2)));
  Admit(&queue, Entry(2, 0, kNow));
  Admit(&queue, Entry(3));
  EXPECT_THAT(queue.Expired(kNow), ElementsAre(2));
  EXPECT_EQ(queue.NextDeadline(), kNow);
  queue.Take(2);
  EXPECT_EQ(queue.NextDeadline(), kNow + absl::Seconds(2));
}

TEST(SampleQueueTest, TakesOutWhatWaitsAndWhatIsDispatched) {
  SampleQueue queue{QueueLimits()};
  Admit(&queue, Entry(1));
  Admit(&queue, Entry(2));
  ASSERT_EQ(queue.Next(kNow)->id, 1);
  EXPECT_EQ(queue.Take(1).id, 1);
  EXPECT_EQ(queue.Take(2).id, 2);
  EXPECT_TRUE(queue.empty());
  EXPECT_EQ(queue.Next(kNow), nullptr);
  EXPECT_EQ(queue.samples(), 0);
  EXPECT_EQ(queue.Find(1), nullptr);
}

}  // namespace
}  // namespace retort::batching
