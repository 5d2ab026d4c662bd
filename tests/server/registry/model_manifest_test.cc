#include "server/registry/model_manifest.h"

#include <gtest/gtest.h>

#include "tests/support/model_files.h"
#include "tests/support/status_matchers.h"

namespace retort::registry {
namespace {

using ::testing::HasSubstr;
using testing::StatusIs;

constexpr auto kBad = absl::StatusCode::kInvalidArgument;
const std::string kHash(64, 'a');

ImportedFile WeightsWith(const std::string& sha256) {
  return {kWeightsFile, sha256, {}};
}

v1::ImportModelHeader CtmHeader() {
  v1::ImportModelHeader header;
  header.set_kind(v1::Model::KIND_CTM);
  *header.mutable_network() = *ToStruct(testing::SmallNetwork());
  return header;
}

TEST(ModelManifestTest, MakesAManifestFromKindAndNetwork) {
  RETORT_ASSERT_OK_AND_ASSIGN(
      const nlohmann::json manifest,
      ManifestOfImport(CtmHeader(), WeightsWith(kHash)));
  RETORT_ASSERT_OK_AND_ASSIGN(const ModelFacts facts, ParseManifest(manifest));
  EXPECT_EQ(facts.kind, v1::Model::KIND_CTM);
  EXPECT_EQ(facts.preconditioning, v1::PRECONDITIONING_KIND_CTM);
  EXPECT_EQ(facts.resolution, 32);
  EXPECT_EQ(facts.channels, 1);
  EXPECT_EQ(facts.classes, 10);
  EXPECT_EQ(facts.files.at(kWeightsFile), kHash);
}

TEST(ModelManifestTest, NumbersOfANetworkSurviveTheApi) {
  RETORT_ASSERT_OK_AND_ASSIGN(
      const nlohmann::json manifest,
      ManifestOfImport(CtmHeader(), WeightsWith(kHash)));
  EXPECT_EQ(manifest["network"], testing::SmallNetwork());
}

TEST(ModelManifestTest, AsksForKindAndNetworkWhereNoManifestIsGiven) {
  v1::ImportModelHeader header = CtmHeader();
  header.clear_kind();
  EXPECT_THAT(ManifestOfImport(header, WeightsWith(kHash)),
              StatusIs(kBad, HasSubstr("header.kind")));
  header = CtmHeader();
  header.clear_network();
  EXPECT_THAT(ManifestOfImport(header, WeightsWith(kHash)),
              StatusIs(kBad, HasSubstr("header.network")));
}

TEST(ModelManifestTest, OnlyATrajectoryModelTakesASecondTime) {
  v1::ImportModelHeader header = CtmHeader();
  nlohmann::json network = testing::SmallNetwork();
  network["two_times"] = true;
  *header.mutable_network() = *ToStruct(network);
  EXPECT_THAT(ManifestOfImport(header, WeightsWith(kHash)), testing::IsOk());
  header.set_kind(v1::Model::KIND_CM);
  EXPECT_THAT(ManifestOfImport(header, WeightsWith(kHash)),
              StatusIs(kBad, HasSubstr("import it as ctm")));
}

TEST(ModelManifestTest, WeightsForLpipsNeedNoNetwork) {
  v1::ImportModelHeader header;
  header.set_kind(v1::Model::KIND_PERCEPTUAL);
  RETORT_ASSERT_OK_AND_ASSIGN(const nlohmann::json manifest,
                              ManifestOfImport(header, WeightsWith(kHash)));
  EXPECT_EQ(manifest["kind"], "perceptual");
  EXPECT_EQ(manifest["network"], nlohmann::json::object());
}

TEST(ModelManifestTest, RefusesAManifestOfOtherWeights) {
  RETORT_ASSERT_OK_AND_ASSIGN(
      const nlohmann::json manifest,
      ManifestOfImport(CtmHeader(), WeightsWith(kHash)));
  v1::ImportModelHeader header;
  *header.mutable_manifest() = *ToStruct(manifest);
  EXPECT_THAT(ManifestOfImport(header, WeightsWith(kHash)), testing::IsOk());
  EXPECT_THAT(ManifestOfImport(header, WeightsWith(std::string(64, 'b'))),
              StatusIs(kBad, HasSubstr("belong together")));
  header.set_kind(v1::Model::KIND_TEACHER);
  EXPECT_THAT(ManifestOfImport(header, WeightsWith(kHash)),
              StatusIs(kBad, HasSubstr("header.kind")));
}

TEST(ModelManifestTest, RefusesMalformedManifestsByField) {
  RETORT_ASSERT_OK_AND_ASSIGN(
      const nlohmann::json good,
      ManifestOfImport(CtmHeader(), WeightsWith(kHash)));
  const auto with = [&](const char* field, nlohmann::json value) {
    nlohmann::json manifest = good;
    manifest[field] = std::move(value);
    return ParseManifest(manifest);
  };
  EXPECT_THAT(with("format_version", 2),
              StatusIs(kBad, HasSubstr("format_version")));
  EXPECT_THAT(with("kind", "gan"), StatusIs(kBad, HasSubstr("'kind'")));
  EXPECT_THAT(with("network", 3), StatusIs(kBad, HasSubstr("'network'")));
  EXPECT_THAT(with("network", {{"img_resolution", -1}, {"img_channels", 1}}),
              StatusIs(kBad, HasSubstr("img_resolution")));
  EXPECT_THAT(with("network", nlohmann::json::object()),
              StatusIs(kBad, HasSubstr("img_channels")));
  EXPECT_THAT(with("files", {{"../x", kHash}}),
              StatusIs(kBad, HasSubstr("plain")));
  EXPECT_THAT(with("files", {{"weights.safetensors", "0"}}),
              StatusIs(kBad, HasSubstr("SHA-256")));
  EXPECT_THAT(ParseManifest(nlohmann::json(7)), StatusIs(kBad));
}

TEST(ModelManifestTest, KnowsPreconditioningsByTheirNames) {
  RETORT_ASSERT_OK_AND_ASSIGN(
      nlohmann::json manifest,
      ManifestOfImport(CtmHeader(), WeightsWith(kHash)));
  manifest["preconditioning"] = {{"name", "analytic-forward"}};
  EXPECT_EQ(ParseManifest(manifest)->preconditioning,
            v1::PRECONDITIONING_KIND_ANALYTIC_FORWARD);
  manifest["preconditioning"] = {{"name", "no-such"}};
  EXPECT_EQ(ParseManifest(manifest)->preconditioning,
            v1::PRECONDITIONING_KIND_UNSPECIFIED);
}

}  // namespace
}  // namespace retort::registry
