#include "core/io/model_manifest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/support/status_matchers.h"

namespace retort::io {
namespace {

using ::retort::testing::StatusIs;
using ::testing::HasSubstr;

constexpr auto kBadManifest = absl::StatusCode::kInvalidArgument;

nlohmann::json Valid() {
  ModelManifest manifest;
  manifest.kind = "ctm";
  manifest.network = {{"img_resolution", 32}};
  manifest.lineage = {{"job", "j1"}, {"seed", 7}};
  manifest.weights_sha256 = std::string(64, 'a');
  manifest.files = {{"weights.safetensors", std::string(64, 'a')},
                    {"plot.svg", std::string(64, '0')}};
  return manifest.ToJson();
}

TEST(ModelManifestTest, RoundTrips) {
  RETORT_ASSERT_OK_AND_ASSIGN(const ModelManifest manifest,
                              ModelManifest::FromJson(Valid()));
  EXPECT_EQ(manifest.ToJson(), Valid());
  EXPECT_EQ(manifest.kind, "ctm");
  EXPECT_EQ(manifest.lineage["seed"], 7);
}

TEST(ModelManifestTest, RefusesAVersionOfTheFutureBeforeAnythingElse) {
  nlohmann::json json = Valid();
  json["format_version"] = 2;
  json["new_field"] = true;
  EXPECT_THAT(ModelManifest::FromJson(json),
              StatusIs(kBadManifest, HasSubstr("is 2; this program reads 1")));
}

TEST(ModelManifestTest, NamesAnUnknownField) {
  nlohmann::json json = Valid();
  json["colour"] = "red";
  EXPECT_THAT(ModelManifest::FromJson(json),
              StatusIs(kBadManifest, HasSubstr("'colour' is not known")));
}

TEST(ModelManifestTest, RefusesFieldsOfTheWrongType) {
  for (const char* field :
       {"format_version", "kind", "network", "preconditioning", "lineage",
        "files", "weights_sha256"}) {
    nlohmann::json json = Valid();
    json[field] = {1, 2};
    EXPECT_THAT(ModelManifest::FromJson(json),
                StatusIs(kBadManifest, HasSubstr(field)));
  }
  EXPECT_THAT(ModelManifest::FromJson("text"), StatusIs(kBadManifest));
}

TEST(ModelManifestTest, RefusesAnUnknownKind) {
  nlohmann::json json = Valid();
  json["kind"] = "gan";
  EXPECT_THAT(ModelManifest::FromJson(json),
              StatusIs(kBadManifest, HasSubstr("kind")));
}

TEST(ModelManifestTest, RefusesFileNamesThatLeaveTheDirectory) {
  for (const char* name :
       {"../x", "/etc/passwd", "a/b", "", ".", "..", "manifest.json"}) {
    nlohmann::json json = Valid();
    json["files"][name] = std::string(64, 'a');
    EXPECT_THAT(ModelManifest::FromJson(json),
                StatusIs(kBadManifest, HasSubstr("not a plain one")))
        << name;
  }
}

TEST(ModelManifestTest, RefusesHashesThatAreNone) {
  for (const char* hash : {"", "abc", "ZZ"}) {
    nlohmann::json json = Valid();
    json["files"]["plot.svg"] = hash;
    EXPECT_THAT(ModelManifest::FromJson(json),
                StatusIs(kBadManifest, HasSubstr("plot.svg")));
  }
}

TEST(ModelManifestTest, RefusesTwoHashesOfTheWeights) {
  nlohmann::json json = Valid();
  json["weights_sha256"] = std::string(64, 'b');
  EXPECT_THAT(ModelManifest::FromJson(json),
              StatusIs(kBadManifest, HasSubstr("differs")));
}

TEST(ModelManifestTest, ATorchScriptModuleStandsInForWeights) {
  nlohmann::json json = Valid();
  json["kind"] = "feature_extractor";
  json["network"] = {{"type", "torchscript"}};
  EXPECT_THAT(
      ModelManifest::FromJson(json),
      StatusIs(kBadManifest, HasSubstr("does not list model.torchscript.pt")));
  json["files"] = {{"model.torchscript.pt", std::string(64, 'a')}};
  RETORT_ASSERT_OK_AND_ASSIGN(const ModelManifest manifest,
                              ModelManifest::FromJson(json));
  EXPECT_TRUE(manifest.is_torchscript());
  EXPECT_FALSE(ModelManifest::FromJson(Valid())->is_torchscript());
}

TEST(ModelManifestTest, NeedsTheWeights) {
  nlohmann::json json = Valid();
  json["files"].erase("weights.safetensors");
  EXPECT_THAT(ModelManifest::FromJson(json),
              StatusIs(kBadManifest, HasSubstr("does not list")));
}

}  // namespace
}  // namespace retort::io
