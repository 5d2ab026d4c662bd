#include "core/nn/denoiser.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/match.h"
#include "core/math/edm_precond.h"
#include "tests/core/nn/small_networks.h"
#include "tests/support/status_matchers.h"

namespace retort::nn {
namespace {

using ::retort::testing::IsOk;
using ::retort::testing::StatusIs;
using ::testing::AllOf;
using ::testing::HasSubstr;
constexpr auto kBadWeights = absl::StatusCode::kInvalidArgument;
constexpr char kConv[] = "model.enc.8x8_conv.weight";

at::Tensor Image(int64_t n = 2) {
  torch::manual_seed(4);
  return at::randn({n, 2, 8, 8});
}
at::Tensor Sigma() { return torch::tensor({0.3, 5.0}, at::kDouble); }

EdmDenoiser::StateDictMap Copies(const EdmDenoiser& net) {
  EdmDenoiser::StateDictMap map = net.StateDict();
  for (auto& [name, tensor] : map) tensor = tensor.clone();
  return map;
}

TEST(DenoiserTest, StartsAsTheSkipConnection) {
  torch::NoGradGuard no_grad;
  const auto net = CreateDenoiser(SmallSong(), 1);
  const at::Tensor x = Image();
  const auto c = math::EdmScalings(Sigma(), 0.5);
  // The last layer starts near zero.
  EXPECT_TRUE(at::allclose(net->Denoise(x, Sigma()),
                           x * math::ExpandLike(c.c_skip, x), 1e-3, 1e-3));
}

TEST(DenoiserTest, InitialWeightsAreAFunctionOfTheSeed) {
  const auto weight = [](uint64_t seed) {
    return CreateDenoiser(SmallAdm(), seed)->StateDict().at(kConv);
  };
  EXPECT_TRUE(at::equal(weight(1), weight(1)));
  EXPECT_FALSE(at::equal(weight(1), weight(2)));
}

TEST(DenoiserTest, WeightsTravelFromNetworkToNetwork) {
  torch::NoGradGuard no_grad;
  const auto a = CreateDenoiser(SmallSong(), 1);
  Perturb(*a);
  const auto b = CreateDenoiser(SmallSong(), std::nullopt);
  ASSERT_THAT(b->LoadStateDict(a->StateDict()), IsOk());
  EXPECT_TRUE(
      at::equal(a->Denoise(Image(), Sigma()), b->Denoise(Image(), Sigma())));
}

TEST(DenoiserTest, LoadingNamesTheTensorThatIsWrongAndChangesNothing) {
  const auto net = CreateDenoiser(SmallSong(), 1);
  const auto before = Copies(*net);
  auto wrong = Copies(*net);
  for (auto& [name, tensor] : wrong) {
    if (!absl::EndsWith(name, "resample_filter")) tensor = tensor + 1;
  }
  wrong[kConv] = at::zeros({8, 1, 3, 3});
  EXPECT_THAT(
      net->LoadStateDict(wrong),
      StatusIs(kBadWeights, AllOf(HasSubstr(kConv), HasSubstr("[8, 1, 3, 3]"),
                                  HasSubstr("[8, 2, 3, 3]"))));
  for (const auto& [name, tensor] : net->StateDict()) {
    EXPECT_TRUE(at::equal(tensor, before.at(name))) << name;
  }
}

TEST(DenoiserTest, LoadingIsStrictAboutMissingAndUnexpectedTensors) {
  const auto net = CreateDenoiser(SmallSong(), 1);
  auto tensors = Copies(*net);
  tensors.erase(kConv);
  EXPECT_THAT(
      net->LoadStateDict(tensors),
      StatusIs(kBadWeights, AllOf(HasSubstr(kConv), HasSubstr("missing"))));
  EXPECT_THAT(net->LoadStateDict(tensors, /*strict=*/false), IsOk());
  tensors = Copies(*net);
  tensors["model.extra"] = at::zeros({1});
  EXPECT_THAT(
      net->LoadStateDict(tensors),
      StatusIs(kBadWeights, HasSubstr("model.extra [1] is unexpected")));
  tensors = Copies(*net);
  tensors[kConv] = at::zeros({8, 2, 3, 3}, at::kInt);
  EXPECT_THAT(net->LoadStateDict(tensors),
              StatusIs(kBadWeights, HasSubstr("floating")));
}

TEST(DenoiserTest, LoadingRefusesTheFilterOfAnotherConfiguration) {
  const auto net = CreateDenoiser(SmallSong(), 1);
  auto tensors = Copies(*net);
  const std::string name = "model.enc.4x4_down.conv0.resample_filter";
  ASSERT_EQ(tensors.count(name), 1u);
  tensors[name] = torch::tensor({0.1f, 0.2f, 0.3f, 0.4f}).reshape({1, 1, 2, 2});
  EXPECT_THAT(net->LoadStateDict(tensors),
              StatusIs(kBadWeights, HasSubstr("resample_filter")));
}

TEST(DenoiserTest, LoadsHalfPrecisionWeights) {
  const auto net = CreateDenoiser(SmallSong(), 1);
  auto tensors = Copies(*net);
  for (auto& [name, tensor] : tensors) tensor = tensor.to(at::kHalf);
  ASSERT_THAT(net->LoadStateDict(tensors), IsOk());
  EXPECT_TRUE(
      at::equal(net->StateDict().at(kConv), tensors.at(kConv).to(at::kFloat)));
}

TEST(DenoiserTest, ScalarSigmaServesTheWholeBatch) {
  torch::NoGradGuard no_grad;
  const auto net = CreateDenoiser(SmallSong(), 1);
  Perturb(*net);
  const at::Tensor one = at::scalar_tensor(0.7, at::kDouble);
  EXPECT_TRUE(at::allclose(net->Denoise(Image(), one),
                           net->Denoise(Image(), one.expand({2})),
                           /*rtol=*/1e-5, /*atol=*/1e-6));
}

TEST(DenoiserTest, NoLabelMeansTheZeroVector) {
  torch::NoGradGuard no_grad;
  NetworkConfig c = SmallSong();
  c.label_dim = 4;
  const auto net = CreateDenoiser(c, 1);
  Perturb(*net);
  EXPECT_TRUE(at::allclose(net->Denoise(Image(), Sigma()),
                           net->Denoise(Image(), Sigma(), at::zeros({2, 4}))));
  EXPECT_FALSE(at::allclose(net->Denoise(Image(), Sigma()),
                            net->Denoise(Image(), Sigma(), at::ones({2, 4}))));
}

TEST(DenoiserTest, GradientAgreesWithADifference) {
  const auto net = CreateDenoiser(SmallAdm(), 1);
  Perturb(*net);
  net->to(at::kDouble);
  const at::Tensor x = Image().to(at::kDouble).set_requires_grad(true);
  const at::Tensor v = at::randn_like(x);
  net->Denoise(x, Sigma()).sum().backward();
  torch::NoGradGuard no_grad;
  const double h = 1e-6;
  const double difference =
      ((net->Denoise(x + h * v, Sigma()) - net->Denoise(x - h * v, Sigma()))
           .sum() /
       (2 * h))
          .item<double>();
  EXPECT_NEAR((x.grad() * v).sum().item<double>(), difference, 1e-5);
}

TEST(DenoiserTest, BrainFloatStaysCloseToFloat) {
  torch::NoGradGuard no_grad;
  const auto net = CreateDenoiser(SmallAdm(), 1);
  Perturb(*net);
  net->eval();
  const at::Tensor exact = net->Denoise(Image(), Sigma());
  net->set_compute_dtype(at::kBFloat16);
  const at::Tensor half = net->Denoise(Image(), Sigma());
  EXPECT_EQ(half.scalar_type(), at::kFloat);
  EXPECT_LT((half - exact).norm().item<double>(),
            0.03 * exact.norm().item<double>());
}

TEST(DenoiserTest, StudentStartsAsItsTeacherExceptForTheSecondTime) {
  torch::NoGradGuard no_grad;
  NetworkConfig c = SmallSong();
  c.augment_dim = 9;
  const auto teacher = CreateDenoiser(c, 1);
  Perturb(*teacher);
  c.augment_dim = 0;
  c.two_times = true;
  const auto student = CreateDenoiser(c, 2);
  const std::string own = "model.map_layer0_s.weight";
  const at::Tensor before = student->StateDict().at(own).clone();
  ASSERT_THAT(InitFromTeacher(*student, *teacher), IsOk());
  EXPECT_TRUE(at::equal(student->StateDict().at(own), before));
  const at::Tensor d = teacher->Denoise(Image(), Sigma());
  EXPECT_TRUE(at::equal(student->Denoise(Image(), Sigma()), d));
  EXPECT_FALSE(
      at::allclose(student->Denoise(Image(), Sigma(), {}, {}, Sigma() / 2), d));
}

TEST(DenoiserTest, AStudentOfAnotherShapeIsRefused) {
  const auto teacher = CreateDenoiser(SmallSong(), 1);
  NetworkConfig c = SmallSong();
  c.model_channels = 16;
  const auto student = CreateDenoiser(c, 1);
  EXPECT_THAT(InitFromTeacher(*student, *teacher),
              StatusIs(kBadWeights, HasSubstr("shape")));
}

TEST(DenoiserTest, ACloneSharesNothing) {
  torch::NoGradGuard no_grad;
  const auto net = CreateDenoiser(SmallSong(), 1);
  net->eval();
  const auto copy = CloneDenoiser(*net);
  EXPECT_FALSE(copy->is_training());
  const at::Tensor before = copy->StateDict().at(kConv).clone();
  EXPECT_TRUE(at::equal(before, net->StateDict().at(kConv)));
  for (at::Tensor& p : net->parameters()) p.zero_();
  EXPECT_TRUE(at::equal(copy->StateDict().at(kConv), before));
}

TEST(DenoiserTest, LastLayerIsAmongTheParameters) {
  for (const NetworkConfig& c : {SmallSong(), SmallAdm()}) {
    const auto net = CreateDenoiser(c, 1);
    bool found = false;
    for (const at::Tensor& p : net->parameters()) {
      found = found || p.is_same(net->LastLayerWeight());
    }
    EXPECT_TRUE(found);
    EXPECT_EQ(net->LastLayerWeight().size(0), c.img_channels);
  }
}

}  // namespace
}  // namespace retort::nn
