#include "core/train/checkpoint_writer.h"

#include <errno.h>
#include <gtest/gtest.h>

#include <string>

#include "core/base/write_fault.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace retort::train {
namespace {

using ::retort::testing::IsOk;
using ::retort::testing::StatusIs;

class CheckpointWriterTest : public ::testing::Test {
 protected:
  retort::testing::TempDir dir_;
  CheckpointStore store_{base::JobDir(dir_.path()), {2}, [](const auto&) {}};
  at::Tensor weight_ = at::ones({1000});
};

TEST_F(CheckpointWriterTest, WritesWhatWasThereWhenItStarted) {
  CheckpointWriter writer(&store_);
  writer.Start({4, {{"w", weight_}}, {{"note", "x"}}}, /*remove_old=*/true);
  EXPECT_EQ(writer.under_way(), 4);
  weight_.fill_(7);  // the training goes on
  const auto written = writer.Wait();
  ASSERT_TRUE(written.has_value());
  EXPECT_EQ(written->step, 4);
  ASSERT_THAT(written->manifest, IsOk());
  RETORT_ASSERT_OK_AND_ASSIGN(const Checkpoint loaded, store_.Load(4));
  EXPECT_TRUE(loaded.tensors.at("w").equal(at::ones({1000})));
  EXPECT_FALSE(writer.under_way().has_value());
}

TEST_F(CheckpointWriterTest, TakesItsCopyAnewEachTime) {
  CheckpointWriter writer(&store_);
  for (int64_t step : {1, 2}) {
    weight_.fill_(static_cast<double>(step));
    writer.Start({step, {{"w", weight_}}, {}}, /*remove_old=*/true);
    ASSERT_THAT(writer.Wait()->manifest, IsOk());
  }
  EXPECT_EQ(store_.Load(1)->tensors.at("w")[0].item<float>(), 1);
  EXPECT_EQ(store_.Load(2)->tensors.at("w")[0].item<float>(), 2);
}

TEST_F(CheckpointWriterTest, TellsOfAFullDisk) {
  base::ScopedWriteFault full_disk(/*bytes=*/500, ENOSPC);
  CheckpointWriter writer(&store_);
  writer.Start({1, {{"w", weight_}}, {}}, /*remove_old=*/true);
  EXPECT_THAT(writer.Wait()->manifest,
              StatusIs(absl::StatusCode::kResourceExhausted));
}

TEST_F(CheckpointWriterTest, IsWrittenWhenTheWriterHasGone) {
  {
    CheckpointWriter writer(&store_);
    writer.Start({1, {{"w", weight_}}, {}}, /*remove_old=*/true);
  }
  EXPECT_THAT(store_.Load(1), IsOk());
}

TEST_F(CheckpointWriterTest, HasNothingToTellBeforeItStarted) {
  CheckpointWriter writer(&store_);
  EXPECT_FALSE(writer.Take().has_value());
  EXPECT_FALSE(writer.Wait().has_value());
}

}  // namespace
}  // namespace retort::train
