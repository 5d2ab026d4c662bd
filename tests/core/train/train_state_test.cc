#include "core/train/train_state.h"

#include <gtest/gtest.h>

#include "tests/core/distill/tiny_models.h"
#include "tests/support/status_matchers.h"

namespace retort::train {
namespace {

using ::retort::testing::IsOk;
using ::retort::testing::StatusIs;
using ::retort::testing::TinyNet;
using ::testing::HasSubstr;

std::unique_ptr<TrainState> Make(Method method, uint64_t seed = 1) {
  TrainOptions options;
  options.method = method;
  options.ema_rates = {0.5};
  options.target_ema_rate = 0.75;
  return *TrainState::Create(options, TinyNet(seed, method == Method::kCtm));
}

// A checkpoint whose tensors do not change with the state they came from.
Checkpoint Copy(const TrainState& state) {
  Checkpoint checkpoint = state.ToCheckpoint({{"run", 1}});
  for (auto& [name, tensor] : checkpoint.tensors) tensor = tensor.clone();
  return checkpoint;
}

TEST(TrainStateTest, ATeacherHasNoStopGradientNetwork) {
  EXPECT_EQ(Make(Method::kEdm)->target(), nullptr);
}

TEST(TrainStateTest, TheStopGradientNetworkStartsAsTheStudentAndIsNotTrained) {
  const auto state = Make(Method::kCtm);
  const auto target = state->target()->parameters();
  EXPECT_TRUE(target[0].equal(state->parameters()[0]));
  EXPECT_FALSE(target[0].requires_grad());
}

TEST(TrainStateTest, AveragesFollowAtTheirOwnRates) {
  const auto state = Make(Method::kCm);
  const at::Tensor start = state->parameters()[0].detach().clone();
  {
    torch::NoGradGuard no_grad;
    state->student()->parameters()[0].add_(1);
  }
  state->UpdateAverages();
  const std::string name = state->student()->named_parameters()[0].key();
  EXPECT_TRUE(at::allclose(state->AveragedWeights().at(name), start + 0.5));
  EXPECT_TRUE(at::allclose(state->target()->parameters()[0], start + 0.25));
}

TEST(TrainStateTest, TheTargetFollowsAtTheRateOfTheCurriculum) {
  TrainOptions options;
  options.method = Method::kCm;
  options.curriculum = Curriculum::kProgressive;
  options.cm.num_times = 10;
  options.target_ema_rate = 0.25;
  options.iterations = 96;
  RETORT_ASSERT_OK_AND_ASSIGN(const auto state,
                              TrainState::Create(options, TinyNet(1)));
  state->counters.step = 13;  // N = 5: mu = 0.25^(2/4) = 0.5
  const at::Tensor start = state->parameters()[0].detach().clone();
  {
    torch::NoGradGuard no_grad;
    state->student()->parameters()[0].add_(1);
  }
  state->UpdateAverages();
  EXPECT_TRUE(at::allclose(state->target()->parameters()[0], start + 0.5));
}

TEST(TrainStateTest, ATargetOfRateZeroIsTheStudent) {
  TrainOptions options;
  options.method = Method::kCm;
  options.target_ema_rate = 0;
  RETORT_ASSERT_OK_AND_ASSIGN(const auto state,
                              TrainState::Create(options, TinyNet(1)));
  {
    torch::NoGradGuard no_grad;
    state->student()->parameters()[0].mul_(1.3);
  }
  state->UpdateAverages();
  EXPECT_TRUE(
      state->target()->parameters()[0].equal(state->parameters()[0].detach()));
}

TEST(TrainStateTest, AveragedWeightsLoadIntoANetwork) {
  const auto state = Make(Method::kEdm);
  EXPECT_THAT(TinyNet(9)->LoadStateDict(state->AveragedWeights()), IsOk());
}

TEST(TrainStateTest, RestoresAllThatItSaved) {
  const auto saved = Make(Method::kCtm, 1), restored = Make(Method::kCtm, 2);
  saved->counters = {7, 70, 2, 1};
  saved->optimizer().set_steps(5);
  const Checkpoint checkpoint = Copy(*saved);
  ASSERT_THAT(restored->Restore(checkpoint, {{"run", 1}}), IsOk());
  EXPECT_EQ(restored->counters.ToJson(), saved->counters.ToJson());
  EXPECT_EQ(restored->optimizer().steps(), 5);
  for (const auto& [name, tensor] : Copy(*restored).tensors) {
    EXPECT_TRUE(tensor.equal(checkpoint.tensors.at(name))) << name;
  }
}

TEST(TrainStateTest, RefusesACheckpointOfOtherSettingsAndNamesThem) {
  const auto state = Make(Method::kEdm);
  EXPECT_THAT(state->Restore(Copy(*state), {{"run", 2}}),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("run was 1 and is 2")));
}

TEST(TrainStateTest, AMissingTensorChangesNothing) {
  const auto saved = Make(Method::kEdm, 1), state = Make(Method::kEdm, 2);
  Checkpoint checkpoint = Copy(*saved);
  const Checkpoint before = Copy(*state);
  checkpoint.tensors.erase(checkpoint.tensors.rbegin()->first);
  EXPECT_THAT(state->Restore(checkpoint, {{"run", 1}}),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("no tensor")));
  for (const auto& [name, tensor] : Copy(*state).tensors) {
    EXPECT_TRUE(tensor.equal(before.tensors.at(name))) << name;
  }
}

TEST(TrainStateTest, AnotherShapeIsNamedWithBothShapes) {
  const auto state = Make(Method::kEdm);
  Checkpoint checkpoint = Copy(*state);
  checkpoint.tensors.begin()->second = at::zeros({3});
  EXPECT_THAT(state->Restore(checkpoint, {{"run", 1}}),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("is Float[3]")));
}

}  // namespace
}  // namespace retort::train
