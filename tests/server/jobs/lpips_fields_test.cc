#include "server/jobs/lpips_fields.h"

#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>
#include <google/protobuf/util/json_util.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "server/jobs/spec_models.h"
#include "server/jobs/spec_resolver.h"
#include "tests/support/fake_models.h"
#include "tests/support/status_matchers.h"

namespace retort::jobs {
namespace {

using ::retort::testing::IsOk;
using ::retort::testing::StatusIs;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr auto kBad = absl::StatusCode::kInvalidArgument;
const char kWeights[] =
    "distance: DISTANCE_LPIPS lpips { backbone: 'projects/p/models/vgg' "
    "heads: 'projects/p/models/heads' ";

class LpipsFieldsTest : public ::testing::Test {
 protected:
  LpipsFieldsTest() {
    AddTeacher(32, 3);
    Add("vgg", v1::Model::KIND_PERCEPTUAL, R"({"type": "vgg16"})");
    Add("heads", v1::Model::KIND_PERCEPTUAL,
        R"({"type": "lpips-heads", "backbone": "vgg16"})");
  }

  void Add(const std::string& id, v1::Model::Kind kind,
           const std::string& network) {
    v1::Model model;
    model.set_name("projects/p/models/" + id);
    model.set_kind(kind);
    EXPECT_TRUE(google::protobuf::util::JsonStringToMessage(
                    R"({"network": )" + network + "}", model.mutable_manifest())
                    .ok());
    models_.Add(model);
  }
  void AddTeacher(int side, int channels) {
    Add("teacher", v1::Model::KIND_TEACHER,
        absl::StrCat(R"({"img_channels": )", channels,
                     R"(, "img_resolution": )", side, "}"));
  }
  absl::Status Resolve(const std::string& more) {
    spec_.Clear();
    EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(
        "distill { teacher: 'projects/p/models/teacher' "
        "data { dataset: DATASET_IMAGES path: '/a.zip' } "
        "training { iterations: 10 } " +
            more + " }",
        &spec_))
        << more;
    return SpecResolver({.cpu_slots = 2}, &models_).Resolve(&spec_);
  }
  const v1::LpipsSpec& lpips() const { return spec_.distill().lpips(); }

  retort::testing::FakeModels models_;
  v1::JobSpec spec_;
};

TEST_F(LpipsFieldsTest, DefaultsAreThoseOfTheAuthorsOfCm) {
  ASSERT_THAT(Resolve(absl::StrCat(kWeights, "}")), IsOk());
  EXPECT_EQ(lpips().resize(), 224);
  EXPECT_EQ(lpips().pooling(), v1::LpipsSpec::POOLING_MEAN);
  AddTeacher(256, 3);
  ASSERT_THAT(Resolve(absl::StrCat(kWeights, "}")), IsOk());
  EXPECT_EQ(lpips().resize(), -1);
}

TEST_F(LpipsFieldsTest, WithoutATeacherTheDataSayHowLargeImagesAre) {
  const auto side = [&](int resolution) {
    EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(
        absl::StrCat("distill { method: METHOD_CT data { dataset: "
                     "DATASET_IMAGES path: '/a.zip' resolution: ",
                     resolution, " } training { iterations: 10 } ", kWeights,
                     "} }"),
        &spec_));
    EXPECT_THAT(SpecResolver({.cpu_slots = 2}, &models_).Resolve(&spec_),
                IsOk());
    return lpips().resize();
  };
  EXPECT_EQ(side(64), 224);
  EXPECT_EQ(side(256), -1);
}

TEST_F(LpipsFieldsTest, WithoutWeightsSaysWhereToGetThem) {
  EXPECT_THAT(Resolve("distance: DISTANCE_LPIPS lpips { resize: 224 }"),
              StatusIs(kBad, AllOf(HasSubstr("job.spec.distill.lpips.backbone"),
                                   HasSubstr("job.spec.distill.lpips.heads"),
                                   HasSubstr("torchvision's vgg16"),
                                   HasSubstr("the PyPI package lpips"),
                                   HasSubstr("models import"))));
}

TEST_F(LpipsFieldsTest, TheJobNeedsItsModels) {
  ASSERT_THAT(Resolve(absl::StrCat(kWeights, "}")), IsOk());
  EXPECT_THAT(ModelsOf(spec_), AllOf(Contains("projects/p/models/vgg"),
                                     Contains("projects/p/models/heads")));
}

TEST_F(LpipsFieldsTest, TheModelsMustBeABackboneAndItsHeads) {
  const auto resolve = [&](const std::string& backbone,
                           const std::string& heads) {
    return Resolve(absl::StrCat(
        "distance: DISTANCE_LPIPS lpips { backbone: 'projects/p/models/",
        backbone, "' heads: 'projects/p/models/", heads, "' }"));
  };
  EXPECT_THAT(resolve("vgg", "none"), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(resolve("teacher", "heads"),
              StatusIs(kBad, HasSubstr("name one of kind PERCEPTUAL")));
  EXPECT_THAT(resolve("heads", "vgg"),
              StatusIs(kBad, HasSubstr("vgg16, alexnet or squeezenet1_1")));
  EXPECT_THAT(resolve("vgg", "vgg"),
              StatusIs(kBad, HasSubstr("no heads of LPIPS")));
  Add("other", v1::Model::KIND_PERCEPTUAL, "{}");
  EXPECT_THAT(resolve("other", "heads"),
              StatusIs(kBad, HasSubstr("no classifier")));
  Add("alex", v1::Model::KIND_PERCEPTUAL, R"({"type": "alexnet"})");
  EXPECT_THAT(resolve("alex", "heads"),
              StatusIs(kBad, AllOf(HasSubstr("heads for vgg16"),
                                   HasSubstr("lpips has for alexnet"))));
}

TEST_F(LpipsFieldsTest, ImagesMustBeLargeEnoughAndOfOneOrThreeChannels) {
  EXPECT_THAT(Resolve(absl::StrCat(kWeights, "resize: 16 }")), IsOk());
  EXPECT_THAT(Resolve(absl::StrCat(kWeights, "resize: 15 }")),
              StatusIs(kBad, HasSubstr("vgg16 takes 16 or more")));
  EXPECT_THAT(Resolve(absl::StrCat(kWeights, "resize: -2 }")),
              StatusIs(kBad, HasSubstr("-1 to compare")));
  EXPECT_THAT(Resolve(absl::StrCat(kWeights, "resize: 4096 }")),
              StatusIs(kBad, HasSubstr("[1, 1024]")));
  EXPECT_THAT(Resolve(absl::StrCat(kWeights, "resize: -1 }")), IsOk());
  AddTeacher(8, 1);
  EXPECT_THAT(Resolve(absl::StrCat(kWeights, "}")), IsOk());
  EXPECT_THAT(Resolve(absl::StrCat(kWeights, "resize: -1 }")),
              StatusIs(kBad, HasSubstr("images of 8 pixels")));
  AddTeacher(32, 4);
  EXPECT_THAT(Resolve(absl::StrCat(kWeights, "}")),
              StatusIs(kBad, HasSubstr("the teacher's have 4")));
}

// A preset's `lpips` stays where another distance is chosen.
TEST_F(LpipsFieldsTest, OtherDistancesPassOverAllButModels) {
  ASSERT_THAT(Resolve("distance: DISTANCE_L2 lpips { resize: 224 }"), IsOk());
  EXPECT_THAT(ModelsOf(spec_), Not(Contains("")));
  EXPECT_THAT(Resolve("lpips { backbone: 'projects/p/models/vgg' }"),
              StatusIs(kBad, HasSubstr("`distance` is not DISTANCE_LPIPS")));
}

}  // namespace
}  // namespace retort::jobs
