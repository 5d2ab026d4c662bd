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
  ExpectRefused({.log_every = 0}, "log_every");
  ExpectRefused({.checkpoint_every = -1}, "checkpoint_every");
  ExpectRefused({.keep_checkpoints = 0}, "keep_checkpoints");
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
           {.accumulation = 2},
           {.nonfinite_policy = NonfinitePolicy::kRollBack},
           {.nonfinite_policy = NonfinitePolicy::kReplace}}) {
    EXPECT_NE(other.Fingerprint(), plain);
  }
}

}  // namespace
}  // namespace retort::train
