#include "core/sample/sampler.h"

#include "core/math/heun.h"
#include "core/sample/sample_noise.h"
#include "tests/support/status_matchers.h"

namespace retort::sample {
namespace {

using ::retort::testing::IsOk;
using ::retort::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

nn::NetworkConfig TinyNetConfig(int64_t label_dim, bool two_times) {
  nn::NetworkConfig config;
  config.img_resolution = 8;
  config.img_channels = 1;
  config.label_dim = label_dim;
  config.model_channels = 8;
  config.channel_mult = {1};
  config.num_blocks = 1;
  config.attn_resolutions = {};
  config.two_times = two_times;
  return config;
}

// EDM starts networks at zero output; these have something to say.
std::shared_ptr<nn::EdmDenoiser> TinyNet(int64_t label_dim, bool two_times) {
  auto net = nn::CreateDenoiser(TinyNetConfig(label_dim, two_times), 4);
  torch::NoGradGuard no_grad;
  torch::manual_seed(0);
  for (auto& p : net->parameters()) p.add_(0.1 * at::randn_like(p));
  return net;
}

Sampler TrajectorySampler(int64_t label_dim = 0) {
  return Sampler(nn::ConsistencyModel(TinyNet(label_dim, true),
                                      std::make_shared<math::CtmJump>()));
}

SampleOptions Options(Solver solver, int64_t steps, int64_t count) {
  SampleOptions options;
  options.plan.solver = solver;
  options.plan.steps = steps;
  options.count = count;
  options.seed = 21;
  return options;
}

TEST(SamplerTest, ImagesDoNotDependOnTheBatchTheyAreMadeIn) {
  const Sampler sampler = TrajectorySampler();
  SampleOptions options = Options(Solver::kTrajectory, 3, 5);
  options.plan.gamma = 0.5;
  RETORT_ASSERT_OK_AND_ASSIGN(SampleResult all, sampler.Sample(options));
  options.batch_size = 2;
  RETORT_ASSERT_OK_AND_ASSIGN(SampleResult pairs, sampler.Sample(options));
  options.indices = {4, 1};
  RETORT_ASSERT_OK_AND_ASSIGN(SampleResult two, sampler.Sample(options));
  EXPECT_TRUE(at::allclose(all.images, pairs.images, 1e-4, 1e-4));
  EXPECT_TRUE(at::allclose(all.images[4], two.images[0], 1e-4, 1e-4));
  EXPECT_TRUE(at::allclose(all.images[1], two.images[1], 1e-4, 1e-4));
  EXPECT_FALSE(at::allclose(all.images[0], all.images[1], 1e-2, 1e-2));
}

TEST(SamplerTest, FirstIndexContinuesASeed) {
  const Sampler sampler = TrajectorySampler();
  SampleOptions options = Options(Solver::kTrajectory, 1, 4);
  RETORT_ASSERT_OK_AND_ASSIGN(SampleResult four, sampler.Sample(options));
  options.first_index = 3;
  options.count = 1;
  RETORT_ASSERT_OK_AND_ASSIGN(SampleResult last, sampler.Sample(options));
  EXPECT_TRUE(at::allclose(four.images[3], last.images[0], 1e-4, 1e-4));
}

TEST(SamplerTest, TeacherSamplesAreHeunsSolverOnTheSameNoise) {
  auto net = TinyNet(0, false);
  const Sampler sampler(net);
  RETORT_ASSERT_OK_AND_ASSIGN(SampleResult result,
                              sampler.Sample(Options(Solver::kHeun, 5, 2)));
  EXPECT_EQ(result.network_calls, 9);
  const NoiseKey keys[] = {{21, 0, 0}, {21, 1, 0}};
  math::HeunOptions heun;
  heun.num_steps = 5;
  torch::NoGradGuard no_grad;
  const at::Tensor expected = math::HeunSample(
      [&](const at::Tensor& x, const at::Tensor& sigma) {
        return net->Denoise(x, sigma);
      },
      SampleNoise(keys, {1, 8, 8}).to(at::kDouble), heun);
  EXPECT_TRUE(at::allclose(result.images, expected.to(at::kFloat), 1e-4, 1e-4));
}

TEST(SamplerTest, MixedTimesInOneStepGiveWhatSeparateStepsGive) {
  const Sampler sampler = TrajectorySampler(3);
  const NoiseKey keys[] = {{1, 0, 0}, {2, 0, 0}};
  const at::Tensor x = SampleNoise(keys, {1, 8, 8}).to(at::kDouble) * 10;
  const at::Tensor from = at::tensor({80.0, 5.0}, at::kDouble);
  const at::Tensor to = at::tensor({1.0, 0.002}, at::kDouble);
  const at::Tensor both = sampler.Step(x, from, to, sampler.OneHot({2, 0}));
  for (int64_t i = 0; i < 2; ++i) {
    const at::Tensor one =
        sampler.Step(x.slice(0, i, i + 1), from.slice(0, i, i + 1),
                     to.slice(0, i, i + 1), sampler.OneHot({i == 0 ? 2 : 0}));
    EXPECT_TRUE(at::allclose(both[i], one[0], 1e-4, 1e-4));
  }
}

TEST(SamplerTest, ClassesAreGivenOnceEachOrInTurn) {
  const Sampler sampler = TrajectorySampler(3);
  SampleOptions options = Options(Solver::kTrajectory, 1, 4);
  options.first_index = 2;
  EXPECT_THAT(sampler.Sample(options)->classes, ElementsAre(2, 0, 1, 2));
  options.classes = {1};
  EXPECT_THAT(sampler.Sample(options)->classes, ElementsAre(1, 1, 1, 1));
  options.classes = {0, 1, 2, 2};
  EXPECT_THAT(sampler.Sample(options)->classes, ElementsAre(0, 1, 2, 2));
}

TEST(SamplerTest, AnImagesClassChangesIt) {
  const Sampler sampler = TrajectorySampler(3);
  SampleOptions options = Options(Solver::kTrajectory, 1, 1);
  options.classes = {0};
  RETORT_ASSERT_OK_AND_ASSIGN(SampleResult a, sampler.Sample(options));
  options.classes = {2};
  RETORT_ASSERT_OK_AND_ASSIGN(SampleResult b, sampler.Sample(options));
  EXPECT_FALSE(at::allclose(a.images, b.images, 1e-3, 1e-3));
}

void ExpectRefused(const Sampler& sampler, const SampleOptions& options,
                   const char* why) {
  EXPECT_THAT(sampler.Sample(options),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(why)));
}

TEST(SamplerTest, RefusesClassesThatTheModelDoesNotHave) {
  SampleOptions options = Options(Solver::kTrajectory, 1, 2);
  options.classes = {3};
  ExpectRefused(TrajectorySampler(3), options, "class 3");
  ExpectRefused(TrajectorySampler(0), options, "unconditional");
  options.classes = {0, 1, 2};
  ExpectRefused(TrajectorySampler(3), options, "3 classes for 2 images");
}

TEST(SamplerTest, RefusesASolverThatDoesNotSuitTheModel) {
  ExpectRefused(TrajectorySampler(), Options(Solver::kHeun, 2, 1),
                "consistency model");
  ExpectRefused(Sampler(TinyNet(0, false)), Options(Solver::kConsistency, 2, 1),
                "teacher");
  const Sampler cm(nn::ConsistencyModel(TinyNet(0, false),
                                        std::make_shared<math::CmJump>()));
  ExpectRefused(cm, Options(Solver::kTrajectory, 2, 1), "use 'cm'");
  EXPECT_THAT(cm.Sample(Options(Solver::kConsistency, 2, 1)), IsOk());
}

TEST(SamplerTest, RefusesBadRanges) {
  const Sampler sampler = TrajectorySampler();
  SampleOptions options = Options(Solver::kTrajectory, 1, 0);
  ExpectRefused(sampler, options, "count");
  options.count = 1;
  options.first_index = -1;
  ExpectRefused(sampler, options, "first_index");
  options.indices = {-4};
  ExpectRefused(sampler, options, "negative");
  options.indices = {0};
  options.batch_size = 0;
  ExpectRefused(sampler, options, "batch_size");
}

TEST(SamplerTest, SaysSoWhenTheNetworkHasDiverged) {
  auto net = TinyNet(0, false);
  {
    torch::NoGradGuard no_grad;
    net->parameters().front().fill_(std::numeric_limits<float>::quiet_NaN());
  }
  EXPECT_THAT(Sampler(net).Sample(Options(Solver::kHeun, 1, 1)),
              StatusIs(absl::StatusCode::kInternal, HasSubstr("not finite")));
}

}  // namespace
}  // namespace retort::sample
