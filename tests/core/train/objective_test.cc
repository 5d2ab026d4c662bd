#include "core/train/objective.h"

#include <gtest/gtest.h>

#include <utility>

#include "tests/core/distill/made_up_lpips.h"
#include "tests/core/distill/tiny_models.h"
#include "tests/support/status_matchers.h"

namespace retort::train {
namespace {

using ::retort::testing::IsOk;
using ::retort::testing::Range;
using ::retort::testing::StatusIs;
using ::retort::testing::TinyConfig;
using ::retort::testing::TinyImages;
using ::retort::testing::TinyNet;
using ::testing::HasSubstr;

std::shared_ptr<nn::EdmDenoiser> Frozen(std::shared_ptr<nn::EdmDenoiser> net) {
  for (at::Tensor& p : net->parameters()) p.set_requires_grad(false);
  return net;
}

Networks CtmNetworks() {
  return {TinyNet(1, true), Frozen(TinyNet(2, true)), TinyNet(3),
          std::make_shared<math::CtmJump>()};
}

StepInput Input(int64_t step) { return {step, Range(3), {TinyImages(3, 5)}}; }

TrainOptions Options(Method method) {
  TrainOptions options;
  options.method = method;
  return options;
}

TEST(ObjectiveTest, EveryMethodReportsALossAndLeavesGradients) {
  for (const Method method : {Method::kEdm, Method::kCm, Method::kCtm}) {
    Networks networks = CtmNetworks();
    if (method != Method::kCtm) {
      networks.student = TinyNet(1);
      networks.target = Frozen(TinyNet(2));
    }
    RETORT_ASSERT_OK_AND_ASSIGN(const auto objective,
                                MakeObjective(Options(method), networks));
    EXPECT_GT(objective->TakeGradients(Input(0)).at("loss"), 0);
    EXPECT_TRUE(networks.student->LastLayerWeight().grad().defined());
  }
}

TEST(ObjectiveTest, TheSameStepGivesTheSameGradientAlsoWithDropout) {
  nn::NetworkConfig config = TinyConfig();
  config.dropout = 0.5;
  const auto student = nn::CreateDenoiser(config, 1);
  RETORT_ASSERT_OK_AND_ASSIGN(
      const auto objective,
      MakeObjective(Options(Method::kEdm),
                    {student, nullptr, nullptr, nullptr}));
  objective->TakeGradients(Input(4));
  const at::Tensor first = student->LastLayerWeight().grad().clone();
  objective->TakeGradients(Input(5));
  EXPECT_FALSE(student->LastLayerWeight().grad().equal(first));
  objective->TakeGradients(Input(4));
  EXPECT_TRUE(student->LastLayerWeight().grad().equal(first));
}

// Consistency training: no teacher.
absl::StatusOr<Metrics> CtStep(const TrainOptions& options, int64_t iteration) {
  const auto objective =
      MakeObjective(options, {TinyNet(1), Frozen(TinyNet(2)), nullptr,
                              std::make_shared<math::CmJump>()});
  if (!objective.ok()) return objective.status();
  StepInput input = Input(7);
  input.iteration = iteration;
  return (*objective)->TakeGradients(input);
}

TEST(ObjectiveTest, ACurriculumTrainsOnTheGridOfItsIteration) {
  TrainOptions growing = Options(Method::kCm);
  growing.curriculum = Curriculum::kProgressive;
  growing.iterations = 96;
  growing.cm.num_times = 10;
  for (const auto& [iteration, times] :
       {std::pair<int64_t, int64_t>{0, 2}, {13, 5}, {95, 10}}) {
    TrainOptions fixed = Options(Method::kCm);
    fixed.cm.num_times = times;
    RETORT_ASSERT_OK_AND_ASSIGN(const Metrics a, CtStep(growing, iteration));
    RETORT_ASSERT_OK_AND_ASSIGN(const Metrics b, CtStep(fixed, iteration));
    EXPECT_EQ(a.at("loss"), b.at("loss")) << times;
    EXPECT_EQ(a.at("grid_size"), times);
    EXPECT_EQ(a.at("target_ema_rate"), growing.StageAt(iteration).target_ema);
    EXPECT_EQ(b.count("grid_size"), 0u);
  }
}

TEST(ObjectiveTest, CtmReportsItsTerms) {
  RETORT_ASSERT_OK_AND_ASSIGN(
      const auto objective,
      MakeObjective(Options(Method::kCtm), CtmNetworks()));
  const Metrics metrics = objective->TakeGradients(Input(0));
  for (const char* name :
       {"consistency_loss", "denoising_loss", "adaptive_weight", "ode_steps"}) {
    EXPECT_EQ(metrics.count(name), 1u) << name;
  }
}

TEST(ObjectiveTest, CtmNeedsANetworkWithASecondTime) {
  Networks networks = CtmNetworks();
  networks.student = TinyNet(1);
  EXPECT_THAT(
      MakeObjective(Options(Method::kCtm), networks),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("second time")));
}

TEST(ObjectiveTest, CtmNeedsATeacher) {
  Networks networks = CtmNetworks();
  networks.teacher = nullptr;
  EXPECT_THAT(
      MakeObjective(Options(Method::kCtm), networks),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("teacher")));
}

TEST(ObjectiveTest, CtmRefusesAPreconditioningThatOnlyJumpsToTheEnd) {
  Networks networks = CtmNetworks();
  networks.jump = std::make_shared<math::CmJump>();
  EXPECT_THAT(MakeObjective(Options(Method::kCtm), networks),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("cm")));
}

TEST(ObjectiveTest, LpipsNeedsWeightsAndImagesThatAreLargeEnough) {
  TrainOptions options = Options(Method::kCtm);
  options.distance.name = "lpips";
  Networks networks = CtmNetworks();
  EXPECT_THAT(MakeObjective(options, networks),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("lpips needs weights")));
  networks.perceptual = testing::MadeUpLpips({.backbone = "squeezenet1_1"});
  EXPECT_THAT(MakeObjective(options, networks),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("17 pixels a side or more, these have 8")));
  options.distance.resize = 20;
  options.distance.unit_range = true;
  RETORT_ASSERT_OK_AND_ASSIGN(const auto objective,
                              MakeObjective(options, networks));
  const Metrics metrics = objective->TakeGradients(Input(0));
  EXPECT_GT(metrics.at("consistency_loss"), 0);
  EXPECT_TRUE(at::isfinite(networks.student->LastLayerWeight().grad())
                  .all()
                  .item<bool>());
}

TEST(ObjectiveTest, StudentAndTeacherMustTakeTheSameImages) {
  Networks networks = CtmNetworks();
  networks.teacher = TinyNet(3, false, /*label_dim=*/4);
  EXPECT_THAT(MakeObjective(Options(Method::kCtm), networks),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("0 labels, the teacher 1 x 8^2 with 4")));
}

TEST(MakeStudentTest, StartsAsTheTeacher) {
  const auto teacher = TinyNet(3);
  RETORT_ASSERT_OK_AND_ASSIGN(const auto student,
                              MakeStudent(Method::kCtm, *teacher, 1));
  EXPECT_TRUE(student->config().two_times);
  EXPECT_TRUE(student->LastLayerWeight().equal(teacher->LastLayerWeight()));
}

}  // namespace
}  // namespace retort::train
