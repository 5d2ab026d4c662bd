#include "server/jobs/training_fields.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "server/base/validation_metrics.h"
#include "server/jobs/spec_resolver.h"
#include "tests/support/fake_models.h"
#include "tests/support/status_matchers.h"

namespace retort::jobs {
namespace {

using ::retort::testing::IsOk;
using ::retort::testing::StatusIs;
using ::testing::AllOf;
using ::testing::HasSubstr;

absl::Status ResolveFields(v1::TrainingSpec* training) {
  SpecProblems problems;
  ResolveTrainingFields("distill.training", training, &problems);
  return problems.ToStatus();
}

v1::TrainingSpec BatchOf(int64_t images) {
  v1::TrainingSpec training;
  training.set_batch_size(images);
  return training;
}

TEST(TrainingFieldsTest, FillInTheirDefaults) {
  v1::TrainingSpec training = BatchOf(64);
  ASSERT_THAT(ResolveFields(&training), IsOk());
  EXPECT_EQ(training.precision(), v1::TrainingSpec::PRECISION_FP32);
  EXPECT_EQ(training.nonfinite_policy(),
            v1::TrainingSpec::NONFINITE_POLICY_SKIP);
  EXPECT_EQ(training.accumulation(), 1);
  EXPECT_EQ(training.max_gradient_norm(), 0);
  EXPECT_EQ(training.ema_rampup_ratio(), 0);
}

TEST(TrainingFieldsTest, AHalfLifeGetsEdmsRampUp) {
  v1::TrainingSpec training = BatchOf(64);
  training.set_ema_halflife_images(500000);
  ASSERT_THAT(ResolveFields(&training), IsOk());
  EXPECT_EQ(training.ema_rampup_ratio(), 0.05);
  const v1::TrainingSpec resolved = training;
  ASSERT_THAT(ResolveFields(&training), IsOk());
  EXPECT_EQ(training.SerializeAsString(), resolved.SerializeAsString());
}

TEST(TrainingFieldsTest, PartsMustDivideTheBatchAndTheErrorSaysWhichDo) {
  v1::TrainingSpec training = BatchOf(66);
  training.set_accumulation(4);
  EXPECT_THAT(ResolveFields(&training),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("training.accumulation: is 4"),
                             HasSubstr("use 3, or a batch_size of 64"))));
  training.set_accumulation(67);
  EXPECT_THAT(ResolveFields(&training),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("must be in [1, 66]")));
  training.set_accumulation(-1);
  EXPECT_FALSE(ResolveFields(&training).ok());
  training.set_accumulation(66);
  EXPECT_THAT(ResolveFields(&training), IsOk());
}

TEST(TrainingFieldsTest, RefuseNumbersThatMeanNothing) {
  v1::TrainingSpec training = BatchOf(64);
  training.set_precision(static_cast<v1::TrainingSpec::Precision>(9));
  training.set_nonfinite_policy(
      static_cast<v1::TrainingSpec::NonfinitePolicy>(9));
  training.set_max_gradient_norm(-1);
  training.set_ema_halflife_images(-5);
  EXPECT_THAT(ResolveFields(&training),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("PRECISION_BF16"),
                             HasSubstr("NONFINITE_POLICY_ROLL_BACK"),
                             HasSubstr("max_gradient_norm: is -1"),
                             HasSubstr("ema_halflife_images: is -5"))));
  training = BatchOf(64);
  training.set_max_gradient_norm(std::numeric_limits<double>::infinity());
  EXPECT_FALSE(ResolveFields(&training).ok());
}

TEST(TrainingFieldsTest, ARampUpWithoutAHalfLifeIsRefused) {
  v1::TrainingSpec training = BatchOf(64);
  training.set_ema_rampup_ratio(0.1);
  EXPECT_THAT(ResolveFields(&training),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("ema_halflife_images only")));
  training.set_ema_halflife_images(1000);
  EXPECT_THAT(ResolveFields(&training), IsOk());
  training.set_ema_rampup_ratio(-0.1);
  EXPECT_THAT(ResolveFields(&training),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("must be positive, such as 0.05")));
}

TEST(TrainingFieldsTest, TheLossScaleIsOfFloat16AndAPowerOfTwo) {
  v1::TrainingSpec training = BatchOf(64);
  training.set_precision(v1::TrainingSpec::PRECISION_FP16);
  ASSERT_THAT(ResolveFields(&training), IsOk());
  EXPECT_EQ(training.loss_scale().initial(), 65536);
  EXPECT_EQ(training.loss_scale().growth_factor(), 2);
  EXPECT_EQ(training.loss_scale().growth_interval(), 2000);
  training.mutable_loss_scale()->set_initial(1000);
  training.mutable_loss_scale()->set_growth_factor(0.5);
  training.mutable_loss_scale()->set_growth_interval(-1);
  EXPECT_THAT(ResolveFields(&training),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("initial: is 1000; must be a power"),
                             HasSubstr("growth_factor: is 0.5"),
                             HasSubstr("growth_interval: is -1"))));
  training = BatchOf(64);
  training.mutable_loss_scale()->set_initial(8);
  EXPECT_THAT(ResolveFields(&training),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("PRECISION_FP16 only")));
}

v1::JobSpec StudentThatKeeps(int32_t best, const std::string& metric) {
  v1::JobSpec spec;
  spec.mutable_distill()->set_teacher("projects/default/models/t");
  auto* training = spec.mutable_distill()->mutable_training();
  training->set_keep_best(best);
  training->set_best_metric(metric);
  training->mutable_validation()->set_every(100);
  return spec;
}

absl::Status ResolveKept(v1::DistillSpec* task) {
  SpecProblems problems;
  task->mutable_training()->set_checkpoint_every(500);
  ResolveKeeping("distill.training", service::ValidationMetrics(*task),
                 task->mutable_training(), &problems);
  return problems.ToStatus();
}

TEST(TrainingFieldsTest, TheBestAreByDefaultThoseOfTheFirstValidation) {
  v1::JobSpec spec = StudentThatKeeps(2, "");
  ASSERT_THAT(ResolveKept(spec.mutable_distill()), IsOk());
  EXPECT_EQ(spec.distill().training().best_metric(), "validation_rms_1");
  spec.mutable_distill()->mutable_training()->clear_best_metric();
  spec.mutable_distill()->mutable_training()->clear_validation();
  ASSERT_THAT(ResolveKept(spec.mutable_distill()), IsOk());
  EXPECT_EQ(spec.distill().training().best_metric(), "loss");
  spec = StudentThatKeeps(0, "");
  ASSERT_THAT(ResolveKept(spec.mutable_distill()), IsOk());
  EXPECT_EQ(spec.distill().training().best_metric(), "");
}

TEST(TrainingFieldsTest, RefusesASeriesThatTheJobWillNotHave) {
  v1::JobSpec spec = StudentThatKeeps(2, "validation_fd_1");
  EXPECT_THAT(ResolveKept(spec.mutable_distill()),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("use one of loss, validation_rms_1")));
  spec.mutable_distill()
      ->mutable_training()
      ->mutable_validation()
      ->set_feature_extractor("projects/default/models/f");
  EXPECT_THAT(ResolveKept(spec.mutable_distill()), IsOk());
}

TEST(TrainingFieldsTest, WhatIsKeptForGoodMustBeWrittenAtAll) {
  v1::JobSpec spec = StudentThatKeeps(-1, "");
  spec.mutable_distill()->mutable_training()->set_keep_every(750);
  EXPECT_THAT(
      ResolveKept(spec.mutable_distill()),
      StatusIs(absl::StatusCode::kInvalidArgument,
               AllOf(HasSubstr("keep_every: is 750; must be a multiple of "
                               "checkpoint_every, 500"),
                     HasSubstr("keep_best: is -1"))));
}

TEST(TrainingFieldsTest, TheResolverChecksThemAndTheLearningRate) {
  retort::testing::FakeModels models;
  v1::JobSpec spec;
  auto* task = spec.mutable_train_teacher();
  task->mutable_training()->set_iterations(10);
  task->mutable_training()->set_accumulation(7);
  task->mutable_training()->set_keep_every(3);
  task->mutable_optimizer()->set_learning_rate(1.5);
  EXPECT_THAT(
      SpecResolver({.cpu_slots = 2}, &models).Resolve(&spec),
      StatusIs(absl::StatusCode::kInvalidArgument,
               AllOf(HasSubstr("train_teacher.training.accumulation: is 7"),
                     HasSubstr("train_teacher.training.keep_every: is 3"),
                     HasSubstr("learning_rate: is 1.5; must be in (0, 1]"))));
}

}  // namespace
}  // namespace retort::jobs
