#include "core/train/trainer.h"

#include <errno.h>
#include <gtest/gtest.h>

#include <functional>
#include <limits>
#include <stdexcept>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "absl/synchronization/notification.h"
#include "core/base/file.h"
#include "core/base/write_fault.h"
#include "core/data/tensor_dataset.h"
#include "core/io/model_file.h"
#include "core/nn/consistency_model.h"
#include "tests/core/distill/tiny_models.h"
#include "tests/support/fake_clock.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace retort::train {
namespace {

using ::retort::testing::IsOk;
using ::retort::testing::StatusIs;
using ::retort::testing::TinyConfig;
using ::retort::testing::TinyNet;
using ::testing::AllOf;
using ::testing::DoubleEq;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pointwise;

// Remembers what it heard, and does something at each tick.
class Recorder : public ProgressListener {
 public:
  void OnTick(const Tick& tick) override {
    ticks.push_back(tick);
    if (at_tick) at_tick(tick);
  }
  void OnCheckpoint(int64_t step, const std::string& directory,
                    const nlohmann::json& manifest) override {
    checkpoints.push_back(step);
  }
  void OnValidation(int64_t step, const Metrics& metrics) override {
    validations.push_back(step);
  }
  void OnWarning(const std::string& message) override {
    warnings.push_back(message);
    if (at_warning) at_warning();
  }

  std::function<void(const Tick&)> at_tick;
  std::function<void()> at_warning;
  std::vector<Tick> ticks;
  std::vector<int64_t> checkpoints;
  std::vector<int64_t> validations;
  std::vector<std::string> warnings;
};

class TrainerTest : public ::testing::Test {
 protected:
  TrainerTest() {
    auto generator = at::make_generator<at::CPUGeneratorImpl>(1);
    dataset_ = *data::TensorDataset::Create(
        "tiny", at::randint(0, 256, {20, 1, 8, 8}, generator).to(at::kByte),
        at::arange(20) % 3, 3);
    options_.iterations = 6;
    options_.batch_size = 4;
    options_.log_every = 1;
    options_.checkpoint_every = 0;
    options_.learning_rate = 1e-2;
  }

  // Everything of a run of `method` in its own job directory.
  TrainParts Parts(Method method, const std::string& job) {
    options_.method = method;
    TrainParts parts;
    parts.dataset = dataset_.get();
    parts.job_dir = base::JobDir(dir_.path() + "/" + job);
    parts.listener = &recorder_;
    parts.control = &control_;
    parts.clock = &clock_;
    nn::NetworkConfig config = TinyConfig(false, 3);
    config.dropout = 0.2;
    parts.student = nn::CreateDenoiser(config, 1);
    if (method == Method::kEdm) return parts;
    parts.teacher = TinyNet(3, false, 3);
    parts.student = *MakeStudent(method, *parts.teacher, 1);
    parts.jump = std::make_shared<math::CtmJump>();
    return parts;
  }

  absl::StatusOr<TrainResult> Run(const TrainParts& parts) {
    auto trainer = Trainer::Create(options_, parts);
    if (!trainer.ok()) return trainer.status();
    return (*trainer)->Run();
  }

  // Pictures with something to learn: each of one shade.
  static std::unique_ptr<data::Dataset> FlatPictures() {
    return *data::TensorDataset::Create("flat",
                                        (at::arange(20) * 12)
                                            .view({20, 1, 1, 1})
                                            .expand({20, 1, 8, 8})
                                            .to(at::kByte),
                                        at::arange(20) % 3, 3);
  }

  // Makes the listener raise the pause flag at a step.
  void PauseAt(int64_t step) {
    recorder_.at_tick = [this, step](const Tick& tick) {
      if (tick.step == step) control_.pause = true;
    };
  }

  io::TensorMap Weights(const std::string& job) {
    return io::ReadModelDir(base::JobDir(dir_.path() + "/" + job).result_dir())
        .value()
        .tensors;
  }

  retort::testing::TempDir dir_;
  retort::testing::FakeClock clock_;
  std::unique_ptr<data::Dataset> dataset_;
  TrainOptions options_;
  Recorder recorder_;
  ControlFlags control_;
};

void ExpectSameBytes(const io::TensorMap& a, const io::TensorMap& b) {
  ASSERT_EQ(a.size(), b.size());
  for (const auto& [name, tensor] : a) {
    EXPECT_TRUE(tensor.equal(b.at(name))) << name;
  }
}

class ResumeTest : public TrainerTest,
                   public ::testing::WithParamInterface<Method> {};

TEST_P(ResumeTest, AnInterruptedRunGivesTheSameWeightsBitForBit) {
  ASSERT_THAT(Run(Parts(GetParam(), "whole")), IsOk());
  PauseAt(3);
  RETORT_ASSERT_OK_AND_ASSIGN(const TrainResult paused,
                              Run(Parts(GetParam(), "parts")));
  EXPECT_EQ(paused.outcome, Outcome::kPaused);
  EXPECT_EQ(paused.step, 3);
  control_.pause = false;
  RETORT_ASSERT_OK_AND_ASSIGN(const TrainResult done,
                              Run(Parts(GetParam(), "parts")));
  EXPECT_EQ(done.outcome, Outcome::kSucceeded);
  ExpectSameBytes(Weights("whole"), Weights("parts"));
}

TEST_P(ResumeTest, ARunThatWasKilledGoesOnFromItsLastCheckpoint) {
  ASSERT_THAT(Run(Parts(GetParam(), "whole")), IsOk());
  options_.checkpoint_every = 2;
  recorder_.at_tick = [](const Tick& tick) {
    if (tick.step == 5) throw std::runtime_error("killed");
  };
  ASSERT_THAT(Run(Parts(GetParam(), "parts")),
              StatusIs(absl::StatusCode::kInternal, HasSubstr("killed")));
  recorder_.at_tick = nullptr;
  recorder_.ticks.clear();
  ASSERT_THAT(Run(Parts(GetParam(), "parts")), IsOk());
  EXPECT_EQ(recorder_.ticks.front().step, 5);
  ExpectSameBytes(Weights("whole"), Weights("parts"));
}

INSTANTIATE_TEST_SUITE_P(Methods, ResumeTest,
                         ::testing::Values(Method::kEdm, Method::kCm,
                                           Method::kCtm),
                         [](const auto& info) {
                           return MethodName(info.param);
                         });

// Consistency training without a teacher, on a grid that grows at every step.
class ConsistencyTrainingTest : public TrainerTest {
 protected:
  ConsistencyTrainingTest() {
    options_.curriculum = Curriculum::kProgressive;
    options_.cm.num_times = 6;
    options_.cm.weight = distill::CmWeight::kKarras;
    options_.target_ema_rate = 0.9;
  }

  TrainParts CtParts(const std::string& job) {
    TrainParts parts = Parts(Method::kCm, job);
    parts.teacher = nullptr;
    parts.jump = std::make_shared<math::CmJump>();
    return parts;
  }

  std::vector<double> GridSizes() {
    std::vector<double> sizes;
    for (const Tick& tick : recorder_.ticks) {
      sizes.push_back(tick.metrics.at("grid_size"));
    }
    return sizes;
  }
};

TEST_F(ConsistencyTrainingTest, ResumesInTheMiddleOfItsCurriculumBitForBit) {
  ASSERT_THAT(Run(CtParts("whole")), IsOk());
  const std::vector<double> sizes = GridSizes();
  EXPECT_EQ(sizes.front(), 2);
  EXPECT_EQ(sizes.back(), 6);
  recorder_.ticks.clear();
  PauseAt(3);
  ASSERT_THAT(Run(CtParts("parts")), IsOk());
  control_.pause = false;
  RETORT_ASSERT_OK_AND_ASSIGN(const TrainResult done, Run(CtParts("parts")));
  EXPECT_EQ(done.manifest.kind, "cm");
  EXPECT_EQ(GridSizes(), sizes);
  ExpectSameBytes(Weights("whole"), Weights("parts"));
}

TEST_F(ConsistencyTrainingTest, DoesNotResumeToAnotherLengthOrWithATeacher) {
  PauseAt(2);
  ASSERT_THAT(Run(CtParts("job")), IsOk());
  TrainParts with_teacher = CtParts("job");
  with_teacher.teacher = TinyNet(3, false, 3);
  EXPECT_THAT(Run(with_teacher),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("consistency_training is gone")));
  options_.iterations = 9;
  EXPECT_THAT(Run(CtParts("job")),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("curriculum.iterations was 6 and is 9")));
}

// The loss itself says little: it grows while targets come to mean something.
TEST_F(ConsistencyTrainingTest, LearnsToDenoiseInOneStepWithoutATeacher) {
  dataset_ = FlatPictures();
  options_.batch_size = 16;
  options_.iterations = 200;
  options_.log_every = 50;
  options_.learning_rate = 2e-3;
  options_.optimizer.name = "radam";
  options_.curriculum = Curriculum::kFixed;
  options_.cm.weight = distill::CmWeight::kUniform;
  TrainParts parts = CtParts("job");
  parts.student = nn::CreateDenoiser(TinyConfig(false, 3), 1);
  at::Tensor images, labels;
  ASSERT_THAT(dataset_->Get({0, 4, 9, 14, 19}, &images, &labels), IsOk());
  const at::Tensor x0 = data::ToFloat(images);
  const at::Tensor t = at::full({5}, 1.0, at::kDouble);
  const at::Tensor s = at::full({5}, 0.002, at::kDouble);
  const at::Tensor noise =
      at::randn(x0.sizes(), at::make_generator<at::CPUGeneratorImpl>(3));
  const auto error = [&] {
    at::NoGradGuard no_grad;
    const nn::ConsistencyModel model(parts.student, parts.jump);
    const at::Tensor one_hot = at::one_hot(labels, 3).to(at::kFloat);
    const at::Tensor jumped = model.Jump(x0 + noise, t, s, one_hot);
    return (jumped - x0).square().mean().item<double>();
  };
  const double before = error();
  ASSERT_THAT(Run(parts), IsOk());
  EXPECT_LT(error(), 0.5 * before);
}

std::string FormatName(Precision precision) {
  if (precision == Precision::kFp32) return "Fp32";
  return precision == Precision::kBf16 ? "Bf16" : "Fp16";
}

// Dropout, two parts per batch, and every number format.
class PrecisionResumeTest
    : public TrainerTest,
      public ::testing::WithParamInterface<std::tuple<Method, Precision>> {};

TEST_P(PrecisionResumeTest, AnInterruptedRunGivesTheSameWeightsBitForBit) {
  const Method method = std::get<0>(GetParam());
  options_.precision = std::get<1>(GetParam());
  options_.accumulation = 2;
  ASSERT_THAT(Run(Parts(method, "whole")), IsOk());
  PauseAt(3);
  ASSERT_THAT(Run(Parts(method, "parts")), IsOk());
  control_.pause = false;
  recorder_.ticks.clear();
  ASSERT_THAT(Run(Parts(method, "parts")), IsOk());
  EXPECT_EQ(recorder_.ticks.front().step, 4);
  EXPECT_EQ(recorder_.ticks.back().metrics.count("loss"), 1u);
  ExpectSameBytes(Weights("whole"), Weights("parts"));
}

INSTANTIATE_TEST_SUITE_P(
    Formats, PrecisionResumeTest,
    ::testing::Combine(::testing::Values(Method::kEdm, Method::kCm,
                                         Method::kCtm),
                       ::testing::Values(Precision::kFp32, Precision::kBf16,
                                         Precision::kFp16)),
    [](const auto& info) {
      return MethodName(std::get<0>(info.param)) +
             FormatName(std::get<1>(info.param));
    });

TEST_F(TrainerTest, WritesAModelWithItsLineage) {
  RETORT_ASSERT_OK_AND_ASSIGN(const TrainResult result,
                              Run(Parts(Method::kEdm, "job")));
  RETORT_ASSERT_OK_AND_ASSIGN(const auto model,
                              io::ReadModelDir(result.model_dir));
  EXPECT_EQ(model.manifest.kind, "teacher");
  EXPECT_EQ(model.manifest.lineage["data_hash"], dataset_->manifest_hash());
  EXPECT_EQ(model.manifest.lineage["steps"], 6);
  RETORT_ASSERT_OK_AND_ASSIGN(
      const auto config, nn::NetworkConfig::FromJson(model.manifest.network));
  EXPECT_THAT(nn::CreateDenoiser(config, 0)->LoadStateDict(model.tensors),
              IsOk());
}

TEST_F(TrainerTest, TrainingLowersTheLoss) {
  dataset_ = FlatPictures();
  options_.batch_size = 16;
  options_.iterations = 200;
  options_.log_every = 50;
  options_.learning_rate = 2e-3;
  options_.optimizer.name = "radam";
  ASSERT_THAT(Run(Parts(Method::kEdm, "job")), IsOk());
  EXPECT_LT(recorder_.ticks.back().metrics.at("loss"),
            0.8 * recorder_.ticks.front().metrics.at("loss"));
}

TEST_F(TrainerTest, TicksTellSpeedAndRemainingTime) {
  options_.log_every = 2;
  recorder_.at_tick = [this](const Tick&) { clock_.Advance(absl::Seconds(2)); };
  ASSERT_THAT(Run(Parts(Method::kEdm, "job")), IsOk());
  ASSERT_EQ(recorder_.ticks.size(), 3u);
  EXPECT_DOUBLE_EQ(recorder_.ticks[1].images_per_second, 4.0);  // 8 in 2 s
  EXPECT_EQ(recorder_.ticks[1].remaining, absl::Seconds(2));
  EXPECT_EQ(recorder_.ticks[1].images, 16);
}

TEST_F(TrainerTest, WarmsTheLearningRateUpOverTheImagesAsked) {
  options_.lr_rampup_images = 16;
  ASSERT_THAT(Run(Parts(Method::kEdm, "job")), IsOk());
  std::vector<double> rates;
  for (const Tick& tick : recorder_.ticks) {
    rates.push_back(tick.metrics.at("learning_rate") / 1e-2);
  }
  EXPECT_THAT(rates, Pointwise(DoubleEq(), {0.0, 0.25, 0.5, 0.75, 1.0, 1.0}));
}

TEST_F(TrainerTest, TellsTheShareOfStepsWhoseGradientWasClipped) {
  options_.log_every = 3;
  options_.max_gradient_norm = 1e-6;
  ASSERT_THAT(Run(Parts(Method::kEdm, "always")), IsOk());
  EXPECT_EQ(recorder_.ticks.back().metrics.at("gradient_clipped"), 1);
  EXPECT_GT(recorder_.ticks.back().metrics.at("gradient_norm"), 1e-6);
  options_.max_gradient_norm = 1e6;
  ASSERT_THAT(Run(Parts(Method::kEdm, "never")), IsOk());
  EXPECT_EQ(recorder_.ticks.back().metrics.at("gradient_clipped"), 0);
}

TEST_F(TrainerTest, WritesACheckpointWhenAsked) {
  recorder_.at_tick = [this](const Tick& tick) {
    if (tick.step == 2) control_.checkpoint_now = true;
  };
  ASSERT_THAT(Run(Parts(Method::kEdm, "job")), IsOk());
  EXPECT_THAT(recorder_.checkpoints, ElementsAre(2, 6));
  EXPECT_FALSE(control_.checkpoint_now.load());
}

TEST_F(TrainerTest, WaitsForASlowCheckpointAndSaysSoOnce) {
  options_.checkpoint_every = 1;
  recorder_.at_tick = [this](const Tick&) { clock_.Advance(absl::Minutes(1)); };
  absl::Notification warned;
  recorder_.at_warning = [&warned] {
    if (!warned.HasBeenNotified()) warned.Notify();
  };
  TrainParts parts = Parts(Method::kEdm, "job");
  // Checkpoints that are written meanwhile stand still until there is a word.
  parts.fence.check = [&warned, training = std::this_thread::get_id()] {
    if (std::this_thread::get_id() == training) return;
    warned.WaitForNotificationWithTimeout(absl::Seconds(60));
  };
  ASSERT_THAT(Run(parts), IsOk());
  ASSERT_EQ(recorder_.warnings.size(), 1u);
  EXPECT_THAT(recorder_.warnings[0],
              AllOf(HasSubstr("step 1 has been in the writing for 60 s"),
                    HasSubstr("training waits for it")));
  EXPECT_THAT(recorder_.checkpoints, ElementsAre(1, 2, 3, 4, 5, 6));
}

TEST_F(TrainerTest, SweepsWhatAnEarlierIncarnationLeft) {
  TrainParts parts = Parts(Method::kEdm, "job");
  const std::string left =
      Fence{nullptr, 1}.Temporary(parts.job_dir.checkpoint_dir(4));
  ASSERT_THAT(base::MakeDirs(left), IsOk());
  parts.fence.epoch = 2;
  ASSERT_THAT(Run(parts), IsOk());
  EXPECT_FALSE(base::FileExists(left));
}

TEST_F(TrainerTest, WritesNothingMoreWhenTheJobIsAnothers) {
  TrainParts parts = Parts(Method::kEdm, "job");
  const std::string result = parts.job_dir.result_dir();
  parts.fence.check = [&] {
    // While the model is being written.
    if (base::FileExists(Fence().Temporary(result))) {
      throw std::runtime_error("over");
    }
  };
  EXPECT_FALSE(Run(parts).ok());
  EXPECT_FALSE(base::FileExists(result));
}

TEST_F(TrainerTest, ABatchThatNoMachineHoldsIsAnErrorAndNoCrash) {
  options_.batch_size = int64_t{4} << 60;
  EXPECT_FALSE(Run(Parts(Method::kEdm, "job")).ok());
  EXPECT_FALSE(base::IsDirectory(dir_.path() + "/job/result"));
}

TEST_F(TrainerTest, ValidatesBeforeTheFirstStepAndAfterTheLast) {
  options_.validate_every = 4;
  TrainParts parts = Parts(Method::kEdm, "job");
  std::vector<double> sums;
  parts.validate =
      [&](const io::TensorMap& weights) -> absl::StatusOr<Metrics> {
    sums.push_back(weights.begin()->second.sum().item<double>());
    return Metrics{{"validation_x", 1}};
  };
  ASSERT_THAT(Run(parts), IsOk());
  EXPECT_THAT(recorder_.validations, ElementsAre(0, 4, 6));
  ASSERT_EQ(sums.size(), 3u);
  EXPECT_NE(sums[0], sums[1]);  // what it is given moves on
}

TEST_F(TrainerTest, AFailedValidationIsAWarningAndNoEnd) {
  options_.validate_every = 6;
  TrainParts parts = Parts(Method::kEdm, "job");
  parts.validate = [](const io::TensorMap&) -> absl::StatusOr<Metrics> {
    return absl::InternalError("no images");
  };
  ASSERT_THAT(Run(parts), IsOk());
  ASSERT_EQ(recorder_.warnings.size(), 2u);
  EXPECT_THAT(recorder_.warnings[0], HasSubstr("no images"));
  EXPECT_TRUE(recorder_.validations.empty());
}

TEST_F(TrainerTest, FullDiskWhileTrainingIsAWarningAndTheNextTryCounts) {
  options_.checkpoint_every = 2;
  std::unique_ptr<base::ScopedWriteFault> full_disk;
  recorder_.at_tick = [&](const Tick& tick) {
    if (tick.step == 2) {
      full_disk = std::make_unique<base::ScopedWriteFault>(1000, ENOSPC);
    }
  };
  recorder_.at_warning = [&] { full_disk.reset(); };
  ASSERT_THAT(Run(Parts(Method::kEdm, "job")), IsOk());
  EXPECT_THAT(recorder_.checkpoints, ElementsAre(4, 6));
  ASSERT_EQ(recorder_.warnings.size(), 1u);
  EXPECT_THAT(recorder_.warnings[0], HasSubstr("Training goes on"));
}

TEST_F(TrainerTest, FullDiskAtTheEndIsAnErrorThatSaysWhatToDo) {
  base::ScopedWriteFault full_disk(1000, ENOSPC);
  EXPECT_THAT(Run(Parts(Method::kEdm, "job")),
              StatusIs(absl::StatusCode::kResourceExhausted,
                       HasSubstr("checkpoint of step 6")));
}

TEST_F(TrainerTest, SkipsAStepWithoutFiniteNumbersAndCountsIt) {
  const TrainParts parts = Parts(Method::kEdm, "job");
  auto broken = parts.student->parameters()[0];
  const at::Tensor good = broken.detach().clone();
  recorder_.at_tick = [&](const Tick& tick) {
    torch::NoGradGuard no_grad;
    if (tick.step == 1) {
      broken.fill_(std::numeric_limits<float>::quiet_NaN());
    }
    if (tick.step == 2) broken.copy_(good);
  };
  ASSERT_THAT(Run(parts), IsOk());
  EXPECT_EQ(recorder_.ticks.back().skipped, 1);
  EXPECT_EQ(recorder_.ticks[1].metrics.count("loss"), 0u);
  EXPECT_THAT(recorder_.warnings[0], HasSubstr("it was skipped"));
}

TEST_F(TrainerTest, TooManySkippedStepsInARowEndTheRunWithTheReason) {
  options_.max_nonfinite_steps = 3;
  const TrainParts parts = Parts(Method::kEdm, "job");
  {
    torch::NoGradGuard no_grad;
    parts.student->parameters()[0].fill_(
        std::numeric_limits<float>::infinity());
  }
  EXPECT_THAT(Run(parts), StatusIs(absl::StatusCode::kFailedPrecondition,
                                   HasSubstr("optimizer.warmup_images")));
}

TEST_F(TrainerTest, RefusesToResumeWithOtherSettings) {
  PauseAt(2);
  ASSERT_THAT(Run(Parts(Method::kEdm, "job")), IsOk());
  options_.seed = 9;
  EXPECT_THAT(Run(Parts(Method::kEdm, "job")),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("seed was 0 and is 9")));
}

TEST_F(TrainerTest, AFinishedJobRunAgainOnlyWritesItsModel) {
  ASSERT_THAT(Run(Parts(Method::kEdm, "job")), IsOk());
  const io::TensorMap first = Weights("job");
  recorder_.ticks.clear();
  ASSERT_THAT(Run(Parts(Method::kEdm, "job")), IsOk());
  EXPECT_TRUE(recorder_.ticks.empty());
  ExpectSameBytes(first, Weights("job"));
}

TEST_F(TrainerTest, RefusesDataThatDoesNotFitTheNetwork) {
  TrainParts parts = Parts(Method::kEdm, "job");
  nn::NetworkConfig config = TinyConfig(false, 3);
  config.img_resolution = 16;
  parts.student = nn::CreateDenoiser(config, 1);
  EXPECT_THAT(Trainer::Create(options_, parts),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("img_resolution")));
  parts.student = nn::CreateDenoiser(TinyConfig(false, 7), 1);
  EXPECT_THAT(
      Trainer::Create(options_, parts),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("label_dim")));
}

TEST_F(TrainerTest, WorksOnWithoutAListener) {
  TrainParts parts = Parts(Method::kEdm, "job");
  parts.listener = nullptr;
  parts.control = nullptr;
  EXPECT_THAT(Run(parts), IsOk());
}

}  // namespace
}  // namespace retort::train
