#include "client/presets.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/match.h"
#include "client/call_status.h"
#include "client/spec_file.h"
#include "tests/support/status_matchers.h"

namespace retort::client {
namespace {

using ::retort::testing::IsOk;
using ::retort::testing::StatusIs;
using ::testing::HasSubstr;

v1::DistillSpec Distill(const std::string& name) {
  auto preset = FindPreset(name);
  EXPECT_THAT(preset, IsOk());
  auto job = ParseJob(preset->text, name, {"spec.distill.teacher=edm"}, "p");
  EXPECT_THAT(job, IsOk());
  EXPECT_EQ(job->spec().distill().teacher(), "projects/p/models/edm");
  return job->spec().distill();
}

TEST(PresetsTest, AreThereForEveryConfigurationOfThePaper) {
  for (const char* data :
       {"cifar10-uncond", "cifar10-cond", "ffhq64", "imagenet64"}) {
    for (const char* kind : {"-ctm", "-cm", "-estimate", "-teacher"}) {
      EXPECT_THAT(FindPreset(std::string(data) + kind), IsOk());
    }
  }
  EXPECT_EQ(AllPresets().size(), 16);
}

TEST(PresetsTest, AreJobFilesWithADescription) {
  for (const Preset& preset : AllPresets()) {
    EXPECT_THAT(ParseJob(preset.text, preset.name, {}, "p"), IsOk());
    EXPECT_FALSE(preset.description.empty()) << preset.name;
    EXPECT_FALSE(absl::StrContains(preset.description, "#")) << preset.name;
  }
}

// arXiv 2502.02922, its table of configurations.
TEST(PresetsTest, HaveThePapersNumbers) {
  const struct {
    const char* name;
    int grid, ode_steps, iterations, batch;
  } kRows[] = {{"cifar10-uncond-ctm", 18, 17, 200000, 256},
               {"cifar10-cond-ctm", 18, 17, 150000, 512},
               {"ffhq64-ctm", 18, 17, 150000, 256},
               {"imagenet64-ctm", 40, 20, 60000, 2048}};
  for (const auto& row : kRows) {
    const v1::DistillSpec spec = Distill(row.name);
    EXPECT_EQ(spec.grid_size(), row.grid) << row.name;
    EXPECT_EQ(spec.max_ode_steps(), row.ode_steps) << row.name;
    EXPECT_EQ(spec.training().iterations(), row.iterations) << row.name;
    EXPECT_EQ(spec.training().batch_size(), row.batch) << row.name;
    EXPECT_EQ(spec.optimizer().learning_rate(), 4e-4) << row.name;
    EXPECT_EQ(spec.target_ema_rate(), 0.999) << row.name;
    EXPECT_EQ(spec.training().ema_rate(), 0.999) << row.name;
    EXPECT_EQ(spec.training().precision(), v1::TrainingSpec::PRECISION_FP16);
    EXPECT_EQ(spec.distance(), v1::DistillSpec::DISTANCE_LPIPS);
  }
  EXPECT_EQ(Distill("imagenet64-cm").method(), v1::DistillSpec::METHOD_CM);
  EXPECT_EQ(Distill("imagenet64-cm").grid_size(), 40);
}

TEST(PresetsTest, AMistypedNameGetsTheNearestOnes) {
  EXPECT_THAT(FindPreset("cifar-uncond-ctm").status(),
              StatusIs(UsageError("").code(), HasSubstr("cifar10-uncond-ctm")));
}

}  // namespace
}  // namespace retort::client
