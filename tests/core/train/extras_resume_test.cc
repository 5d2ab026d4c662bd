#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "core/data/tensor_dataset.h"
#include "core/io/model_file.h"
#include "core/train/trainer.h"
#include "tests/core/distill/tiny_models.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

// Augmentation and the discriminator in whole runs, interrupted and not.
namespace retort::train {
namespace {

using ::retort::testing::IsOk;
using ::retort::testing::StatusIs;
using ::retort::testing::TinyConfig;
using ::retort::testing::TinyNet;
using ::testing::HasSubstr;

class ExtrasListener : public ProgressListener {
 public:
  void OnTick(const Tick& tick) override {
    ticks.push_back(tick);
    if (at_tick) at_tick(tick.step);
  }
  std::function<void(int64_t)> at_tick;
  std::vector<Tick> ticks;
};

class ExtrasTest : public ::testing::Test {
 protected:
  ExtrasTest() {
    auto generator = at::make_generator<at::CPUGeneratorImpl>(1);
    dataset_ = *data::TensorDataset::Create(
        "tiny", at::randint(0, 256, {20, 1, 8, 8}, generator).to(at::kByte),
        at::arange(20) % 3, 3);
    options_.iterations = 6;
    options_.batch_size = 4;
    options_.log_every = 1;
    options_.checkpoint_every = 2;
    options_.learning_rate = 1e-2;
  }

  TrainParts Parts(const std::string& job) {
    TrainParts parts;
    parts.dataset = dataset_.get();
    parts.job_dir = base::JobDir(dir_.path() + "/" + job);
    parts.listener = &listener_;
    if (options_.method == Method::kEdm) {
      nn::NetworkConfig config = TinyConfig(false, 3);
      config.augment_dim = augment_dim_;
      parts.student = nn::CreateDenoiser(config, 1);
      return parts;
    }
    parts.teacher = TinyNet(3, false, 3);
    parts.student = *MakeStudent(options_.method, *parts.teacher, 1);
    parts.jump = std::make_shared<math::CtmJump>();
    return parts;
  }

  // Runs a job, and keeps its last state.
  absl::StatusOr<TrainResult> Run(const TrainParts& parts) {
    auto trainer = Trainer::Create(options_, parts);
    if (!trainer.ok()) return trainer.status();
    auto result = (*trainer)->Run();
    state_ = (*trainer)->state().ToCheckpoint({}).tensors;
    for (auto& [name, t] : state_) t = t.clone();
    return result;
  }

  // Runs a job, which is killed at a step and started again from its last
  // checkpoint.
  absl::StatusOr<TrainResult> RunInterrupted(const std::string& job,
                                             int64_t at) {
    listener_.at_tick = [at](int64_t step) {
      if (step == at) throw std::runtime_error("killed");
    };
    EXPECT_THAT(Run(Parts(job)),
                StatusIs(absl::StatusCode::kInternal, HasSubstr("killed")));
    listener_.at_tick = nullptr;
    return Run(Parts(job));
  }

  void ExpectInterruptionChangesNothing() {
    ASSERT_THAT(Run(Parts("whole")), IsOk());
    const io::TensorMap whole = state_;
    ASSERT_THAT(RunInterrupted("parts", 3), IsOk());
    ASSERT_EQ(whole.size(), state_.size());
    for (const auto& [name, t] : whole) {
      EXPECT_TRUE(t.equal(state_.at(name))) << name;
    }
  }

  retort::testing::TempDir dir_;
  std::unique_ptr<data::Dataset> dataset_;
  TrainOptions options_;
  int64_t augment_dim_ = 0;
  ExtrasListener listener_;
  io::TensorMap state_;
};

TEST_F(ExtrasTest, AnAugmentedRunThatWasKilledGivesTheSameBytes) {
  augment_dim_ = 9;
  options_.augment_probability = 0.5;
  options_.accumulation = 2;
  ExpectInterruptionChangesNothing();
  EXPECT_GT(state_.at("optimizer.exp_avg.model.map_augment.weight")
                .norm()
                .item<double>(),
            0);
}

TEST_F(ExtrasTest, AugmentationChangesWhatIsLearntAndOnlyThen) {
  augment_dim_ = 9;
  ASSERT_THAT(Run(Parts("without")), IsOk());
  const at::Tensor without = state_.at("net.model.map_layer0.weight");
  options_.augment_probability = 0.5;
  ASSERT_THAT(Run(Parts("with")), IsOk());
  EXPECT_FALSE(state_.at("net.model.map_layer0.weight").equal(without));
}

TEST_F(ExtrasTest, ANetworkWithoutTheLabelCannotBeAugmented) {
  options_.augment_probability = 0.5;
  EXPECT_THAT(
      Trainer::Create(options_, Parts("job")),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("augment_dim")));
}

TEST_F(ExtrasTest, AStudentKeepsTheLabelOfItsTeacherAndTrainsWithoutIt) {
  options_.method = Method::kCm;
  TrainParts parts = Parts("job");
  nn::NetworkConfig config = TinyConfig(false, 3);
  config.augment_dim = 9;
  parts.teacher = nn::CreateDenoiser(config, 3);
  parts.student = *MakeStudent(Method::kCm, *parts.teacher, 1);
  EXPECT_THAT(Run(parts), IsOk());
  EXPECT_EQ(state_.at("optimizer.exp_avg.model.map_augment.weight")
                .norm()
                .item<double>(),
            0);
  options_.augment_probability = 0.5;
  EXPECT_THAT(Trainer::Create(options_, parts),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("augment_probability")));
}

class GanRunTest : public ExtrasTest,
                   public ::testing::WithParamInterface<Method> {
 protected:
  GanRunTest() {
    options_.method = GetParam();
    options_.gan.weight = 1;
    options_.gan.channels = 4;
    options_.gan.start_step = 1;
    options_.gan.learning_rate = 1e-3;
  }
};

TEST_P(GanRunTest, ARunThatWasKilledGivesTheSameBytes) {
  options_.accumulation = 2;
  ExpectInterruptionChangesNothing();
  EXPECT_GT(
      state_.at("discriminator.exp_avg_sq.output.weight").norm().item<double>(),
      0);
}

TEST_P(GanRunTest, InFloat16Too) {
  options_.precision = Precision::kFp16;
  ExpectInterruptionChangesNothing();
}

TEST_P(GanRunTest, TellsItsNumbersAndKeepsTheDiscriminatorOutOfTheModel) {
  RETORT_ASSERT_OK_AND_ASSIGN(const TrainResult result, Run(Parts("job")));
  const Metrics& first = listener_.ticks.front().metrics;
  const Metrics& last = listener_.ticks.back().metrics;
  for (const char* name : {"loss_gan", "loss_discriminator", "r1"}) {
    EXPECT_TRUE(std::isfinite(last.at(name))) << name;
  }
  EXPECT_EQ(first.at("gan_weight"), 0);
  EXPECT_GT(last.at("gan_weight"), 0);
  RETORT_ASSERT_OK_AND_ASSIGN(const auto model,
                              io::ReadModelDir(result.model_dir));
  RETORT_ASSERT_OK_AND_ASSIGN(
      const auto config, nn::NetworkConfig::FromJson(model.manifest.network));
  EXPECT_THAT(nn::CreateDenoiser(config, 0)->LoadStateDict(model.tensors),
              IsOk());
}

TEST_P(GanRunTest, RefusesToResumeWithOtherSettings) {
  options_.iterations = 2;
  ASSERT_THAT(Run(Parts("job")), IsOk());
  options_.gan.r1_weight = 1;
  EXPECT_THAT(Run(Parts("job")), StatusIs(absl::StatusCode::kFailedPrecondition,
                                          HasSubstr("gan.r1_weight")));
}

// Makes a gradient NaN in a step.
class SpoilingObjective : public Objective {
 public:
  SpoilingObjective(std::unique_ptr<Objective> inner,
                    std::function<at::Tensor()> weight)
      : inner_(std::move(inner)), weight_(std::move(weight)) {}
  Metrics TakeGradients(const StepInput& input) override {
    const Metrics metrics = inner_->TakeGradients(input);
    if (input.step == 3) {
      weight_().mutable_grad().fill_(std::numeric_limits<float>::quiet_NaN());
    }
    return metrics;
  }

 private:
  const std::unique_ptr<Objective> inner_;
  const std::function<at::Tensor()> weight_;
};

TEST_P(GanRunTest, ADiscriminatorsGradientThatIsNoNumberIsNotStepped) {
  for (const auto policy : {NonfinitePolicy::kSkip, NonfinitePolicy::kReplace,
                            NonfinitePolicy::kRollBack}) {
    options_.nonfinite_policy = policy;
    options_.max_nonfinite_steps =
        policy == NonfinitePolicy::kRollBack ? 1 : 20;
    TrainParts parts = Parts("job" + std::to_string(static_cast<int>(policy)));
    Trainer* running = nullptr;
    parts.wrap_objective = [&](std::unique_ptr<Objective> inner) {
      return std::make_unique<SpoilingObjective>(std::move(inner), [&] {
        return running->state().discriminator_parameters()[0];
      });
    };
    RETORT_ASSERT_OK_AND_ASSIGN(const auto trainer,
                                Trainer::Create(options_, parts));
    running = trainer.get();
    ASSERT_THAT(trainer->Run(), IsOk());
    EXPECT_TRUE(trainer->state().Good());
    EXPECT_EQ(trainer->state().counters.skipped,
              policy == NonfinitePolicy::kReplace ? 0 : 1);
    EXPECT_EQ(trainer->state().counters.skip_ahead,
              policy == NonfinitePolicy::kRollBack ? 2 : 0);
  }
}

INSTANTIATE_TEST_SUITE_P(Methods, GanRunTest,
                         ::testing::Values(Method::kCm, Method::kCtm),
                         [](const auto& info) {
                           return MethodName(info.param);
                         });

}  // namespace
}  // namespace retort::train
