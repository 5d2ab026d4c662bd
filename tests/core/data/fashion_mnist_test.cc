#include "core/data/fashion_mnist.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "core/base/file.h"
#include "core/base/sha256.h"
#include "tests/core/data/idx_builder.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace retort::data {
namespace {

using ::retort::testing::IsOk;
using ::retort::testing::StatusIs;
using ::retort::testing::TempDir;
using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr auto kDataLoss = absl::StatusCode::kDataLoss;
constexpr char kImagesName[] = "train-images-idx3-ubyte.gz";
constexpr char kLabelsName[] = "train-labels-idx1-ubyte.gz";

// A directory with a training set of two made-up images.
class FashionMnistTest : public ::testing::Test {
 protected:
  void SetUp() override {
    pixels_ = std::string(2 * 28 * 28, '\x01');
    pixels_[0] = '\x11';
    pixels_.back() = '\x22';
    WriteImages(IdxBytes({2, 28, 28}, pixels_));
    WriteLabels(IdxBytes({2}, std::string("\x03\x09", 2)));
  }
  void WriteImages(const std::string& idx) { Write(kImagesName, Gzip(idx)); }
  void WriteLabels(const std::string& idx) { Write(kLabelsName, Gzip(idx)); }
  void Write(const std::string& name, const std::string& bytes) {
    ASSERT_THAT(base::AtomicWriteFile(dir_ / name, bytes), IsOk());
  }

  TempDir dir_;
  std::string pixels_;
};

TEST_F(FashionMnistTest, PadsImagesWithBlackToThirtyTwo) {
  RETORT_ASSERT_OK_AND_ASSIGN(const auto dataset,
                              LoadFashionMnist(dir_.path(), Split::kTrain));
  at::Tensor images, labels;
  ASSERT_THAT(dataset->Get({0, 1}, &images, &labels), IsOk());
  EXPECT_EQ(images.sizes(), at::IntArrayRef({2, 1, 32, 32}));
  EXPECT_EQ(images[0][0][2][2].item<int>(), 0x11);
  EXPECT_EQ(images[1][0][29][29].item<int>(), 0x22);
  EXPECT_EQ(images.sum().item<int64_t>(), 2 * 784 - 2 + 0x11 + 0x22);
  EXPECT_TRUE(at::equal(labels, at::tensor({3, 9}).to(at::kLong)));
  EXPECT_EQ(dataset->label_dim(), 10);
}

TEST_F(FashionMnistTest, HalvesTheResolutionByMeansOfFourPixels) {
  RETORT_ASSERT_OK_AND_ASSIGN(const auto whole,
                              LoadFashionMnist(dir_.path(), Split::kTrain));
  RETORT_ASSERT_OK_AND_ASSIGN(const auto half,
                              LoadFashionMnist(dir_.path(), Split::kTrain, 16));
  EXPECT_EQ(half->resolution(), 16);
  EXPECT_NE(half->manifest_hash(), whole->manifest_hash());
  at::Tensor images, labels;
  ASSERT_THAT(half->Get({0, 1}, &images, &labels), IsOk());
  // (0x11 + 3 black ones or 1s) / 4 in the corners; 1 elsewhere inside.
  EXPECT_EQ(images[0][0][1][1].item<int>(), 5);    // (17 + 3) / 4
  EXPECT_EQ(images[1][0][14][14].item<int>(), 9);  // (34 + 3) / 4 = 9.25
  EXPECT_EQ(images[0][0][5][5].item<int>(), 1);
  EXPECT_EQ(images[0][0][0][0].item<int>(), 0);
  EXPECT_THAT(LoadFashionMnist(dir_.path(), Split::kTrain, 20),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("20")));
}

TEST_F(FashionMnistTest, AcceptsUnzippedFiles) {
  RETORT_ASSERT_OK_AND_ASSIGN(const auto zipped,
                              LoadFashionMnist(dir_.path(), Split::kTrain));
  ASSERT_THAT(base::RemoveTree(dir_ / kLabelsName), IsOk());
  Write("train-labels-idx1-ubyte", IdxBytes({2}, std::string("\x03\x09", 2)));
  RETORT_ASSERT_OK_AND_ASSIGN(const auto plain,
                              LoadFashionMnist(dir_.path(), Split::kTrain));
  EXPECT_EQ(plain->size(), 2);
  EXPECT_NE(plain->manifest_hash(), zipped->manifest_hash());
}

TEST_F(FashionMnistTest, HashesTheFilesAsTheyLie) {
  std::string listing;
  for (const char* name : {kImagesName, kLabelsName}) {
    listing += *base::Sha256File(dir_ / name) + "  " + name + "\n";
  }
  RETORT_ASSERT_OK_AND_ASSIGN(const auto dataset,
                              LoadFashionMnist(dir_.path(), Split::kTrain));
  EXPECT_EQ(dataset->manifest_hash(), base::Sha256Hex(listing));
}

TEST_F(FashionMnistTest, NamesThePackageWhenFilesAreMissing) {
  EXPECT_THAT(LoadFashionMnist(dir_.path(), Split::kTest),
              StatusIs(absl::StatusCode::kNotFound,
                       AllOf(HasSubstr("t10k-images-idx3-ubyte.gz"),
                             HasSubstr(dir_.path()),
                             HasSubstr("dataset-fashion-mnist"))));
}

TEST_F(FashionMnistTest, RefusesImagesOfAnotherSize) {
  WriteImages(IdxBytes({2, 14, 28}, std::string(2 * 14 * 28, 'x')));
  EXPECT_THAT(
      LoadFashionMnist(dir_.path(), Split::kTrain),
      StatusIs(kDataLoss, AllOf(HasSubstr(kImagesName), HasSubstr("offset 4"),
                                HasSubstr("expected images of 28x28"),
                                HasSubstr("14x28"))));
}

TEST_F(FashionMnistTest, RefusesAnotherNumberOfLabelsThanImages) {
  WriteLabels(IdxBytes({3}, "\x01\x02\x03"));
  EXPECT_THAT(LoadFashionMnist(dir_.path(), Split::kTrain),
              StatusIs(kDataLoss, AllOf(HasSubstr(kLabelsName),
                                        HasSubstr("expected 2 labels"),
                                        HasSubstr("found 3"))));
}

TEST_F(FashionMnistTest, RefusesALabelThatIsNoClass) {
  WriteLabels(IdxBytes({2}, "\x01\x0a"));
  EXPECT_THAT(
      LoadFashionMnist(dir_.path(), Split::kTrain),
      StatusIs(kDataLoss, AllOf(HasSubstr("offset 9"), HasSubstr("found 10"))));
}

TEST_F(FashionMnistTest, SaysWhereACompressedFileBreaks) {
  RETORT_ASSERT_OK_AND_ASSIGN(const std::string whole,
                              base::ReadFile(dir_ / kImagesName));
  Write(kImagesName, whole.substr(0, whole.size() / 2));
  EXPECT_THAT(LoadFashionMnist(dir_.path(), Split::kTrain),
              StatusIs(kDataLoss, AllOf(HasSubstr(dir_ / kImagesName),
                                        HasSubstr("truncated"))));
}

// The real files, where they are installed.
TEST(FashionMnistRealTest, LoadsTheInstalledTestSet) {
  if (!base::IsDirectory(kFashionMnistDir)) {
    GTEST_SKIP() << "the package dataset-fashion-mnist is not installed";
  }
  RETORT_ASSERT_OK_AND_ASSIGN(const auto dataset,
                              LoadFashionMnist("", Split::kTest));
  ASSERT_EQ(dataset->size(), 10000);
  EXPECT_EQ(dataset->channels(), 1);
  EXPECT_EQ(dataset->resolution(), 32);
  std::vector<int64_t> all(10000);
  for (int64_t i = 0; i < 10000; ++i) all[i] = i;
  at::Tensor images, labels;
  ASSERT_THAT(dataset->Get(all, &images, &labels), IsOk());
  EXPECT_TRUE(at::equal(at::bincount(labels), at::full({10}, 1000)));
  EXPECT_EQ(labels[0].item<int64_t>(), 9);  // an ankle boot comes first
  // The published mean of the 28x28 pixels is 0.2868 of 255.
  const double mean = images.sum().item<int64_t>() / (10000.0 * 784 * 255);
  EXPECT_NEAR(mean, 0.2868, 0.001);
}

}  // namespace
}  // namespace retort::data
