#include "core/eval/classifier.h"

#include <atomic>

#include "core/eval/train_classifier.h"
#include "tests/core/eval/test_data.h"
#include "tests/support/status_matchers.h"

namespace retort::eval {
namespace {

using ::retort::testing::IsOk;
using ::retort::testing::StatusIs;
using ::testing::HasSubstr;

ClassifierTrainOptions SmallOptions() {
  ClassifierTrainOptions options;
  options.widths = {8, 8};
  options.epochs = 4;
  options.batch_size = 16;
  options.learning_rate = 0.01;
  return options;
}

TEST(ClassifierTest, FeaturesAndLogitsHaveTheConfiguredSizes) {
  FmnistClassifier net{ClassifierConfig()};
  const at::Tensor images = at::zeros({2, 1, 32, 32});
  EXPECT_EQ(net->Features(images).sizes(), at::IntArrayRef({2, 64}));
  EXPECT_EQ(net->forward(images).sizes(), at::IntArrayRef({2, 10}));
}

TEST(ClassifierTest, WeightsStayBelow300KB) {
  FmnistClassifier net{ClassifierConfig()};
  int64_t numbers = 0;
  for (const auto& item : net->StateDict()) numbers += item.second.numel();
  EXPECT_LT(numbers * 4, 300 * 1000);
}

TEST(ClassifierTest, InitialWeightsDependOnTheSeedAlone) {
  torch::manual_seed(1);
  FmnistClassifier a(ClassifierConfig(), 5);
  torch::manual_seed(2);
  FmnistClassifier b(ClassifierConfig(), 5);
  FmnistClassifier c(ClassifierConfig(), 6);
  const at::Tensor x = at::ones({1, 1, 32, 32});
  EXPECT_TRUE(at::equal(a->forward(x), b->forward(x)));
  EXPECT_FALSE(at::equal(a->forward(x), c->forward(x)));
}

TEST(ClassifierTest, ConfigSurvivesATripThroughJson) {
  ClassifierConfig config;
  config.resolution = 16;
  config.widths = {4, 8, 12};
  RETORT_ASSERT_OK_AND_ASSIGN(ClassifierConfig copy,
                              ClassifierConfig::FromJson(config.ToJson()));
  EXPECT_EQ(copy.ToJson(), config.ToJson());
}

TEST(ClassifierTest, NamesTheFieldOfABadConfig) {
  const auto expect = [](const char* field, nlohmann::json value) {
    nlohmann::json json = ClassifierConfig().ToJson();
    json[field] = std::move(value);
    EXPECT_THAT(ClassifierConfig::FromJson(json),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(field)));
  };
  expect("resolution", 30);
  expect("resolution", "32");
  expect("channels", 2);
  expect("classes", 1);
  expect("widths", {16, 0});
  expect("widths", nlohmann::json::array());
  expect("model_type", "SongUNet");
  expect("depth", 3);
}

TEST(TrainClassifierTest, LearnsTwoEasyClasses) {
  const auto train = HalvesDataset(128, 1);
  const auto test = HalvesDataset(40, 2);
  RETORT_ASSERT_OK_AND_ASSIGN(TrainedClassifier trained,
                              TrainClassifier(*train, *test, SmallOptions()));
  EXPECT_EQ(trained.test_accuracy, 1.0);
  EXPECT_LT(trained.train_loss, 0.5);
}

TEST(TrainClassifierTest, SameSeedSameWeights) {
  const auto train = HalvesDataset(64, 1);
  ClassifierTrainOptions options = SmallOptions();
  options.epochs = 1;
  RETORT_ASSERT_OK_AND_ASSIGN(auto a, TrainClassifier(*train, *train, options));
  RETORT_ASSERT_OK_AND_ASSIGN(auto b, TrainClassifier(*train, *train, options));
  const at::Tensor x = at::ones({1, 1, 8, 8});
  EXPECT_TRUE(at::equal(a.net->forward(x), b.net->forward(x)));
  EXPECT_FALSE(a.net->is_training());
}

TEST(TrainClassifierTest, StopsWhenAskedTo) {
  const auto train = HalvesDataset(64, 1);
  std::atomic<bool> stop = false;
  int64_t reports = 0;
  const auto result = TrainClassifier(
      *train, *train, SmallOptions(),
      [&](const ClassifierProgress& p) {
        ++reports;
        stop = p.step >= 2;
      },
      &stop);
  EXPECT_THAT(result, StatusIs(absl::StatusCode::kCancelled));
  EXPECT_EQ(reports, 2);
}

TEST(TrainClassifierTest, RefusesBadOptionsAndUnfitData) {
  const auto train = HalvesDataset(8, 1);
  ClassifierTrainOptions options = SmallOptions();
  options.learning_rate = -1;
  EXPECT_THAT(
      TrainClassifier(*train, *train, options),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("learning_rate")));
  RETORT_ASSERT_OK_AND_ASSIGN(
      auto unlabelled,
      data::TensorDataset::Create("plain", at::zeros({4, 1, 8, 8}, at::kByte),
                                  at::Tensor(), 0));
  EXPECT_THAT(
      TrainClassifier(*unlabelled, *train, SmallOptions()),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("labels")));
}

}  // namespace
}  // namespace retort::eval
