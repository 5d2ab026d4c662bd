#include "core/train/checkpoint.h"

#include <errno.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <string>
#include <vector>

#include "core/base/file.h"
#include "core/base/write_fault.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace retort::train {
namespace {

using ::retort::testing::IsOk;
using ::retort::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class CheckpointTest : public ::testing::Test {
 protected:
  Checkpoint Make(int64_t step) {
    return {step,
            {{"net.w", at::full({256}, static_cast<double>(step))}},
            {{"note", "hello"}}};
  }
  CheckpointStore Store(int64_t keep = 3) {
    return CheckpointStore(job_, {keep}, [this](const std::string& message) {
      warnings_.push_back(message);
    });
  }
  void Overwrite(const std::string& path, int64_t at) {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(at);
    file.put('#');
  }

  retort::testing::TempDir dir_;
  base::JobDir job_{dir_.path()};
  std::vector<std::string> warnings_;
};

TEST_F(CheckpointTest, AJobWithoutCheckpointsHasNoNewest) {
  RETORT_ASSERT_OK_AND_ASSIGN(const auto newest, Store().LoadNewest());
  EXPECT_FALSE(newest.has_value());
}

TEST_F(CheckpointTest, LoadsWhatWasSaved) {
  ASSERT_THAT(Store().Save(Make(12)), IsOk());
  RETORT_ASSERT_OK_AND_ASSIGN(const auto newest, Store().LoadNewest());
  EXPECT_EQ(newest->step, 12);
  EXPECT_TRUE(newest->tensors.at("net.w").equal(Make(12).tensors.at("net.w")));
  EXPECT_EQ(newest->state["note"], "hello");
}

TEST_F(CheckpointTest, KeepsTheNewestAndRemovesTheRest) {
  CheckpointStore store = Store(/*keep=*/2);
  for (int64_t step : {1, 2, 3, 4}) ASSERT_THAT(store.Save(Make(step)), IsOk());
  EXPECT_THAT(*job_.ListCheckpoints(), ElementsAre(3, 4));
}

TEST_F(CheckpointTest, AsksTheFenceBeforeItRemovesAny) {
  struct Ended {};
  int64_t may_pass = 100;
  const Fence fence{[&may_pass] {
    if (--may_pass < 0) throw Ended();
  }};
  CheckpointStore store(
      job_, {.newest = 1}, [](const auto&) {}, fence);
  ASSERT_THAT(store.Save(Make(1)), IsOk());
  may_pass = 2;  // one is begun and gets its name
  EXPECT_THROW(store.Save(Make(2)).IgnoreError(), Ended);
  EXPECT_THAT(*job_.ListCheckpoints(), ElementsAre(1, 2));
  EXPECT_THROW(store.RemoveAfter(1).IgnoreError(), Ended);
  EXPECT_THAT(*job_.ListCheckpoints(), ElementsAre(1, 2));
}

// The metric of step n is |n - 5|.
class RetentionTest : public CheckpointTest {
 protected:
  void SaveUpTo(int64_t last, const Retention& retention) {
    CheckpointStore store(job_, retention, [](const std::string&) {});
    for (int64_t step = 1; step <= last; ++step) {
      Checkpoint checkpoint = Make(step);
      SetCheckpointMetric("loss", std::abs(step - 5.0), &checkpoint.state);
      ASSERT_THAT(store.Save(checkpoint), IsOk());
    }
  }
};

TEST_F(RetentionTest, KeepsThoseOfEveryNthStepForGood) {
  SaveUpTo(8, {.newest = 1, .every = 3});
  EXPECT_THAT(*job_.ListCheckpoints(), ElementsAre(3, 6, 8));
}

TEST_F(RetentionTest, KeepsTheBestOnes) {
  SaveUpTo(9, {.newest = 1, .best = 2, .metric = "loss"});
  // 6 is as good as 4, and newer.
  EXPECT_THAT(*job_.ListCheckpoints(), ElementsAre(5, 6, 9));
}

TEST_F(RetentionTest, KnowsTheMetricsOfCheckpointsFromBefore) {
  SaveUpTo(6, {.newest = 6});
  CheckpointStore store(job_, {.newest = 1, .best = 1, .metric = "loss"},
                        [](const std::string&) {});
  ASSERT_THAT(store.Save(Make(7)), IsOk());  // without a metric
  EXPECT_THAT(*job_.ListCheckpoints(), ElementsAre(5, 7));
}

TEST_F(RetentionTest, AMetricOfAnotherNameDoesNotCount) {
  SaveUpTo(4, {.newest = 1, .best = 2, .metric = "validation_fd_1"});
  EXPECT_THAT(*job_.ListCheckpoints(), ElementsAre(4));
}

TEST_F(CheckpointTest, SavingTheSameStepTwiceReplacesIt) {
  CheckpointStore store = Store();
  ASSERT_THAT(store.Save(Make(1)), IsOk());
  ASSERT_THAT(store.Save(Make(1)), IsOk());
  EXPECT_THAT(store.LoadNewest(), IsOk());
}

TEST_F(CheckpointTest, FallsBackToTheOlderOneAndSaysSo) {
  CheckpointStore store = Store();
  ASSERT_THAT(store.Save(Make(1)), IsOk());
  ASSERT_THAT(store.Save(Make(2)), IsOk());
  Overwrite(store.Path(2) + "/tensors.safetensors", 700);
  RETORT_ASSERT_OK_AND_ASSIGN(const auto newest, store.LoadNewest());
  EXPECT_EQ(newest->step, 1);
  ASSERT_EQ(warnings_.size(), 1u);
  EXPECT_THAT(warnings_[0], HasSubstr("going back to step 1"));
  EXPECT_THAT(warnings_[0], HasSubstr("SHA-256"));
}

TEST_F(CheckpointTest, NoticesAManifestWhoseStateWasChanged) {
  CheckpointStore store = Store();
  ASSERT_THAT(store.Save(Make(1)), IsOk());
  const std::string path = store.Path(1) + "/manifest.json";
  std::string text = *base::ReadFile(path);
  text.replace(text.find("hello"), 5, "hallo");
  ASSERT_THAT(base::AtomicWriteFile(path, text), IsOk());
  EXPECT_THAT(store.Load(1), StatusIs(absl::StatusCode::kDataLoss));
}

TEST_F(CheckpointTest, MissingManifestIsDamage) {
  CheckpointStore store = Store();
  ASSERT_THAT(store.Save(Make(1)), IsOk());
  ASSERT_THAT(base::RemoveTree(store.Path(1) + "/manifest.json"), IsOk());
  EXPECT_THAT(store.Load(1), StatusIs(absl::StatusCode::kDataLoss));
}

TEST_F(CheckpointTest, AllDamagedIsAnErrorNotAFreshStart) {
  CheckpointStore store = Store();
  ASSERT_THAT(store.Save(Make(1)), IsOk());
  Overwrite(store.Path(1) + "/tensors.safetensors", 700);
  EXPECT_THAT(store.LoadNewest(),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("are damaged")));
}

TEST_F(CheckpointTest, FullDiskLeavesTheOlderOnesAndNoRubbish) {
  CheckpointStore store = Store(/*keep=*/1);
  ASSERT_THAT(store.Save(Make(1)), IsOk());
  {
    base::ScopedWriteFault full_disk(/*bytes=*/500, ENOSPC);
    EXPECT_THAT(store.Save(Make(2)),
                StatusIs(absl::StatusCode::kResourceExhausted,
                         HasSubstr("checkpoint of step 2")));
  }
  EXPECT_EQ(store.LoadNewest().value()->step, 1);
  EXPECT_THAT(*base::ListDir(job_.checkpoints_dir()), ElementsAre("00000001"));
}

TEST_F(CheckpointTest, AHalfWrittenDirectoryIsIgnoredAndReplaced) {
  CheckpointStore store = Store();
  ASSERT_THAT(base::MakeDirs(Fence().Temporary(store.Path(5)) + "/junk"),
              IsOk());
  EXPECT_FALSE(store.LoadNewest().value().has_value());
  ASSERT_THAT(store.Save(Make(5)), IsOk());
  EXPECT_EQ(store.LoadNewest().value()->step, 5);
  EXPECT_FALSE(base::FileExists(store.Path(5) + "/junk"));
}

TEST_F(CheckpointTest, RefusesAFormatOfTheFuture) {
  CheckpointStore store = Store();
  ASSERT_THAT(store.Save(Make(1)), IsOk());
  const std::string path = store.Path(1) + "/manifest.json";
  std::string text = *base::ReadFile(path);
  const std::string key = "\"format_version\": 1";
  text.replace(text.find(key), key.size(), "\"format_version\": 9");
  ASSERT_THAT(base::AtomicWriteFile(path, text), IsOk());
  EXPECT_THAT(store.LoadNewest(),
              StatusIs(absl::StatusCode::kFailedPrecondition));
}

}  // namespace
}  // namespace retort::train
