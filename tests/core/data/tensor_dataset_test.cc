#include "core/data/tensor_dataset.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>

#include "tests/support/status_matchers.h"

namespace retort::data {
namespace {

using ::retort::testing::IsOk;
using ::retort::testing::StatusIs;
using ::testing::HasSubstr;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

at::Tensor Images() {
  return at::arange(4 * 3 * 2 * 2).to(at::kByte).view({4, 3, 2, 2});
}

TEST(TensorDatasetTest, ReturnsImagesAndLabelsInTheOrderAsked) {
  const at::Tensor labels = at::tensor({0, 1, 2, 1}).to(at::kLong);
  RETORT_ASSERT_OK_AND_ASSIGN(const auto dataset,
                              TensorDataset::Create("d", Images(), labels, 3));
  at::Tensor got_images, got_labels;
  ASSERT_THAT(dataset->Get({2, 0, 2}, &got_images, &got_labels), IsOk());
  const at::Tensor rows = at::tensor({2, 0, 2}).to(at::kLong);
  EXPECT_TRUE(at::equal(got_images, Images().index_select(0, rows)));
  EXPECT_TRUE(at::equal(got_labels, labels.index_select(0, rows)));
  EXPECT_EQ(dataset->size(), 4);
  EXPECT_EQ(dataset->channels(), 3);
  EXPECT_EQ(dataset->resolution(), 2);
  EXPECT_EQ(dataset->label_dim(), 3);
}

TEST(TensorDatasetTest, LabelsEverythingZeroWithoutLabels) {
  RETORT_ASSERT_OK_AND_ASSIGN(const auto dataset,
                              TensorDataset::Create("d", Images(), {}, 0));
  at::Tensor images, labels;
  ASSERT_THAT(dataset->Get({3, 1}, &images, &labels), IsOk());
  EXPECT_TRUE(at::equal(labels, at::zeros({2}, at::kLong)));
}

TEST(TensorDatasetTest, RefusesIndicesOutsideTheSet) {
  RETORT_ASSERT_OK_AND_ASSIGN(const auto dataset,
                              TensorDataset::Create("d", Images(), {}, 0));
  at::Tensor images, labels;
  EXPECT_THAT(dataset->Get({0, 4}, &images, &labels),
              StatusIs(absl::StatusCode::kOutOfRange, HasSubstr("index 4")));
  EXPECT_THAT(dataset->Get({-1}, &images, &labels),
              StatusIs(absl::StatusCode::kOutOfRange));
}

TEST(TensorDatasetTest, HashesImagesAndLabels) {
  const auto hash = [](const at::Tensor& images, const at::Tensor& labels) {
    return (*TensorDataset::Create("d", images, labels, 9))->manifest_hash();
  };
  const at::Tensor labels = at::zeros({4}, at::kLong);
  EXPECT_EQ(hash(Images(), labels), hash(Images(), labels));
  EXPECT_NE(hash(Images(), labels), hash(Images(), labels + 1));
  EXPECT_NE(hash(Images(), labels), hash(Images().flip({0}), labels));
}

TEST(TensorDatasetTest, RefusesTensorsThatDoNotFit) {
  const at::Tensor labels = at::zeros({4}, at::kLong);
  EXPECT_THAT(TensorDataset::Create("d", at::zeros({4, 3, 2, 2}), labels, 1),
              StatusIs(kInvalid, HasSubstr("not Float [4,3,2,2]")));
  EXPECT_THAT(TensorDataset::Create("d", Images().flatten(2), labels, 1),
              StatusIs(kInvalid));
  EXPECT_THAT(TensorDataset::Create("d", {}, labels, 1), StatusIs(kInvalid));
  EXPECT_THAT(TensorDataset::Create("d", Images(), labels.slice(0, 1), 1),
              StatusIs(kInvalid, HasSubstr("int64 [4]")));
  EXPECT_THAT(TensorDataset::Create("d", Images(), labels + 5, 5),
              StatusIs(kInvalid, HasSubstr("label 5 is not in [0, 5)")));
  EXPECT_THAT(TensorDataset::Create("d", Images(), labels, 0),
              StatusIs(kInvalid));
}

TEST(ToFloatTest, MapsBytesOntoMinusOneToOne) {
  const at::Tensor x = ToFloat(at::tensor({0, 255}).to(at::kByte));
  EXPECT_EQ(x.scalar_type(), at::kFloat);
  EXPECT_TRUE(at::equal(x, at::tensor({-1.f, 1.f})));
}

TEST(ToFloatTest, LeavesItsArgumentAlone) {
  const at::Tensor x = at::full({2}, 255.f);
  ToFloat(x);
  EXPECT_TRUE(at::equal(x, at::full({2}, 255.f)));
}

}  // namespace
}  // namespace retort::data
