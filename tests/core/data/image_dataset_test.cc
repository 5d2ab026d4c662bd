#include "core/data/image_dataset.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "core/io/png.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/support/zip_builder.h"

namespace retort::data {
namespace {

using ::retort::testing::IsOk;
using ::retort::testing::StatusIs;
using ::retort::testing::ZipBuilder;
using ::testing::AllOf;
using ::testing::HasSubstr;

// An image of side x side pixels that count up from `first`.
at::Tensor Pixels(int first, int64_t side = 4, int64_t channels = 3) {
  return at::arange(first, first + side * side * channels, at::kLong)
      .remainder(256)
      .to(at::kByte)
      .reshape({side, side, channels});
}

std::string Png(int first, int64_t side = 4, int64_t channels = 3) {
  return *io::EncodePng(Pixels(first, side, channels));
}

class ImageDatasetTest : public ::testing::Test {
 protected:
  absl::StatusOr<std::unique_ptr<Dataset>> Open(const ZipBuilder& zip,
                                                int64_t resolution = 0,
                                                int64_t held = 1 << 20) {
    zip.Write(dir_ / "set.zip");
    return OpenImageDataset(dir_ / "set.zip", {resolution, held});
  }
  absl::Status Refused(const ZipBuilder& zip, int64_t resolution = 0) {
    return Open(zip, resolution).status();
  }

  retort::testing::TempDir dir_;
};

// Two images of class 1 and one of class 2, listed out of order.
ZipBuilder Three() {
  return ZipBuilder()
      .Add("00001/img0.png", Png(50))
      .Add("00000/img1.png", Png(9), /*deflate=*/true)
      .Add("00000/img0.png", Png(100))
      .Add("readme.txt", "not an image")
      .Add("dataset.json",
           R"({"version": [1, {"labels": [["x", 9]]}], "labels": [
              ["00000/img0.png", 1], ["00000/img1.png", 2.0],
              ["00001/img0.png", 1], ["elsewhere.png", 77]]})");
}

TEST_F(ImageDatasetTest, ReadsImagesInTheOrderOfNamesWithTheirClasses) {
  for (const int64_t held : {0, 1 << 20}) {
    RETORT_ASSERT_OK_AND_ASSIGN(const auto set, Open(Three(), 4, held));
    EXPECT_EQ(set->size(), 3);
    EXPECT_EQ(set->channels(), 3);
    EXPECT_EQ(set->resolution(), 4);
    EXPECT_EQ(set->label_dim(), 3);
    at::Tensor images, labels;
    ASSERT_THAT(set->Get({2, 0, 1}, &images, &labels), IsOk());
    EXPECT_TRUE(images[0].equal(Pixels(50).permute({2, 0, 1})));
    EXPECT_TRUE(images[1].equal(Pixels(100).permute({2, 0, 1})));
    EXPECT_TRUE(images[2].equal(Pixels(9).permute({2, 0, 1})));
    EXPECT_TRUE(labels.equal(at::tensor({1, 1, 2}, at::kLong)));
    EXPECT_THAT(set->Get({3}, &images, &labels),
                StatusIs(absl::StatusCode::kOutOfRange));
  }
}

TEST_F(ImageDatasetTest, AFolderIsTheSameDataAsItsZip) {
  std::filesystem::create_directories(dir_ / "f/a");
  std::ofstream(dir_ / "f/a/1.PNG") << Png(3, 8, 1);
  std::ofstream(dir_ / "f/0.png") << Png(4, 8, 1);
  RETORT_ASSERT_OK_AND_ASSIGN(const auto folder, OpenImageDataset(dir_ / "f"));
  RETORT_ASSERT_OK_AND_ASSIGN(const auto zip,
                              Open(ZipBuilder()
                                       .Add("a/1.PNG", Png(3, 8, 1), true)
                                       .Add("0.png", Png(4, 8, 1))));
  EXPECT_EQ(folder->manifest_hash(), zip->manifest_hash());
  EXPECT_EQ(folder->channels(), 1);
  EXPECT_EQ(folder->label_dim(), 0);
  RETORT_ASSERT_OK_AND_ASSIGN(const auto other,
                              Open(ZipBuilder()
                                       .Add("a/1.PNG", Png(3, 8, 1), true)
                                       .Add("0.png", Png(5, 8, 1))));
  EXPECT_NE(other->manifest_hash(), zip->manifest_hash());
}

TEST_F(ImageDatasetTest, NullLabelsAreNoLabels) {
  RETORT_ASSERT_OK_AND_ASSIGN(
      const auto set, Open(ZipBuilder()
                               .Add("0.png", Png(1))
                               .Add("dataset.json", R"({"labels": null})")));
  EXPECT_EQ(set->label_dim(), 0);
}

TEST_F(ImageDatasetTest, RefusesAnotherResolutionThanTheSpecs) {
  EXPECT_THAT(Refused(Three(), 32),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("is 4x4, not 32x32"),
                             HasSubstr("set it to 4"))));
}

TEST_F(ImageDatasetTest, RefusesImagesThatAreNotAlike) {
  EXPECT_THAT(
      Refused(ZipBuilder().Add("0.png", Png(1)).Add("1.png", Png(1, 8))),
      StatusIs(absl::StatusCode::kInvalidArgument,
               AllOf(HasSubstr("1.png"), HasSubstr("8x8"))));
  EXPECT_THAT(
      Refused(ZipBuilder().Add("0.png", Png(1)).Add("1.png", Png(1, 4, 1))),
      StatusIs(absl::StatusCode::kInvalidArgument,
               AllOf(HasSubstr("1.png"), HasSubstr("1 channels"))));
  EXPECT_THAT(Refused(ZipBuilder().Add(
                  "0.png", *io::EncodePng(at::zeros({4, 6, 3}, at::kByte)))),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("6x4"), HasSubstr("square"))));
}

TEST_F(ImageDatasetTest, FindsABrokenImageAtTheStartOrWhenItIsUsed) {
  const ZipBuilder zip =
      ZipBuilder().Add("0.png", Png(1)).Add("1.png", Png(1).substr(0, 60));
  EXPECT_THAT(Refused(zip), StatusIs(absl::StatusCode::kInvalidArgument,
                                     HasSubstr("1.png: not a usable PNG")));
  RETORT_ASSERT_OK_AND_ASSIGN(const auto set, Open(zip, 0, /*held=*/0));
  at::Tensor images, labels;
  EXPECT_THAT(set->Get({0}, &images, &labels), IsOk());
  EXPECT_THAT(set->Get({1}, &images, &labels),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("1.png")));
}

TEST_F(ImageDatasetTest, RefusesImagesOfOtherTypesAndNoImagesAtAll) {
  EXPECT_THAT(
      Refused(ZipBuilder().Add("0.png", Png(1)).Add("1.JPEG", "jpeg")),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("1.JPEG")));
  EXPECT_THAT(Refused(ZipBuilder().Add("a.txt", "text")),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("no PNG images (1 files")));
  EXPECT_THAT(OpenImageDataset(dir_ / "nowhere"),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("nowhere")));
  std::ofstream(dir_ / "text") << "hello, I am no zip file";
  EXPECT_THAT(OpenImageDataset(dir_ / "text"),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("text")));
}

TEST_F(ImageDatasetTest, RefusesBadLabels) {
  const struct {
    const char* json;
    const char* cause;
  } kCases[] = {
      {R"({"labels": [["1.png", 0]]})", "0.png: has no label"},
      {R"({"labels": [["0.png", -1]]})", "label of 0.png"},
      {R"({"labels": [["0.png", 0.5]]})", "label of 0.png"},
      {R"({"labels": [["0.png", 1e300]]})", "label of 0.png"},
      {R"({"labels": [["0.png", 99999999999]]})", "label of 0.png"},
      {R"({"labels": [["0.png", [0.1, 0.9]]]})", "label of 0.png is a list"},
      {R"({"labels": [["0.png"]]})", "no list of [file name, class]"},
      {R"({"labels": [["0.png", 1, 2]]})", "no list of [file name, class]"},
      {R"({"labels": [[1, "0.png"]]})", "no list of [file name, class]"},
      {R"({"labels": ["0.png", 1]})", "no list of [file name, class]"},
      {R"({"labels": [{"0.png": 1}]})", "no list of [file name, class]"},
      {R"([1, 2])", "it is no object"},
      {R"({"labels": [["0.png", 1)", "no JSON from byte"},
      {"", "no JSON from byte"},
  };
  for (const auto& c : kCases) {
    EXPECT_THAT(
        Refused(ZipBuilder().Add("0.png", Png(1)).Add("dataset.json", c.json)),
        StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(c.cause)))
        << c.json;
  }
}

TEST_F(ImageDatasetTest, DeeplyNestedJsonIsReadWithoutRecursion) {
  const std::string deep = R"({"x": )" + std::string(200000, '[') +
                           std::string(200000, ']') + R"(, "labels": null})";
  EXPECT_THAT(
      Refused(ZipBuilder().Add("0.png", Png(1)).Add("dataset.json", deep)),
      IsOk());
}

}  // namespace
}  // namespace retort::data
