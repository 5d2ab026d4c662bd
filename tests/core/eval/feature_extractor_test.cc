#include "core/eval/classifier_extractor.h"
#include "core/eval/train_classifier.h"
#include "core/io/model_file.h"
#include "tests/core/eval/test_data.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace retort::eval {
namespace {

using ::retort::testing::IsOk;
using ::retort::testing::StatusIs;
using ::retort::testing::TempDir;
using ::testing::HasSubstr;

TrainedClassifier Untrained() {
  TrainedClassifier trained;
  ClassifierConfig config;
  config.resolution = 8;
  config.widths = {4, 8};
  trained.net = FmnistClassifier(config, 3);
  return trained;
}

TEST(FeatureExtractorTest, LoadsWhatSaveClassifierWrote) {
  TempDir dir;
  const TrainedClassifier trained = Untrained();
  RETORT_ASSERT_OK_AND_ASSIGN(auto manifest,
                              SaveClassifier(dir / "model", trained));
  RETORT_ASSERT_OK_AND_ASSIGN(auto extractor,
                              FeatureExtractor::Load(dir / "model"));
  EXPECT_EQ(extractor->hash(), manifest.weights_sha256);
  EXPECT_EQ(extractor->dim(), 8);
  const at::Tensor images = at::full({2, 1, 8, 8}, 77, at::kByte);
  RETORT_ASSERT_OK_AND_ASSIGN(at::Tensor features, extractor->Features(images));
  TrainedClassifier copy = trained;
  copy.net->eval();
  EXPECT_TRUE(at::equal(features,
                        copy.net->Features(images.to(at::kFloat) / 127.5 - 1)));
}

TEST(FeatureExtractorTest, AnImagesFeaturesDoNotDependOnItsNeighbours) {
  const ClassifierExtractor extractor(Untrained().net, "hash");
  at::Tensor images, labels;
  const auto data = HalvesDataset(4, 9);
  ASSERT_THAT(data->Get({{0, 1, 2, 3}}, &images, &labels), IsOk());
  RETORT_ASSERT_OK_AND_ASSIGN(at::Tensor all, extractor.Features(images));
  RETORT_ASSERT_OK_AND_ASSIGN(at::Tensor one,
                              extractor.Features(images.slice(0, 2, 3)));
  EXPECT_TRUE(at::allclose(all[2], one[0], 1e-5, 1e-6));
}

TEST(FeatureExtractorTest, TakesUint8ImagesOfItsSizeOnly) {
  const ClassifierExtractor extractor(Untrained().net, "hash");
  EXPECT_THAT(extractor.Features(at::zeros({1, 1, 8, 8})),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("uint8")));
  EXPECT_THAT(extractor.Features(at::zeros({1, 3, 8, 8}, at::kByte)),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(extractor.Features(at::Tensor()),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(FeatureExtractorTest, RefusesAModelOfAnotherKind) {
  TempDir dir;
  io::ModelManifest manifest;
  manifest.kind = "teacher";
  ASSERT_THAT(
      io::WriteModelDir(dir / "model", manifest, {{"w", at::zeros({1})}}),
      IsOk());
  EXPECT_THAT(FeatureExtractor::Load(dir / "model"),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("kind 'teacher'")));
}

TEST(FeatureExtractorTest, NamesATensorThatDoesNotFit) {
  TempDir dir;
  io::ModelManifest manifest;
  manifest.kind = "feature_extractor";
  manifest.network = Untrained().net->config().ToJson();
  ASSERT_THAT(
      io::WriteModelDir(dir / "model", manifest, {{"w", at::zeros({1})}}),
      IsOk());
  EXPECT_THAT(
      FeatureExtractor::Load(dir / "model"),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("conv0.weight")));
}

}  // namespace
}  // namespace retort::eval
