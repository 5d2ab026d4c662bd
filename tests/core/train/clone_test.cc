// Runs that begin with another run's checkpoint.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "core/base/status_macros.h"
#include "core/data/tensor_dataset.h"
#include "core/train/trainer.h"
#include "tests/core/distill/tiny_models.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace retort::train {
namespace {

using ::retort::testing::IsOk;
using ::retort::testing::StatusIs;
using ::retort::testing::TinyConfig;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class StepListener : public ProgressListener {
 public:
  void OnTick(const Tick& tick) override { steps.push_back(tick.step); }
  std::vector<int64_t> steps;
};

class CloneTest : public ::testing::Test {
 protected:
  CloneTest() {
    auto generator = at::make_generator<at::CPUGeneratorImpl>(1);
    dataset_ = *data::TensorDataset::Create(
        "tiny", at::randint(0, 256, {20, 1, 8, 8}, generator).to(at::kByte),
        at::arange(20) % 3, 3);
    options_.iterations = 3;
    options_.batch_size = 4;
    options_.log_every = 1;
    options_.checkpoint_every = 0;
  }

  absl::StatusOr<TrainResult> Run(const std::string& job,
                                  const std::string& start_from) {
    TrainParts parts;
    parts.dataset = dataset_.get();
    parts.job_dir = base::JobDir(dir_.path() + "/" + job);
    parts.student = nn::CreateDenoiser(config_, 1);
    parts.listener = &listener_;
    parts.start_from = start_from;
    RETORT_ASSIGN_OR_RETURN(trainer_, Trainer::Create(options_, parts));
    return trainer_->Run();
  }

  std::string CheckpointOf(const std::string& job, int64_t step) {
    return base::JobDir(dir_.path() + "/" + job).checkpoint_dir(step);
  }

  io::TensorMap Tensors() { return trainer_->state().ToCheckpoint({}).tensors; }

  retort::testing::TempDir dir_;
  std::unique_ptr<data::Dataset> dataset_;
  nn::NetworkConfig config_ = TinyConfig(false, 3);
  TrainOptions options_;
  StepListener listener_;
  std::unique_ptr<Trainer> trainer_;
};

TEST_F(CloneTest, WithoutChangesItIsTheRunItself) {
  options_.iterations = 6;
  ASSERT_THAT(Run("whole", ""), IsOk());
  const io::TensorMap whole = Tensors();
  options_.iterations = 3;
  ASSERT_THAT(Run("origin", ""), IsOk());
  options_.iterations = 6;
  listener_.steps.clear();
  ASSERT_THAT(Run("clone", CheckpointOf("origin", 3)), IsOk());
  EXPECT_THAT(listener_.steps, ElementsAre(4, 5, 6));
  for (const auto& [name, tensor] : Tensors()) {
    EXPECT_TRUE(tensor.equal(whole.at(name))) << name;
  }
}

TEST_F(CloneTest, OtherSettingsCountFromThere) {
  ASSERT_THAT(Run("origin", ""), IsOk());
  options_.iterations = 5;
  options_.learning_rate = 1e-2;
  options_.batch_size = 8;
  options_.optimizer.name = "radam";
  options_.ema_rates = {0.9, 0.99};
  RETORT_ASSERT_OK_AND_ASSIGN(const TrainResult result,
                              Run("clone", CheckpointOf("origin", 3)));
  EXPECT_EQ(result.step, 5);
  EXPECT_EQ(trainer_->state().counters.images, 3 * 4 + 2 * 8);
}

TEST_F(CloneTest, AnAverageThatItLacksBeginsAtItsWeights) {
  ASSERT_THAT(Run("origin", ""), IsOk());
  options_.iterations = 4;
  options_.ema_rates = {0.9, 0.0};
  ASSERT_THAT(Run("clone", CheckpointOf("origin", 3)), IsOk());
  const io::TensorMap tensors = Tensors();
  for (const auto& [key, tensor] : tensors) {
    if (key.rfind("ema.1.", 0) != 0) continue;
    // Rate 0: the weights themselves.
    EXPECT_TRUE(tensor.equal(tensors.at("net." + key.substr(6)))) << key;
  }
}

TEST_F(CloneTest, GoesOnFromItsOwnCheckpointOnceItHasOne) {
  ASSERT_THAT(Run("origin", ""), IsOk());
  options_.iterations = 4;
  ASSERT_THAT(Run("clone", CheckpointOf("origin", 3)), IsOk());
  options_.iterations = 5;
  listener_.steps.clear();
  ASSERT_THAT(Run("clone", "/no/longer/there"), IsOk());
  EXPECT_THAT(listener_.steps, ElementsAre(5));
}

TEST_F(CloneTest, RefusesAnotherNetwork) {
  ASSERT_THAT(Run("origin", ""), IsOk());
  options_.iterations = 4;
  config_.model_channels = 16;
  EXPECT_THAT(Run("clone", CheckpointOf("origin", 3)),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("network.model_channels was 8 and is 16")));
}

TEST_F(CloneTest, RefusesToHaveNothingLeftToDo) {
  ASSERT_THAT(Run("origin", ""), IsOk());
  EXPECT_THAT(Run("clone", CheckpointOf("origin", 3)),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("the checkpoint to begin with is of step 3")));
}

TEST_F(CloneTest, SaysWhichCheckpointIsMissing) {
  EXPECT_THAT(
      Run("clone", CheckpointOf("origin", 3)),
      StatusIs(absl::StatusCode::kNotFound, HasSubstr("origin/checkpoints")));
}

}  // namespace
}  // namespace retort::train
