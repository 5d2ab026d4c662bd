#include "core/io/model_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <string>

#include "core/base/file.h"
#include "core/base/write_fault.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace retort::io {
namespace {

using ::retort::testing::IsOk;
using ::retort::testing::IsOkAndHolds;
using ::retort::testing::StatusIs;
using ::retort::testing::TempDir;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class ModelFileTest : public ::testing::Test {
 protected:
  absl::Status Write(const at::Tensor& weight) {
    ModelManifest manifest;
    manifest.kind = "teacher";
    manifest.network = {{"img_resolution", 32}};
    return WriteModelDir(path_, manifest, {{"w", weight}},
                         {{"card.md", "# A model\n"}})
        .status();
  }

  TempDir dir_;
  const std::string path_ = dir_ / "model";
};

TEST_F(ModelFileTest, RoundTrips) {
  ASSERT_THAT(Write(at::ones({3})), IsOk());
  RETORT_ASSERT_OK_AND_ASSIGN(const ModelDirContents model,
                              ReadModelDir(path_));
  EXPECT_TRUE(at::equal(model.tensors.at("w"), at::ones({3})));
  EXPECT_EQ(model.manifest.network["img_resolution"], 32);
  EXPECT_EQ(model.manifest.files.at("card.md"), base::Sha256Hex("# A model\n"));
  EXPECT_THAT(base::Sha256File(path_ + "/weights.safetensors"),
              IsOkAndHolds(model.manifest.weights_sha256));
}

TEST_F(ModelFileTest, ReplacesAnOlderModelAndLeavesNothingBeside) {
  ASSERT_THAT(Write(at::zeros({3})), IsOk());
  ASSERT_THAT(Write(at::ones({3})), IsOk());
  RETORT_ASSERT_OK_AND_ASSIGN(const ModelDirContents model,
                              ReadModelDir(path_));
  EXPECT_TRUE(at::equal(model.tensors.at("w"), at::ones({3})));
  EXPECT_THAT(base::ListDir(dir_.path()), IsOkAndHolds(ElementsAre("model")));
}

TEST_F(ModelFileTest, IgnoresWhatACrashLeft) {
  ASSERT_THAT(base::MakeDirs(path_ + ".tmp/junk"), IsOk());
  ASSERT_THAT(Write(at::ones({3})), IsOk());
  EXPECT_THAT(base::ListDir(path_),
              IsOkAndHolds(ElementsAre("card.md", "manifest.json",
                                       "weights.safetensors")));
}

TEST_F(ModelFileTest, KeepsTheOldModelWhenTheDiskFillsUp) {
  ASSERT_THAT(Write(at::zeros({3})), IsOk());
  {
    base::ScopedWriteFault full_disk(/*bytes=*/5000, ENOSPC);
    EXPECT_THAT(Write(at::ones({10000})),
                StatusIs(absl::StatusCode::kResourceExhausted));
  }
  EXPECT_THAT(ReadModelDir(path_), IsOk());
  EXPECT_THAT(base::ListDir(dir_.path()), IsOkAndHolds(ElementsAre("model")));
}

TEST_F(ModelFileTest, SaysThatThereIsNoModel) {
  EXPECT_THAT(ReadModelDir(path_), StatusIs(absl::StatusCode::kNotFound,
                                            HasSubstr("manifest.json")));
}

TEST_F(ModelFileTest, FindsChangedWeights) {
  ASSERT_THAT(Write(at::zeros({3})), IsOk());
  ASSERT_THAT(
      WriteSafetensors(path_ + "/weights.safetensors", {{"w", at::ones({3})}}),
      IsOk());
  const auto damaged =
      StatusIs(absl::StatusCode::kDataLoss,
               HasSubstr("weights.safetensors is damaged: expected SHA-256"));
  EXPECT_THAT(ReadModelDir(path_), damaged);
}

TEST_F(ModelFileTest, ReportsTruncatedWeightsAsDamage) {
  ASSERT_THAT(Write(at::zeros({3})), IsOk());
  ASSERT_THAT(base::AtomicWriteFile(path_ + "/weights.safetensors", "abc"),
              IsOk());
  EXPECT_THAT(ReadModelDir(path_),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("is damaged")));
}

TEST_F(ModelFileTest, FindsMissingAndChangedExtraFiles) {
  ASSERT_THAT(Write(at::zeros({3})), IsOk());
  ASSERT_THAT(base::AtomicWriteFile(path_ + "/card.md", "forged"), IsOk());
  EXPECT_THAT(ReadModelDir(path_),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("card.md")));
  ASSERT_THAT(base::RemoveTree(path_ + "/card.md"), IsOk());
  EXPECT_THAT(ReadModelDir(path_),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("missing")));
}

TEST_F(ModelFileTest, RefusesAManifestThatIsNotJson) {
  ASSERT_THAT(Write(at::zeros({3})), IsOk());
  ASSERT_THAT(base::AtomicWriteFile(path_ + "/manifest.json", "{"), IsOk());
  EXPECT_THAT(ReadModelManifest(path_),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("it is not JSON")));
}

TEST_F(ModelFileTest, RefusesABadKindOrExtraFileName) {
  ModelManifest manifest;
  manifest.kind = "gan";
  EXPECT_THAT(WriteModelDir(path_, manifest, {}),
              StatusIs(absl::StatusCode::kInvalidArgument));
  manifest.kind = "cm";
  for (const char* name : {"../x", "manifest.json", "weights.safetensors"}) {
    EXPECT_THAT(WriteModelDir(path_, manifest, {}, {{name, ""}}),
                StatusIs(absl::StatusCode::kInvalidArgument))
        << name;
  }
  EXPECT_FALSE(base::FileExists(path_));
}

}  // namespace
}  // namespace retort::io
