// The feature extractor that comes with the repository.

#include "core/base/file.h"
#include "core/data/fashion_mnist.h"
#include "core/eval/feature_extractor.h"
#include "core/eval/frechet.h"
#include "core/eval/reference_statistics.h"
#include "core/io/model_file.h"
#include "tests/support/status_matchers.h"

namespace retort::eval {
namespace {

constexpr char kDir[] =
    RETORT_SOURCE_DIR "/scripts/recipes/fashion-mnist/feature-extractor";

TEST(ShippedExtractorTest, LoadsAndSaysHowGoodItIs) {
  RETORT_ASSERT_OK_AND_ASSIGN(auto extractor, FeatureExtractor::Load(kDir));
  EXPECT_EQ(extractor->dim(), 64);
  RETORT_ASSERT_OK_AND_ASSIGN(auto manifest, io::ReadModelManifest(kDir));
  EXPECT_GE(manifest.lineage.at("test_accuracy").get<double>(), 0.91);
}

TEST(ShippedExtractorTest, TellsClothesFromClothesInFog) {
  if (!base::IsDirectory(data::kFashionMnistDir)) {
    GTEST_SKIP() << "package dataset-fashion-mnist is not installed";
  }
  RETORT_ASSERT_OK_AND_ASSIGN(auto extractor, FeatureExtractor::Load(kDir));
  RETORT_ASSERT_OK_AND_ASSIGN(auto test,
                              data::LoadFashionMnist("", data::Split::kTest));
  ReferenceOptions first, second;
  first.count = second.count = second.first_index = 600;
  RETORT_ASSERT_OK_AND_ASSIGN(
      auto a, ComputeReferenceStatistics(*extractor, *test, first));
  RETORT_ASSERT_OK_AND_ASSIGN(
      auto b, ComputeReferenceStatistics(*extractor, *test, second));
  at::Tensor images, labels;
  std::vector<int64_t> indices(600);
  for (int64_t i = 0; i < 600; ++i) indices[i] = i;
  ASSERT_TRUE(test->Get(indices, &images, &labels).ok());
  // The same clothes seen through a little fog.
  FeatureStatistics fog(extractor->dim());
  const at::Tensor foggy = (images / 2 + 64).to(at::kByte);
  ASSERT_TRUE(AddImages(*extractor, foggy, &fog).ok());
  EXPECT_GT(*FrechetDistance(fog, b), 5 * *FrechetDistance(a, b));
}

}  // namespace
}  // namespace retort::eval
