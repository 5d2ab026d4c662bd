#include "server/worker/spec_to_options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/analytic/artefact.h"
#include "tests/support/status_matchers.h"

namespace retort::worker {
namespace {

using ::retort::testing::IsOk;
using ::retort::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(SpecToOptionsTest, EmptyTeacherSpecGetsTheDocumentedDefaults) {
  const train::TrainOptions options = ToTrainOptions(v1::TrainTeacherSpec());
  EXPECT_EQ(options.method, train::Method::kEdm);
  EXPECT_EQ(options.optimizer.name, "adam");
  EXPECT_EQ(options.learning_rate, 1e-3);
  EXPECT_EQ(options.batch_size, 64);
  EXPECT_EQ(options.checkpoint_every, 500);
  EXPECT_THAT(options.ema_rates, ElementsAre(0.999));
  EXPECT_EQ(options.edm.p_mean, -1.2);
}

TEST(SpecToOptionsTest, EmptyDistillSpecGetsTheDocumentedDefaults) {
  RETORT_ASSERT_OK_AND_ASSIGN(const train::TrainOptions options,
                              ToTrainOptions(v1::DistillSpec()));
  EXPECT_EQ(options.method, train::Method::kCtm);
  EXPECT_EQ(options.optimizer.name, "radam");
  EXPECT_EQ(options.learning_rate, 4e-4);
  EXPECT_EQ(options.distance.name, "pseudo-huber");
  EXPECT_EQ(options.ctm.num_times, 18);
  EXPECT_EQ(options.ctm.max_ode_steps, 17);
  EXPECT_TRUE(options.ctm.weight_steps_by_k);
  EXPECT_EQ(options.ctm.denoising_weight, 1);
}

TEST(SpecToOptionsTest, TakesOverWhichCheckpointsStay) {
  v1::DistillSpec distill;
  distill.set_teacher("t");
  v1::TrainingSpec* training = distill.mutable_training();
  training->set_keep_every(1000);
  training->set_keep_best(3);
  EXPECT_EQ(ToTrainOptions(distill)->keep_every, 1000);
  EXPECT_EQ(ToTrainOptions(distill)->keep_best, 3);
  EXPECT_EQ(ToTrainOptions(distill)->best_metric, "loss");
  training->mutable_validation()->set_every(100);
  EXPECT_EQ(ToTrainOptions(distill)->best_metric, "validation_rms_1");
  training->set_best_metric("loss");
  EXPECT_EQ(ToTrainOptions(distill)->best_metric, "loss");
}

TEST(SpecToOptionsTest, MinusOneSwitchesOffWhatZeroWouldDefault) {
  v1::DistillSpec distill;
  distill.set_dsm_weight(-1);
  EXPECT_EQ(ToTrainOptions(distill)->ctm.denoising_weight, 0);
  v1::EstimatePreconditioningSpec estimate;
  EXPECT_EQ(ToPreconditionOptions(estimate).trajectory.trajectories, 2048);
  estimate.set_trajectories(-1);
  EXPECT_FALSE(ToPreconditionOptions(estimate).fit);
  using Spec = v1::EstimatePreconditioningSpec;
  estimate.set_trace_estimator(Spec::TRACE_ESTIMATOR_HUTCHINSON);
  estimate.set_scale_estimator(Spec::SCALE_ESTIMATOR_JVP);
  estimate.set_tolerance(0.01);
  estimate.set_spectral(true);
  estimate.set_served_iterations(500);
  const analytic::PreconditionOptions options = ToPreconditionOptions(estimate);
  EXPECT_EQ(options.estimate.trace, analytic::TraceEstimator::kHutchinson);
  EXPECT_EQ(options.estimate.scale, analytic::ScaleEstimator::kJvp);
  EXPECT_EQ(options.estimate.tolerance, 0.01);
  EXPECT_TRUE(options.fit_spectral);
  EXPECT_EQ(options.served.iterations, 500);
  EXPECT_EQ(options.served.batch_size, 64);
}

TEST(SpecToOptionsTest, TakesOverHowNumbersAreComputedAndKeptInBounds) {
  v1::DistillSpec spec;
  v1::TrainingSpec& training = *spec.mutable_training();
  training.set_precision(v1::TrainingSpec::PRECISION_FP16);
  training.set_accumulation(4);
  training.set_iterations(1);
  training.set_max_gradient_norm(2.5);
  training.set_nonfinite_policy(v1::TrainingSpec::NONFINITE_POLICY_ROLL_BACK);
  training.set_ema_halflife_images(500000);
  RETORT_ASSERT_OK_AND_ASSIGN(train::TrainOptions options,
                              ToTrainOptions(spec));
  EXPECT_EQ(options.precision, train::Precision::kFp16);
  EXPECT_EQ(options.accumulation, 4);
  EXPECT_EQ(options.max_gradient_norm, 2.5);
  EXPECT_EQ(options.nonfinite_policy, train::NonfinitePolicy::kRollBack);
  EXPECT_TRUE(options.ema_rates.empty());
  EXPECT_EQ(options.ema_halflife_images, 500000);
  EXPECT_EQ(options.ema_rampup_ratio, 0.05);
  EXPECT_THAT(options.Validate(), IsOk());
  training.set_ema_rampup_ratio(0.5);
  EXPECT_EQ(ToTrainOptions(spec)->ema_rampup_ratio, 0.5);
  options = ToTrainOptions(v1::TrainTeacherSpec());
  EXPECT_EQ(options.precision, train::Precision::kFp32);
  EXPECT_EQ(options.accumulation, 1);
  EXPECT_EQ(options.nonfinite_policy, train::NonfinitePolicy::kSkip);
}

TEST(SpecToOptionsTest, AugmentationGivesTheNetworkItsLabel) {
  v1::TrainTeacherSpec spec;
  EXPECT_EQ(ToTrainOptions(spec).augment_probability, 0);
  EXPECT_EQ(NewNetwork(NetworkFieldsOf(spec), {32, 1, 10})->augment_dim, 0);
  spec.set_augment_probability(0.12);
  EXPECT_EQ(ToTrainOptions(spec).augment_probability, 0.12);
  EXPECT_EQ(NewNetwork(NetworkFieldsOf(spec), {32, 1, 10})->augment_dim, 9);
}

TEST(SpecToOptionsTest, TakesADiscriminatorOverAndFillsInItsDefaults) {
  v1::DistillSpec spec;
  EXPECT_EQ(ToTrainOptions(spec)->gan.weight, 0);
  spec.mutable_gan()->set_weight(2);
  RETORT_ASSERT_OK_AND_ASSIGN(train::TrainOptions options,
                              ToTrainOptions(spec));
  EXPECT_EQ(options.gan.weight, 2);
  EXPECT_EQ(options.gan.r1_weight, 0.1);
  EXPECT_EQ(options.gan.start_step, 0);
  EXPECT_EQ(options.gan.channels, 32);
  EXPECT_EQ(options.gan.learning_rate, 2e-4);
  spec.mutable_gan()->set_r1_weight(-1);
  spec.mutable_gan()->set_start_step(7);
  spec.mutable_gan()->set_channels(8);
  spec.mutable_gan()->set_learning_rate(1e-3);
  RETORT_ASSERT_OK_AND_ASSIGN(options, ToTrainOptions(spec));
  EXPECT_EQ(options.gan.r1_weight, 0);
  EXPECT_EQ(options.gan.start_step, 7);
  EXPECT_EQ(options.gan.channels, 8);
  EXPECT_EQ(options.gan.learning_rate, 1e-3);
}

TEST(SpecToOptionsTest, ConsistencyTrainingAndItsCurriculum) {
  v1::DistillSpec spec;
  spec.set_method(v1::DistillSpec::METHOD_CT);
  spec.set_weighting(v1::DistillSpec::WEIGHTING_TRUNCATED_SNR);
  spec.set_curriculum(v1::DistillSpec::CURRICULUM_PROGRESSIVE);
  spec.mutable_training()->mutable_loss_scale()->set_initial(16);
  RETORT_ASSERT_OK_AND_ASSIGN(train::TrainOptions options,
                              ToTrainOptions(spec));
  EXPECT_EQ(options.method, train::Method::kCm);
  EXPECT_EQ(options.cm.weight, distill::CmWeight::kTruncatedSnr);
  EXPECT_EQ(options.ctm.weight, distill::CmWeight::kTruncatedSnr);
  EXPECT_EQ(options.curriculum, train::Curriculum::kProgressive);
  EXPECT_EQ(options.curriculum_start, 2);
  EXPECT_EQ(options.target_ema_rate, 0.95);
  EXPECT_EQ(options.loss_scale.initial, 16);
  EXPECT_EQ(options.loss_scale.growth_interval, 2000);
  EXPECT_EQ(JumpName(v1::PRECONDITIONING_KIND_UNSPECIFIED, spec.method()),
            "cm");
  spec.set_target_ema_rate(-1);
  EXPECT_EQ(ToTrainOptions(spec)->target_ema_rate, 0);
}

TEST(SpecToOptionsTest, RefusesADistanceThatIsNotThere) {
  v1::DistillSpec spec;
  spec.set_distance(static_cast<v1::DistillSpec::Distance>(99));
  EXPECT_THAT(ToTrainOptions(spec), StatusIs(absl::StatusCode::kInvalidArgument,
                                             HasSubstr("PSEUDO_HUBER")));
}

TEST(SpecToOptionsTest, LpipsIsPiqsWithMeansAndThePackagesWithMaxima) {
  using Input = distill::LpipsOptions::Input;
  v1::LpipsSpec spec;
  PerceptualOptions options = ToPerceptualOptions(spec, 32);
  EXPECT_EQ(options.distance.name, "lpips");
  EXPECT_EQ(options.distance.resize, 224);
  EXPECT_TRUE(options.distance.unit_range);
  EXPECT_TRUE(options.distance.mean_pooling);
  EXPECT_EQ(options.lpips.pooling, nn::Pooling::kMean);
  EXPECT_EQ(options.lpips.input, Input::kUnit);
  EXPECT_EQ(ToPerceptualOptions(spec, 256).distance.resize, 0);
  spec.set_pooling(v1::LpipsSpec::POOLING_MAX);
  spec.set_resize(-1);
  options = ToPerceptualOptions(spec, 32);
  EXPECT_EQ(options.distance.resize, 0);
  EXPECT_FALSE(options.distance.unit_range);
  EXPECT_FALSE(options.distance.mean_pooling);
  EXPECT_EQ(options.lpips.pooling, nn::Pooling::kMax);
  EXPECT_EQ(options.lpips.input, Input::kSigned);
}

TEST(SpecToOptionsTest, EveryPreconditioningHasANameThatCoreKnows) {
  for (int kind = 0; kind < v1::PreconditioningKind_ARRAYSIZE; ++kind) {
    const std::string name =
        JumpName(static_cast<v1::PreconditioningKind>(kind),
                 v1::DistillSpec::METHOD_CTM);
    EXPECT_THAT(analytic::JumpNames(), ::testing::Contains(name));
  }
}

}  // namespace
}  // namespace retort::worker
