#include "client/names.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace retort::client {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(NamesTest, MakesShortNamesFullAndKeepsFullOnes) {
  EXPECT_EQ(FullName("p", "jobs", "j"), "projects/p/jobs/j");
  EXPECT_EQ(FullName("p", "jobs", "projects/q/jobs/j"), "projects/q/jobs/j");
  EXPECT_EQ(ShortName("projects/q/jobs/j"), "j");
  EXPECT_EQ(ShortName("j"), "j");
}

TEST(NamesTest, LeavesEmptyModelNamesEmpty) {
  v1::JobSpec spec;
  spec.mutable_evaluate()->set_model("m");
  ExpandModelNames("p", &spec);
  EXPECT_EQ(spec.evaluate().model(), "projects/p/models/m");
  EXPECT_EQ(spec.evaluate().feature_extractor(), "");
}

TEST(NamesTest, ExpandsTheExtractorOfAValidation) {
  v1::JobSpec spec;
  spec.mutable_distill()
      ->mutable_training()
      ->mutable_validation()
      ->set_feature_extractor("f");
  ExpandModelNames("p", &spec);
  EXPECT_EQ(spec.distill().training().validation().feature_extractor(),
            "projects/p/models/f");
  spec.mutable_train_teacher();
  ExpandModelNames("p", &spec);
  EXPECT_FALSE(spec.train_teacher().training().has_validation());
}

TEST(NamesTest, FindsNearNamesBestFirst) {
  const std::vector<std::string> known = {"teacher", "training", "distance"};
  EXPECT_THAT(NearestNames("teachr", known), ElementsAre("teacher"));
  EXPECT_THAT(NearestNames("trianing", known), ElementsAre("training"));
  EXPECT_THAT(NearestNames("zzz", known), IsEmpty());
}

TEST(NamesTest, ListsAllWhenNothingIsNear) {
  EXPECT_EQ(DidYouMean("zzz", {"a", "b"}), "; known: a, b");
  EXPECT_EQ(DidYouMean("teachr", {"teacher"}), "; did you mean teacher?");
}

}  // namespace
}  // namespace retort::client
