#include "core/eval/torchscript_extractor.h"

#include "core/base/file.h"
#include "core/io/model_file.h"
#include "tests/core/eval/torchscript_files.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace retort::eval {
namespace {

using ::retort::testing::IsOk;
using ::retort::testing::StatusIs;
using ::retort::testing::TempDir;
using ::testing::HasSubstr;

class TorchScriptExtractorTest : public ::testing::Test {
 protected:
  absl::StatusOr<std::unique_ptr<FeatureExtractor>> LoadScript(
      const std::string& source, ImageShape shape = {1, 8}) {
    WriteScript(dir_ / "m.pt", source);
    return TorchScriptExtractor::LoadFile(dir_ / "m.pt", "hash", shape);
  }
  // Loading fails with this in its message.
  void ExpectRefused(const std::string& body, const std::string& text) {
    EXPECT_THAT(LoadScript("def forward(self, x):\n    " + body),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(text)))
        << body;
  }

  TempDir dir_;
};

TEST_F(TorchScriptExtractorTest, GivesTheModulesFeaturesAndLogits) {
  RETORT_ASSERT_OK_AND_ASSIGN(auto extractor,
                              LoadScript(kThreeChannelScript, {3, 8}));
  EXPECT_EQ(extractor->dim(), 6);
  EXPECT_EQ(extractor->classes(), 2);
  EXPECT_EQ(extractor->channels(), 3);
  at::Tensor images = at::zeros({2, 3, 8, 8}, at::kByte);
  images[1][1].slice(0, 0, 4).fill_(255);
  RETORT_ASSERT_OK_AND_ASSIGN(const Extracted out, extractor->Extract(images));
  EXPECT_TRUE(at::allclose(
      out.features,
      at::tensor({0., 0., 0., 0., 0., 0., 0., .5, 0., 0., 1., 0.}, at::kFloat)
          .view({2, 6})));
  EXPECT_TRUE(at::allclose(
      out.logits, at::tensor({0., 0., 0., .5}, at::kFloat).view({2, 2})));
}

TEST_F(TorchScriptExtractorTest, RepeatsTheOneChannelOnlyIfTheModuleNeedsIt) {
  const at::Tensor images = at::full({2, 1, 8, 8}, 51, at::kByte);
  RETORT_ASSERT_OK_AND_ASSIGN(auto three, LoadScript(kThreeChannelScript));
  EXPECT_EQ(three->channels(), 3);
  RETORT_ASSERT_OK_AND_ASSIGN(const at::Tensor f, three->Features(images));
  EXPECT_TRUE(at::allclose(f, at::full({2, 6}, 0.2)));
  RETORT_ASSERT_OK_AND_ASSIGN(auto any, LoadScript(kAnyChannelScript));
  EXPECT_EQ(any->channels(), 1);
  EXPECT_EQ(any->dim(), 4);
  EXPECT_EQ(any->classes(), 0);
  EXPECT_NE(any->preprocessing(), three->preprocessing());
}

TEST_F(TorchScriptExtractorTest, FindsASizeThatTheModuleTakes) {
  const std::string source =
      "def forward(self, x):\n"
      "    assert x.size(2) == 299 and x.size(1) == 3, '299 please'\n"
      "    return x.float().mean([2, 3])\n";
  RETORT_ASSERT_OK_AND_ASSIGN(auto extractor, LoadScript(source, {}));
  EXPECT_EQ(extractor->dim(), 3);
  EXPECT_THAT(LoadScript(source, {1, 32}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("uint8 [2,3,32,32]")));
}

TEST_F(TorchScriptExtractorTest, RunsInEvalMode) {
  RETORT_ASSERT_OK_AND_ASSIGN(
      auto extractor,
      LoadScript("def forward(self, x):\n"
                 "    return torch.dropout(x.float().flatten(1), 0.5, "
                 "self.training)\n"));
  const at::Tensor images = at::full({4, 1, 8, 8}, 7, at::kByte);
  RETORT_ASSERT_OK_AND_ASSIGN(const at::Tensor f, extractor->Features(images));
  EXPECT_TRUE(at::equal(f, at::full({4, 64}, 7.0)));
}

TEST_F(TorchScriptExtractorTest, RefusesOutputsThatAreNoFeatures) {
  ExpectRefused("return x.float().mean()", "a row for each image");
  ExpectRefused("return x.float()", "a row for each image");
  ExpectRefused("return x.flatten(1)", "floating-point");
  ExpectRefused("return x.float().flatten(1)[:1]", "for 2 images it gave");
  ExpectRefused("return [x.float().flatten(1)]", "(features, logits)");
  ExpectRefused("y = x.float().flatten(1)\n    return y, y, y",
                "(features, logits)");
  ExpectRefused("y = x.float().flatten(1)\n    return y, y[:, 0]", "logits");
  ExpectRefused("return x.float().flatten(1) / 0", "not all finite");
  ExpectRefused("return torch.zeros([2, 0])", "a row for each image");
}

TEST_F(TorchScriptExtractorTest, SaysWhatTheModuleRaised) {
  ExpectRefused("assert x.size(0) == 0, 'no such luck'\n    return x",
                "no such luck");
  ExpectRefused("return x.float().flatten(1).matmul(torch.ones([3, 2]))",
                "the module failed");
}

TEST_F(TorchScriptExtractorTest, NoticesImagesThatBreakIt) {
  RETORT_ASSERT_OK_AND_ASSIGN(
      auto extractor, LoadScript("def forward(self, x):\n"
                                 "    y = x.float().flatten(1)\n"
                                 "    return y / y.sum(1, keepdim=True)\n"));
  EXPECT_THAT(extractor->Extract(at::zeros({1, 1, 8, 8}, at::kByte)),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("features are not all finite")));
  EXPECT_THAT(extractor->Extract(at::ones({1, 1, 9, 9}, at::kByte)),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("it gave 81 features")));
  EXPECT_THAT(extractor->Extract(at::ones({1, 1, 8, 8})),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("uint8")));
}

TEST_F(TorchScriptExtractorTest, RefusesAFileThatIsNoModule) {
  ASSERT_THAT(base::AtomicWriteFile(dir_ / "m.pt", "not a zip"), IsOk());
  EXPECT_THAT(TorchScriptExtractor::LoadFile(dir_ / "m.pt", "hash", {}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("cannot be loaded")));
  EXPECT_THAT(LoadScript("def other(self, x):\n    return x\n"),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("no method forward")));
}

TEST_F(TorchScriptExtractorTest, ComesFromAModelDirectoryThatIsVerified) {
  WriteScriptModel(dir_ / "model", kThreeChannelScript);
  RETORT_ASSERT_OK_AND_ASSIGN(auto extractor,
                              FeatureExtractor::Load(dir_ / "model", {1, 8}));
  EXPECT_FALSE(extractor->is_built_in());
  EXPECT_EQ(extractor->num_parameters(), 1);
  EXPECT_EQ(extractor->hash(),
            *base::Sha256File(dir_ / "model/model.torchscript.pt"));
  WriteScript(dir_ / "model/model.torchscript.pt", kAnyChannelScript);
  EXPECT_THAT(FeatureExtractor::Load(dir_ / "model", {1, 8}),
              StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_THAT(io::ReadModelDir(dir_ / "model"),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("feature extractor only")));
}

}  // namespace
}  // namespace retort::eval
