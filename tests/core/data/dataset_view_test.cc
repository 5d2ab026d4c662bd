#include "core/data/dataset_view.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/data/tensor_dataset.h"
#include "tests/support/status_matchers.h"

namespace retort::data {
namespace {

using ::retort::testing::IsOk;
using ::retort::testing::StatusIs;
using ::testing::ElementsAre;

// Images whose pixels count up, image i of class i.
std::unique_ptr<Dataset> Counting(int64_t count) {
  return *TensorDataset::Create(
      "counting",
      at::arange(count * 4, at::kLong).to(at::kByte).reshape({count, 1, 2, 2}),
      at::arange(count, at::kLong), count, "hash");
}

// np.random.RandomState(seed).shuffle(np.arange(n)), sorted(first k).
TEST(DatasetViewTest, ChoosesTheImagesThatNumPyChooses) {
  EXPECT_THAT(ChooseSubset(10, 5, 0), ElementsAre(1, 2, 4, 8, 9));
  EXPECT_THAT(ChooseSubset(10, 5, 7), ElementsAre(0, 1, 2, 5, 8));
  EXPECT_THAT(ChooseSubset(1000, 5, 3), ElementsAre(199, 586, 642, 762, 909));
  EXPECT_THAT(ChooseSubset(70000, 5, (uint64_t{1} << 31) + 5),
              ElementsAre(2777, 6628, 7414, 44249, 63950));
  EXPECT_THAT(ChooseSubset(3, 3, 1), ElementsAre(0, 1, 2));
}

TEST(DatasetViewTest, GivesTheChosenImagesAndTheirMirrorImages) {
  RETORT_ASSERT_OK_AND_ASSIGN(const auto view,
                              MakeView(Counting(10), {2, 0, true}));
  EXPECT_EQ(view->size(), 4);
  EXPECT_EQ(view->label_dim(), 10);
  at::Tensor images, labels;
  ASSERT_THAT(view->Get({0, 3}, &images, &labels), IsOk());
  const int64_t a = labels[0].item<int64_t>();
  const int64_t b = labels[1].item<int64_t>();
  const std::vector<int64_t> chosen = ChooseSubset(10, 2, 0);
  EXPECT_THAT(chosen, ElementsAre(a, b));
  EXPECT_TRUE(images[0].flatten().equal(
      at::tensor({4 * a, 4 * a + 1, 4 * a + 2, 4 * a + 3}, at::kByte)));
  EXPECT_TRUE(images[1].flatten().equal(
      at::tensor({4 * b + 1, 4 * b, 4 * b + 3, 4 * b + 2}, at::kByte)));
  EXPECT_THAT(view->Get({4}, &images, &labels),
              StatusIs(absl::StatusCode::kOutOfRange));
}

TEST(DatasetViewTest, EveryChoiceHasAHashOfItsOwnAndAllHasTheBases) {
  const auto hash = [](const ViewOptions& options) {
    return (*MakeView(Counting(10), options))->manifest_hash();
  };
  EXPECT_EQ(hash({}), "hash");
  EXPECT_EQ(hash({10, 3, false}), "hash");
  EXPECT_NE(hash({5, 0, false}), "hash");
  EXPECT_NE(hash({5, 0, false}), hash({5, 1, false}));
  EXPECT_NE(hash({5, 0, false}), hash({5, 0, true}));
  EXPECT_EQ(hash({0, 1, true}), hash({10, 2, true}));
}

TEST(DatasetViewTest, RefusesANegativeNumberOfImages) {
  EXPECT_THAT(MakeView(Counting(2), {-1, 0, false}),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace retort::data
