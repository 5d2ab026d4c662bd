#include "client/names.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace retort::client {
namespace {

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

// Every field of a spec that holds a model's name.
TEST(NamesTest, ExpandsAllModelNamesOfASpec) {
  v1::JobSpec spec;
  auto* distill = spec.mutable_distill();
  distill->set_teacher("t");
  distill->set_preconditioning_artifact("p");
  distill->mutable_lpips()->set_backbone("b");
  distill->mutable_lpips()->set_heads("h");
  distill->mutable_training()->mutable_validation()->set_feature_extractor("f");
  ExpandModelNames("q", &spec);
  EXPECT_EQ(distill->teacher(), "projects/q/models/t");
  EXPECT_EQ(distill->preconditioning_artifact(), "projects/q/models/p");
  EXPECT_EQ(distill->lpips().backbone(), "projects/q/models/b");
  EXPECT_EQ(distill->lpips().heads(), "projects/q/models/h");
  EXPECT_EQ(distill->training().validation().feature_extractor(),
            "projects/q/models/f");

  auto* training = spec.mutable_train_teacher()->mutable_training();
  training->mutable_validation()->set_feature_extractor("f");
  ExpandModelNames("q", &spec);
  EXPECT_EQ(training->validation().feature_extractor(), "projects/q/models/f");
}

TEST(NamesTest, AddsNoMessagesToASpec) {
  v1::JobSpec spec;
  spec.mutable_distill()->set_teacher("t");
  ExpandModelNames("p", &spec);
  EXPECT_FALSE(spec.distill().has_lpips());
  EXPECT_FALSE(spec.distill().training().has_validation());
}

}  // namespace
}  // namespace retort::client
