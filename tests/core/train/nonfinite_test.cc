#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/data/tensor_dataset.h"
#include "core/io/model_file.h"
#include "core/train/trainer.h"
#include "tests/core/distill/tiny_models.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

// What becomes of runs whose numbers are not finite.
namespace retort::train {
namespace {

using ::retort::testing::IsOk;
using ::retort::testing::StatusIs;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// What is wrong with a step. The student's gradients are in its grad().
using Harm = std::function<void(const StepInput&, nn::EdmDenoiser&, Metrics*)>;

void SpoilGradients(nn::EdmDenoiser& net) {
  for (const at::Tensor& p : net.parameters()) {
    if (p.grad().defined()) {
      p.grad().fill_(std::numeric_limits<float>::quiet_NaN());
    }
  }
}

class HarmedObjective : public Objective {
 public:
  HarmedObjective(std::unique_ptr<Objective> inner,
                  std::shared_ptr<nn::EdmDenoiser> student, Harm harm,
                  std::vector<int64_t>* seen)
      : inner_(std::move(inner)),
        student_(std::move(student)),
        harm_(std::move(harm)),
        seen_(seen) {}

  Metrics TakeGradients(const StepInput& input) override {
    seen_->push_back(input.step);
    Metrics metrics = inner_->TakeGradients(input);
    harm_(input, *student_, &metrics);
    return metrics;
  }

 private:
  const std::unique_ptr<Objective> inner_;
  const std::shared_ptr<nn::EdmDenoiser> student_;
  const Harm harm_;
  std::vector<int64_t>* const seen_;
};

class TickListener : public ProgressListener {
 public:
  void OnTick(const Tick& tick) override {
    last = tick;
    ++ticks;
    if (at_tick) at_tick();
  }
  void OnWarning(const std::string& message) override {
    warnings.push_back(message);
  }

  std::function<void()> at_tick;
  Tick last;
  int ticks = 0;
  std::vector<std::string> warnings;
};

class NonfiniteTest : public ::testing::Test {
 protected:
  NonfiniteTest() {
    auto generator = at::make_generator<at::CPUGeneratorImpl>(1);
    dataset_ = *data::TensorDataset::Create(
        "tiny", at::randint(0, 256, {20, 1, 8, 8}, generator).to(at::kByte),
        at::arange(20) % 3, 3);
    options_.iterations = 8;
    options_.batch_size = 4;
    options_.log_every = 1;
    options_.checkpoint_every = 2;
    options_.max_nonfinite_steps = 2;
    options_.learning_rate = 1e-3;
  }

  // Gradients are NaN at these positions of the stream.
  void SpoilAt(std::set<int64_t> bad) {
    harm_ = [bad](const StepInput& input, nn::EdmDenoiser& net, Metrics*) {
      if (bad.count(input.step) > 0) SpoilGradients(net);
    };
  }

  absl::StatusOr<TrainResult> Run(const std::string& job) {
    TrainParts parts;
    parts.dataset = dataset_.get();
    parts.job_dir = base::JobDir(dir_.path() + "/" + job);
    parts.listener = &listener_;
    parts.control = &control_;
    parts.student =
        nn::CreateDenoiser(retort::testing::TinyConfig(false, 3), 1);
    parts.wrap_objective = [&](std::unique_ptr<Objective> inner) {
      return std::make_unique<HarmedObjective>(std::move(inner), parts.student,
                                               harm_, &seen_);
    };
    auto trainer = Trainer::Create(options_, parts);
    if (!trainer.ok()) return trainer.status();
    return (*trainer)->Run();
  }

  io::TensorMap WeightsOf(const std::string& job) {
    return io::ReadModelDir(base::JobDir(dir_.path() + "/" + job).result_dir())
        .value()
        .tensors;
  }

  void ExpectSameWeights(const std::string& a, const std::string& b) {
    const io::TensorMap first = WeightsOf(a), second = WeightsOf(b);
    for (const auto& [name, tensor] : first) {
      EXPECT_TRUE(tensor.equal(second.at(name))) << name;
    }
  }

  retort::testing::TempDir dir_;
  std::unique_ptr<data::Dataset> dataset_;
  TrainOptions options_;
  TickListener listener_;
  ControlFlags control_;
  Harm harm_ = [](const StepInput&, nn::EdmDenoiser&, Metrics*) {};
  std::vector<int64_t> seen_;  // positions in the stream, in order
};

TEST_F(NonfiniteTest, SkipLeavesTheStepOutAndGoesOn) {
  SpoilAt({2, 4});
  ASSERT_THAT(Run("job"), IsOk());
  EXPECT_EQ(listener_.last.skipped, 2);
  EXPECT_EQ(listener_.last.step, 8);
}

TEST_F(NonfiniteTest, RollBackGoesOnWithTheDataAfterTheBadStretch) {
  options_.nonfinite_policy = NonfinitePolicy::kRollBack;
  SpoilAt({5, 6});
  ASSERT_THAT(Run("job"), IsOk());
  // Steps 0 to 3, then bad ones up to 6; from step 4 again with what follows.
  EXPECT_THAT(seen_, ElementsAre(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10));
  EXPECT_EQ(listener_.last.step, 8);
  EXPECT_THAT(listener_.warnings,
              Contains(HasSubstr("went back to the checkpoint of step 4")));
}

TEST_F(NonfiniteTest, RollBackReachesTheSameWeightsWhereverItIsInterrupted) {
  options_.nonfinite_policy = NonfinitePolicy::kRollBack;
  options_.keep_checkpoints = 1;
  SpoilAt({1, 2, 6, 7});
  ASSERT_THAT(Run("whole"), IsOk());
  const int ticks = listener_.ticks;
  ASSERT_GT(ticks, 8);
  for (int stop = 1; stop < ticks; ++stop) {
    for (const bool pause : {true, false}) {
      const std::string job = absl::StrCat(stop, pause ? "paused" : "killed");
      listener_.ticks = 0;
      listener_.at_tick = [&] {
        if (listener_.ticks != stop) return;
        if (!pause) throw std::runtime_error("killed");
        control_.pause = true;
      };
      Run(job).status().IgnoreError();
      listener_.at_tick = nullptr;
      control_.pause = false;
      ASSERT_THAT(Run(job), IsOk());
      ExpectSameWeights("whole", job);
    }
  }
}

TEST_F(NonfiniteTest, ThreeRollbacksWithoutANewCheckpointAreTheEnd) {
  options_.nonfinite_policy = NonfinitePolicy::kRollBack;
  harm_ = [](const StepInput& input, nn::EdmDenoiser& net, Metrics*) {
    if (input.step >= 3) SpoilGradients(net);
  };
  EXPECT_THAT(Run("job"),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       AllOf(HasSubstr("3 times to the checkpoint of step 2"),
                             HasSubstr("learning_rate"))));
  // 0, 1, 2, and two bad ones for each of the first time and the rollbacks.
  EXPECT_EQ(seen_.size(), 3u + 4 * 2);
}

TEST_F(NonfiniteTest, TheRollbacksOfAnInterruptedRunCount) {
  options_.nonfinite_policy = NonfinitePolicy::kRollBack;
  harm_ = [](const StepInput& input, nn::EdmDenoiser& net, Metrics*) {
    if (input.step >= 3) SpoilGradients(net);
  };
  listener_.at_tick = [this] { control_.pause = true; };
  absl::Status status;
  int runs = 0;
  for (; status.ok() && runs < 30; ++runs) {
    control_.pause = false;
    status = Run("job").status();
  }
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kFailedPrecondition,
                               HasSubstr("3 times")));
  EXPECT_GT(runs, 4);
}

TEST_F(NonfiniteTest, ANewGoodCheckpointGivesNewRollbacks) {
  options_.nonfinite_policy = NonfinitePolicy::kRollBack;
  options_.max_nonfinite_steps = 1;
  options_.iterations = 16;
  SpoilAt({3, 7, 11, 15, 19});
  ASSERT_THAT(Run("job"), IsOk());
  EXPECT_EQ(listener_.last.step, 16);
  EXPECT_EQ(listener_.last.skipped, 5);
}

TEST_F(NonfiniteTest, ACheckpointOfBrokenWeightsIsNoneToGoBackTo) {
  options_.nonfinite_policy = NonfinitePolicy::kRollBack;
  options_.iterations = 6;
  // Step 3 breaks the weights, which its own numbers do not show; the
  // checkpoint of step 4 would hold them.
  harm_ = [](const StepInput& input, nn::EdmDenoiser& net, Metrics*) {
    if (input.step != 3) return;
    torch::NoGradGuard no_grad;
    net.parameters()[0].fill_(std::numeric_limits<float>::infinity());
  };
  ASSERT_THAT(Run("job"), IsOk());
  EXPECT_THAT(listener_.warnings,
              Contains(HasSubstr("went back to the checkpoint of step 2")));
}

TEST_F(NonfiniteTest, ReplaceTakesTheStepWithNumbersInstead) {
  options_.iterations = 3;
  options_.checkpoint_every = 0;
  const auto spoil_one = [](const StepInput& input, nn::EdmDenoiser& net,
                            Metrics*) {
    if (input.step != 2) return;
    net.parameters()[0].grad().view(-1)[0] =
        std::numeric_limits<float>::quiet_NaN();
  };
  harm_ = spoil_one;
  ASSERT_THAT(Run("skip"), IsOk());
  EXPECT_EQ(listener_.last.skipped, 1);
  options_.nonfinite_policy = NonfinitePolicy::kReplace;
  ASSERT_THAT(Run("replace"), IsOk());
  EXPECT_EQ(listener_.last.skipped, 0);
  EXPECT_THAT(listener_.warnings,
              Contains(HasSubstr("its gradient was mended")));
  harm_ = [](const StepInput& input, nn::EdmDenoiser& net, Metrics*) {
    if (input.step == 2) net.parameters()[0].grad().view(-1)[0] = 0;
  };
  ASSERT_THAT(Run("zero"), IsOk());
  ExpectSameWeights("replace", "zero");
}

TEST_F(NonfiniteTest, ReplaceSkipsALossThatIsNoNumber) {
  options_.nonfinite_policy = NonfinitePolicy::kReplace;
  harm_ = [](const StepInput& input, nn::EdmDenoiser&, Metrics* metrics) {
    if (input.step == 2) (*metrics)["loss"] = std::nan("");
  };
  ASSERT_THAT(Run("job"), IsOk());
  EXPECT_EQ(listener_.last.skipped, 1);
}

TEST_F(NonfiniteTest, ReplaceDoesNotRunOnDeadGradientsForEver) {
  options_.nonfinite_policy = NonfinitePolicy::kReplace;
  options_.iterations = 1000;
  harm_ = [](const StepInput&, nn::EdmDenoiser& net, Metrics*) {
    SpoilGradients(net);
  };
  EXPECT_THAT(Run("job"), StatusIs(absl::StatusCode::kFailedPrecondition,
                                   HasSubstr("in a row")));
  EXPECT_EQ(seen_.size(), 2u);
}

class LossScaleRunTest : public NonfiniteTest {
 protected:
  LossScaleRunTest() {
    options_.precision = Precision::kFp16;
    // Gradients that overflow above 1024: six halvings from 2^16.
    harm_ = [](const StepInput& input, nn::EdmDenoiser& net, Metrics*) {
      if (input.loss_scale > 1024) SpoilGradients(net);
    };
  }
};

TEST_F(LossScaleRunTest, ShrinksUntilGradientsFitWithoutCountingAsBroken) {
  options_.iterations = 9;
  ASSERT_THAT(Run("job"), IsOk());
  EXPECT_EQ(listener_.last.skipped, 6);
  EXPECT_EQ(listener_.last.metrics.at("loss_scale"), 1024);
  EXPECT_TRUE(listener_.warnings.empty());  // that is how it finds its place
}

TEST_F(LossScaleRunTest, WarnsWhenItHasNoRoomLeft) {
  options_.loss_scale.initial = 4;
  options_.iterations = 3;
  harm_ = [](const StepInput& input, nn::EdmDenoiser& net, Metrics*) {
    if (input.loss_scale > 1) SpoilGradients(net);
  };
  ASSERT_THAT(Run("job"), IsOk());
  EXPECT_THAT(listener_.warnings, ElementsAre(HasSubstr("halved to 1, its")));
}

TEST_F(LossScaleRunTest, ItsStateIsInTheCheckpoint) {
  options_.iterations = 9;
  ASSERT_THAT(Run("whole"), IsOk());
  for (const int stop : {3, 7}) {
    const std::string job = absl::StrCat(stop);
    listener_.ticks = 0;
    listener_.at_tick = [&] { control_.pause = listener_.ticks == stop; };
    ASSERT_THAT(Run(job), IsOk());
    listener_.at_tick = nullptr;
    control_.pause = false;
    ASSERT_THAT(Run(job), IsOk());
    ExpectSameWeights("whole", job);
  }
}

TEST_F(LossScaleRunTest, GradientsThatNeverFitEndTheRun) {
  options_.iterations = 1000;
  harm_ = [](const StepInput&, nn::EdmDenoiser& net, Metrics*) {
    SpoilGradients(net);
  };
  EXPECT_THAT(Run("job"), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_EQ(seen_.size(), 16u + 2);
}

}  // namespace
}  // namespace retort::train
