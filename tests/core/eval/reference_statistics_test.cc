#include "core/eval/reference_statistics.h"

#include "core/base/file.h"
#include "core/eval/classifier_extractor.h"
#include "core/eval/frechet.h"
#include "tests/core/eval/test_data.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace retort::eval {
namespace {

using ::retort::testing::IsOk;
using ::retort::testing::StatusIs;
using ::retort::testing::TempDir;
using ::testing::HasSubstr;

ClassifierExtractor SmallExtractor(const std::string& hash = "hash") {
  ClassifierConfig config;
  config.resolution = 8;
  config.widths = {4, 8};
  return ClassifierExtractor(FmnistClassifier(config, 3), hash);
}

TEST(ReferenceStatisticsTest, DoNotDependOnTheBatchSize) {
  const ClassifierExtractor extractor = SmallExtractor();
  const auto data = HalvesDataset(20, 1);
  ReferenceOptions options;
  RETORT_ASSERT_OK_AND_ASSIGN(
      FeatureStatistics a,
      ComputeReferenceStatistics(extractor, *data, options));
  options.batch_size = 7;
  RETORT_ASSERT_OK_AND_ASSIGN(
      FeatureStatistics b,
      ComputeReferenceStatistics(extractor, *data, options));
  EXPECT_EQ(a.count(), 20);
  EXPECT_LT(*FrechetDistance(a, b), 1e-10);
}

TEST(ReferenceStatisticsTest, ComeFromTheCacheTheSecondTime) {
  TempDir dir;
  const ClassifierExtractor extractor = SmallExtractor();
  const auto data = HalvesDataset(20, 1);
  int64_t batches = 0;
  ReferenceOptions options;
  options.cache_dir = dir / "cache";
  options.progress = [&](int64_t, int64_t) { return ++batches > 0; };
  RETORT_ASSERT_OK_AND_ASSIGN(
      FeatureStatistics a,
      ComputeReferenceStatistics(extractor, *data, options));
  RETORT_ASSERT_OK_AND_ASSIGN(
      FeatureStatistics b,
      ComputeReferenceStatistics(extractor, *data, options));
  EXPECT_EQ(batches, 1);
  EXPECT_TRUE(at::equal(*a.Covariance(), *b.Covariance()));
}

TEST(ReferenceStatisticsTest, KeptFeaturesComeFromTheCacheToo) {
  TempDir dir;
  const ClassifierExtractor extractor = SmallExtractor();
  const auto data = HalvesDataset(20, 1);
  int64_t batches = 0;
  ReferenceOptions options;
  options.cache_dir = dir / "cache";
  options.batch_size = 8;
  options.progress = [&](int64_t, int64_t) { return ++batches > 0; };
  options.kept_features = 6;
  RETORT_ASSERT_OK_AND_ASSIGN(const Reference a,
                              ComputeReference(extractor, *data, options));
  EXPECT_EQ(a.kept.sizes(), at::IntArrayRef({6, 8}));
  RETORT_ASSERT_OK_AND_ASSIGN(const Reference b,
                              ComputeReference(extractor, *data, options));
  EXPECT_EQ(batches, 3);
  EXPECT_TRUE(at::equal(a.kept, b.kept));
  EXPECT_EQ(b.statistics.count(), 20);
  // The moments serve whoever needs no more; other numbers are other features.
  EXPECT_THAT(ComputeReferenceStatistics(extractor, *data, options), IsOk());
  EXPECT_EQ(batches, 3);
  options.kept_features = 7;
  EXPECT_EQ(ComputeReference(extractor, *data, options)->kept.size(0), 7);
  EXPECT_EQ(batches, 6);
}

TEST(ReferenceStatisticsTest, RecomputesADamagedCacheFile) {
  TempDir dir;
  const ClassifierExtractor extractor = SmallExtractor();
  const auto data = HalvesDataset(20, 1);
  ReferenceOptions options;
  options.cache_dir = dir.path();
  const std::string path =
      dir / (ReferenceKey(extractor, *data, options) + ".safetensors");
  ASSERT_THAT(base::AtomicWriteFile(path, "damaged"), IsOk());
  RETORT_ASSERT_OK_AND_ASSIGN(
      FeatureStatistics a,
      ComputeReferenceStatistics(extractor, *data, options));
  EXPECT_EQ(a.count(), 20);
  EXPECT_GT(*base::FileSize(path), 100);
}

TEST(ReferenceStatisticsTest, KeyNamesDataExtractorAndRange) {
  const auto data = HalvesDataset(20, 1);
  const auto other = HalvesDataset(20, 2);
  ReferenceOptions all, some, small_batches;
  some.count = 10;
  small_batches.batch_size = 3;
  const std::string key = ReferenceKey(SmallExtractor(), *data, all);
  EXPECT_NE(key, ReferenceKey(SmallExtractor(), *other, all));
  EXPECT_NE(key, ReferenceKey(SmallExtractor("else"), *data, all));
  EXPECT_NE(key, ReferenceKey(SmallExtractor(), *data, some));
  EXPECT_EQ(key, ReferenceKey(SmallExtractor(), *data, small_batches));
}

TEST(ReferenceStatisticsTest, RefusesARangeBeyondTheData) {
  const auto data = HalvesDataset(20, 1);
  ReferenceOptions options;
  options.first_index = 15;
  options.count = 6;
  EXPECT_THAT(ComputeReferenceStatistics(SmallExtractor(), *data, options),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("20")));
  options.first_index = 19;
  options.count = 0;
  EXPECT_THAT(ComputeReferenceStatistics(SmallExtractor(), *data, options),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(ReferenceStatisticsTest, StopsWhenProgressSaysSo) {
  const auto data = HalvesDataset(20, 1);
  ReferenceOptions options;
  options.batch_size = 5;
  options.progress = [](int64_t done, int64_t) { return done < 10; };
  EXPECT_THAT(ComputeReferenceStatistics(SmallExtractor(), *data, options),
              StatusIs(absl::StatusCode::kCancelled));
}

}  // namespace
}  // namespace retort::eval
