#include "core/train/train_options.h"

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "tests/support/status_matchers.h"

namespace retort::train {
namespace {

using ::retort::testing::IsOk;
using ::retort::testing::StatusIs;
using ::testing::HasSubstr;

// Expects that the options are refused with a message that names the field.
void ExpectRefused(const TrainOptions& options, const std::string& field) {
  EXPECT_THAT(options.Validate(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(field)));
}

TEST(TrainOptionsTest, DefaultsAreValidForEveryMethod) {
  for (const Method method : {Method::kEdm, Method::kCm, Method::kCtm}) {
    EXPECT_THAT(TrainOptions{.method = method}.Validate(), IsOk());
  }
}

TEST(TrainOptionsTest, RefusesBadNumbersByName) {
  ExpectRefused({.iterations = 0}, "iterations");
  ExpectRefused({.batch_size = 0}, "batch_size");
  ExpectRefused({.batch_size = 6, .accumulation = 4},
                "accumulation is 4; it must be a divisor of batch_size, 6");
  ExpectRefused({.accumulation = 0}, "accumulation");
  ExpectRefused({.learning_rate = 0}, "learning_rate");
  ExpectRefused({.learning_rate = std::nan("")}, "learning_rate");
  ExpectRefused({.ema_rates = {1.0}}, "ema_rates");
  ExpectRefused({.target_ema_rate = 1.5}, "target_ema_rate");
  ExpectRefused({.loss_scale = {.initial = 3}}, "loss_scale initial");
  ExpectRefused({.loss_scale = {.growth_factor = 0.5}}, "growth_factor");
  ExpectRefused({.loss_scale = {.growth_interval = 0}}, "growth_interval");
  ExpectRefused({.log_every = 0}, "log_every");
  ExpectRefused({.checkpoint_every = -1}, "checkpoint_every");
  ExpectRefused({.keep_checkpoints = 0}, "keep_checkpoints");
  ExpectRefused({.checkpoint_every = 500, .keep_every = 750}, "keep_every");
  ExpectRefused({.checkpoint_every = 0, .keep_every = 750}, "keep_every");
  ExpectRefused({.keep_best = -1}, "keep_best");
  ExpectRefused({.keep_best = 1, .best_metric = ""}, "best_metric");
}

TEST(TrainOptionsTest, WantsAtLeastOneAverage) {
  ExpectRefused({.ema_rates = {}}, "ema_rates");
  EXPECT_THAT(
      (TrainOptions{.ema_rates = {}, .ema_halflife_images = 1000}).Validate(),
      IsOk());
}

TEST(TrainOptionsTest, ChecksTheLossOfItsMethodOnly) {
  TrainOptions options;
  options.distance.name = "nonsense";
  EXPECT_THAT(options.Validate(), IsOk());
  options.method = Method::kCtm;
  ExpectRefused(options, "nonsense");
}

TEST(TrainOptionsTest, AugmentationIsForTeachersAndAProbability) {
  TrainOptions options;
  options.augment_probability = 1;
  EXPECT_THAT(options.Validate(), IsOk());
  options.method = Method::kCm;
  ExpectRefused(options, "augment_probability is for edm only");
  options.method = Method::kEdm;
  options.augment_probability = 1.5;
  ExpectRefused(options, "augment_probability");
}

TEST(TrainOptionsTest, ADiscriminatorIsForStudents) {
  TrainOptions options;
  options.method = Method::kCtm;
  options.gan.weight = 1;
  EXPECT_THAT(options.Validate(), IsOk());
  options.gan.channels = -1;
  ExpectRefused(options, "gan channels");
  options.gan = {.weight = 1};
  options.method = Method::kEdm;
  ExpectRefused(options, "gan weight is for cm and ctm only");
}

TEST(TrainOptionsTest, FingerprintIgnoresHowLongAndHowOften) {
  TrainOptions a, b;
  b.iterations = 7;
  b.log_every = 3;
  b.checkpoint_every = 1;
  b.keep_checkpoints = 9;
  EXPECT_EQ(a.Fingerprint(), b.Fingerprint());
}

TEST(TrainOptionsTest, FingerprintTellsSettingsApart) {
  TrainOptions a, b;
  a.method = b.method = Method::kCtm;
  b.ctm.max_ode_steps = 5;
  EXPECT_NE(a.Fingerprint(), b.Fingerprint());
}

TEST(TrainOptionsTest, FingerprintTellsFormsOfTheTrajectoryLossApart) {
  TrainOptions plain;
  plain.method = Method::kCtm;
  for (const distill::CtmLossOptions& form :
       std::vector<distill::CtmLossOptions>{
           {.target_inner = distill::CtmTargetInner::kEma},
           {.target_inner = distill::CtmTargetInner::kNone},
           {.estimate_outer = distill::CtmEstimateOuter::kStudent},
           {.estimate_via = distill::CtmEstimateVia::kU},
           {.jump_weight_exponent = 1},
           {.dsm_weight = distill::CmWeight::kUniform}}) {
    TrainOptions other = plain;
    other.ctm = form;
    EXPECT_NE(other.Fingerprint(), plain.Fingerprint());
  }
}

TEST(TrainOptionsTest, FingerprintNamesOnlyFormsThatOlderCheckpointsLack) {
  TrainOptions plain;
  plain.method = Method::kCtm;
  const nlohmann::json loss = plain.Fingerprint()["loss"];
  EXPECT_EQ(loss["ema_inner_target"], false);
  for (const char* name : {"target_inner", "estimate_outer", "estimate_via",
                           "jump_weight_exponent", "dsm_weight"}) {
    EXPECT_FALSE(loss.contains(name)) << name;
  }
}

TrainOptions Growing(Curriculum curriculum) {
  TrainOptions options;
  options.method = Method::kCm;
  options.curriculum = curriculum;
  options.cm.num_times = 10;
  options.target_ema_rate = 0.9;
  options.iterations = 96;
  return options;
}

// With N(0) = 2, N = 10 at the end and K = 96: N(k) = ceil(sqrt(k + 4)).
TEST(TrainOptionsTest, ACurriculumGrowsAsTheRootOfTheStep) {
  const TrainOptions options = Growing(Curriculum::kProgressive);
  const int64_t steps[] = {0, 1, 6, 13, 95};
  const int64_t times[] = {2, 3, 4, 5, 10};
  for (int i = 0; i < 5; ++i) {
    const math::ConsistencyStage stage = options.StageAt(steps[i]);
    EXPECT_EQ(stage.num_times, times[i]) << steps[i];
    EXPECT_DOUBLE_EQ(stage.target_ema, std::pow(0.9, 2.0 / (times[i] - 1)));
  }
}

TEST(TrainOptionsTest, TheGridAloneMayGrowOrNothing) {
  const auto grid = Growing(Curriculum::kProgressiveGrid).StageAt(95);
  EXPECT_EQ(grid.num_times, 10);
  EXPECT_EQ(grid.target_ema, 0.9);
  const auto fixed = Growing(Curriculum::kFixed).StageAt(0);
  EXPECT_EQ(fixed.num_times, 10);
  EXPECT_EQ(fixed.target_ema, 0.9);
}

TEST(TrainOptionsTest, ACurriculumStartsWithinItsLastGrid) {
  TrainOptions options = Growing(Curriculum::kProgressive);
  for (const int64_t start : {1, 11}) {
    options.curriculum_start = start;
    ExpectRefused(options, "curriculum_start");
  }
}

TEST(TrainOptionsTest, ACurriculumMakesTheLengthOfARunAPartOfIt) {
  TrainOptions a = Growing(Curriculum::kProgressive), b = a;
  b.iterations = 97;
  EXPECT_NE(a.Fingerprint(), b.Fingerprint());
  b = a;
  b.curriculum = Curriculum::kProgressiveGrid;
  EXPECT_NE(a.Fingerprint(), b.Fingerprint());
}

TEST(TrainOptionsTest, FingerprintTellsWeightsOfLpipsApart) {
  TrainOptions a;
  a.method = Method::kCm;
  a.distance.name = "lpips";
  a.distance.backbone_sha256 = "b";
  a.distance.heads_sha256 = "h";
  EXPECT_THAT(a.Validate(), IsOk());
  TrainOptions b = a;
  b.distance.backbone_sha256 = "c";
  EXPECT_NE(a.Fingerprint(), b.Fingerprint());
  b = a;
  b.distance.heads_sha256 = "i";
  EXPECT_NE(a.Fingerprint(), b.Fingerprint());
  b = a;
  b.distance.mean_pooling = false;
  EXPECT_NE(a.Fingerprint(), b.Fingerprint());
}

TEST(TrainOptionsTest, FingerprintTellsWaysOfComputingApart) {
  const nlohmann::json plain = TrainOptions().Fingerprint();
  for (const TrainOptions& other : std::vector<TrainOptions>{
           {.precision = Precision::kBf16},
           {.precision = Precision::kFp16},
           {.precision = Precision::kFp16, .loss_scale = {.initial = 2}},
           {.accumulation = 2},
           {.nonfinite_policy = NonfinitePolicy::kRollBack},
           {.nonfinite_policy = NonfinitePolicy::kReplace},
           {.augment_probability = 0.1},
           {.gan = {.weight = 1}}}) {
    EXPECT_NE(other.Fingerprint(), plain);
  }
}

}  // namespace
}  // namespace retort::train
