#include "core/eval/metric_set.h"

#include <set>

#include "core/eval/classifier_extractor.h"
#include "core/eval/frechet.h"
#include "core/eval/kernel_distance.h"
#include "core/eval/precision_recall.h"
#include "core/eval/torchscript_extractor.h"
#include "tests/core/eval/test_data.h"
#include "tests/core/eval/torchscript_files.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace retort::eval {
namespace {

using ::retort::testing::IsOk;
using ::retort::testing::StatusIs;
using ::retort::testing::TempDir;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

ClassifierExtractor EightPixels(const std::string& hash = "hash") {
  ClassifierConfig config;
  config.resolution = 8;
  config.widths = {4, 8};
  return ClassifierExtractor(FmnistClassifier(config, 3), hash);
}

MetricOptions AllMetrics(int64_t samples) {
  MetricOptions options;
  options.metrics = {Metric::kPrecisionRecall, Metric::kFrechet,
                     Metric::kInceptionScore, Metric::kKernel};
  options.samples = samples;
  options.kept_features = 30;
  return options;
}

at::Tensor ImagesOf(const data::Dataset& dataset) {
  std::vector<int64_t> indices(dataset.size());
  for (int64_t i = 0; i < dataset.size(); ++i) indices[i] = i;
  at::Tensor images, labels;
  RETORT_CHECK_OK(dataset.Get(indices, &images, &labels));
  return images;
}

TEST(MetricSetTest, MeasuresWhatTheMetricsMeasure) {
  const ClassifierExtractor extractor = EightPixels();
  const auto real = HalvesDataset(40, 1);
  const at::Tensor images = ImagesOf(*HalvesDataset(25, 2));
  const MetricOptions options = AllMetrics(25);
  ReferenceOptions reference_options;
  reference_options.kept_features = options.KeptReal();
  RETORT_ASSERT_OK_AND_ASSIGN(
      const Reference reference,
      ComputeReference(extractor, *real, reference_options));
  MetricSet set(options, extractor, 7);
  ASSERT_THAT(set.Add(images.slice(0, 0, 10)), IsOk());
  ASSERT_THAT(set.Add(images.slice(0, 10)), IsOk());
  RETORT_ASSERT_OK_AND_ASSIGN(const std::vector<MetricValue> values,
                              set.Measure(reference));
  std::vector<std::string> names;
  for (const MetricValue& v : values) names.push_back(v.name);
  EXPECT_EQ(names, ValueNames(options));
  EXPECT_THAT(names, ElementsAre("precision", "recall", "FD", "IS", "KID"));
  const at::Tensor features = *extractor.Features(images);
  FeatureStatistics statistics(8);
  ASSERT_THAT(statistics.Add(features), IsOk());
  const PrecisionRecall both =
      *ComputePrecisionRecall(reference.kept, features);
  EXPECT_EQ(values[0].value, both.precision);
  EXPECT_EQ(values[1].value, both.recall);
  EXPECT_NEAR(values[2].value,
              *FrechetDistance(statistics, reference.statistics), 1e-9);
  EXPECT_GE(values[3].value, 1);
  EXPECT_NEAR(values[4].value,
              ComputeKernelDistance(features, reference.kept)->mean, 1e-9);
}

TEST(MetricSetTest, InceptionScoreNeedsLogits) {
  TempDir dir;
  WriteScript(dir / "m.pt", kAnyChannelScript);
  RETORT_ASSERT_OK_AND_ASSIGN(
      auto extractor,
      TorchScriptExtractor::LoadFile(dir / "m.pt", "hash", {1, 8}));
  EXPECT_THAT(AllMetrics(100).Check(*extractor, 100),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("METRIC_INCEPTION_SCORE")));
  MetricOptions options = AllMetrics(100);
  options.metrics.erase(options.metrics.begin() + 2);
  EXPECT_THAT(options.Check(*extractor, 100), IsOk());
}

TEST(MetricSetTest, PrecisionNeedsMoreRealImagesThanNeighbours) {
  EXPECT_THAT(
      AllMetrics(100).Check(EightPixels(), 3),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("3 neighbours")));
}

TEST(SetupHashTest, NamesWhatMustBeEqualForAMetric) {
  const auto real = HalvesDataset(40, 1);
  const auto other_real = HalvesDataset(40, 2);
  const MetricOptions options = AllMetrics(25);
  MetricOptions neighbours = options, kept = options, samples = options;
  neighbours.neighbours = 5;
  kept.kept_features = 20;
  samples.samples = 26;
  auto differs = [&](const std::string& name, const MetricOptions& changed) {
    return SetupHash(name, options, EightPixels(), *real) !=
           SetupHash(name, changed, EightPixels(), *real);
  };
  EXPECT_FALSE(differs("FD", options));
  EXPECT_FALSE(differs("FD", neighbours));
  EXPECT_FALSE(differs("FD", kept));
  EXPECT_TRUE(differs("FD", samples));
  EXPECT_TRUE(differs("KID", kept));
  EXPECT_FALSE(differs("KID", neighbours));
  EXPECT_TRUE(differs("recall", neighbours));
  EXPECT_FALSE(differs("IS", kept));
  const std::string hash = SetupHash("FD", options, EightPixels(), *real);
  EXPECT_NE(hash, SetupHash("KID", options, EightPixels(), *real));
  EXPECT_NE(hash, SetupHash("FD", options, EightPixels("else"), *real));
  EXPECT_NE(hash, SetupHash("FD", options, EightPixels(), *other_real));
  EXPECT_EQ(hash.size(), 64);
}

}  // namespace
}  // namespace retort::eval
