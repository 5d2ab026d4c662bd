#include "core/eval/inception_score.h"

#include <cmath>
#include <limits>

#include "core/math/counter_random.h"
#include "tests/support/status_matchers.h"

namespace retort::eval {
namespace {

using ::retort::testing::IsOk;
using ::retort::testing::StatusIs;

TEST(InceptionScoreTest, IsTheNumberOfClassesForSureAndEvenPredictions) {
  // Each part of 4 rows holds each of 4 classes once.
  InceptionScore score(4, 40);
  for (int i = 0; i < 10; ++i) {
    ASSERT_THAT(score.Add(1000 * at::eye(4)), IsOk());
  }
  EXPECT_NEAR(*score.Mean(), 4, 1e-12);
}

TEST(InceptionScoreTest, IsOneWhenAllImagesLookAlike) {
  InceptionScore score(3, 100);
  ASSERT_THAT(
      score.Add(at::tensor({0.3, -1.0, 2.0}, at::kFloat).expand({100, 3})),
      IsOk());
  EXPECT_NEAR(*score.Mean(), 1, 1e-12);
}

TEST(InceptionScoreTest, IsWhatAHandComputes) {
  // p = (3/4, 1/4) and (1/4, 3/4), marginal (1/2, 1/2):
  // KL = 3/4 log(3/2) + 1/4 log(1/2) for both.
  InceptionScore score(2, 2, /*splits=*/1);
  const double logit = std::log(3.0);
  ASSERT_THAT(
      score.Add(at::tensor({logit, 0.0, 0.0, logit}, at::kDouble).view({2, 2})),
      IsOk());
  EXPECT_NEAR(*score.Mean(),
              std::exp(0.75 * std::log(1.5) + 0.25 * std::log(0.5)), 1e-14);
}

TEST(InceptionScoreTest, IsTheDefinitionPartByPartWhateverTheBatches) {
  std::vector<int64_t> rows(47);
  for (int64_t i = 0; i < 47; ++i) rows[i] = i;
  const at::Tensor logits =
      2 * math::NormalPerSample({1, 15, 0}, rows, {5}).to(at::kDouble);
  double expected = 0;
  for (int64_t k = 0; k < 10; ++k) {
    const at::Tensor p =
        at::softmax(logits.slice(0, k * 47 / 10, (k + 1) * 47 / 10), 1);
    const at::Tensor marginal = p.mean(0, true);
    const at::Tensor kl = (p * (p.log() - marginal.log())).sum(1).mean();
    expected += std::exp(kl.item<double>()) / 10;
  }
  for (const int64_t batch : {1, 8, 47}) {
    InceptionScore score(5, 47);
    for (int64_t i = 0; i < 47; i += batch) {
      ASSERT_THAT(score.Add(logits.slice(0, i, i + batch)), IsOk());
    }
    EXPECT_NEAR(*score.Mean(), expected, 1e-12) << batch;
  }
}

TEST(InceptionScoreTest, RefusesTooFewTooManyAndWhatIsNotFinite) {
  InceptionScore score(2, 3);
  ASSERT_THAT(score.Add(at::zeros({2, 2})), IsOk());
  EXPECT_THAT(score.Mean(), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(score.Add(at::zeros({2, 2})),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(
      score.Add(at::full({1, 2}, std::numeric_limits<double>::infinity())),
      StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(score.Add(at::zeros({1, 3})),
              StatusIs(absl::StatusCode::kInvalidArgument));
  ASSERT_THAT(score.Add(at::zeros({1, 2})), IsOk());
  EXPECT_EQ(score.splits(), 3);
  EXPECT_NEAR(*score.Mean(), 1, 1e-12);
}

}  // namespace
}  // namespace retort::eval
