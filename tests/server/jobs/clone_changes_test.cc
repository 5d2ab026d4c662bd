#include "server/jobs/clone_changes.h"

#include <gmock/gmock.h>
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include "server/base/error.h"
#include "tests/support/fake_models.h"
#include "tests/support/status_matchers.h"

namespace retort::jobs {
namespace {

using ::retort::testing::IsOk;
using ::retort::testing::StatusIs;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

v1::Job MakeTeacherJob() {
  v1::Job job;
  job.set_display_name("old");
  job.set_priority(3);
  (*job.mutable_labels())["team"] = "vision";
  (*job.mutable_labels())["a.b"] = "1";
  auto* task = job.mutable_spec()->mutable_train_teacher();
  task->mutable_training()->set_iterations(100);
  task->mutable_training()->set_seed(7);
  task->mutable_network()->add_channel_mult(1);
  task->mutable_network()->add_channel_mult(2);
  return job;
}

google::protobuf::FieldMask Mask(const std::vector<std::string>& paths) {
  google::protobuf::FieldMask mask;
  for (const std::string& path : paths) mask.add_paths(path);
  return mask;
}

TEST(ApplyChangesTest, ChangesWhatTheMaskNamesAndNothingElse) {
  v1::Job changes;
  changes.set_display_name("new");
  changes.set_priority(9);
  changes.mutable_spec()
      ->mutable_train_teacher()
      ->mutable_training()
      ->set_iterations(400);
  v1::Job job = MakeTeacherJob();
  ASSERT_THAT(ApplyChanges(changes,
                           Mask({"display_name",
                                 "spec.train_teacher.training.iterations"}),
                           &job),
              IsOk());
  EXPECT_EQ(job.display_name(), "new");
  EXPECT_EQ(job.priority(), 3);
  EXPECT_EQ(job.spec().train_teacher().training().iterations(), 400);
  EXPECT_EQ(job.spec().train_teacher().training().seed(), 7u);
}

TEST(ApplyChangesTest, WithoutAMaskNothingChanges) {
  v1::Job changes;
  changes.set_display_name("new");
  v1::Job job = MakeTeacherJob();
  ASSERT_THAT(ApplyChanges(changes, {}, &job), IsOk());
  EXPECT_EQ(job.display_name(), "old");
}

TEST(ApplyChangesTest, AFieldThatIsNotSetGetsItsDefaultAgain) {
  v1::Job job = MakeTeacherJob();
  ASSERT_THAT(
      ApplyChanges(v1::Job(), Mask({"spec.train_teacher.training.seed"}), &job),
      IsOk());
  EXPECT_EQ(job.spec().train_teacher().training().seed(), 0u);
}

TEST(ApplyChangesTest, ReplacesListsAndMessagesAsAWhole) {
  v1::Job changes;
  auto* task = changes.mutable_spec()->mutable_train_teacher();
  task->mutable_network()->add_channel_mult(4);
  task->mutable_training()->set_batch_size(8);
  v1::Job job = MakeTeacherJob();
  ASSERT_THAT(ApplyChanges(changes,
                           Mask({"spec.train_teacher.network.channel_mult",
                                 "spec.train_teacher.training"}),
                           &job),
              IsOk());
  EXPECT_THAT(job.spec().train_teacher().network().channel_mult(),
              ElementsAre(4));
  EXPECT_EQ(job.spec().train_teacher().training().batch_size(), 8);
  EXPECT_EQ(job.spec().train_teacher().training().iterations(), 0);
}

TEST(ApplyChangesTest, ChangesOneLabelOrAll) {
  v1::Job changes;
  (*changes.mutable_labels())["a.b"] = "2";
  v1::Job job = MakeTeacherJob();
  ASSERT_THAT(ApplyChanges(changes, Mask({"labels.a.b"}), &job), IsOk());
  EXPECT_EQ(job.labels().at("a.b"), "2");
  EXPECT_EQ(job.labels().at("team"), "vision");
  ASSERT_THAT(ApplyChanges(changes, Mask({"labels.team"}), &job), IsOk());
  EXPECT_FALSE(job.labels().contains("team"));
  (*changes.mutable_labels())["c"] = "3";
  ASSERT_THAT(ApplyChanges(changes, Mask({"labels"}), &job), IsOk());
  EXPECT_EQ(job.labels().size(), 2u);
}

TEST(ApplyChangesTest, NamesAnUnknownPathAndTheNearestKnown) {
  v1::Job job = MakeTeacherJob();
  const v1::Job before = job;
  const absl::Status status = ApplyChanges(
      v1::Job(),
      Mask({"display_name", "spec.train_teacher.trainig.iterations"}), &job);
  EXPECT_THAT(status,
              StatusIs(kInvalid,
                       AllOf(HasSubstr("spec.train_teacher.trainig.iterations"),
                             HasSubstr("did you mean training"))));
  EXPECT_EQ(service::FieldViolationsOf(status)[0].field, "update_mask");
  EXPECT_TRUE(google::protobuf::util::MessageDifferencer::Equals(job, before));
}

TEST(ApplyChangesTest, RefusesWhatCannotBeChanged) {
  v1::Job job = MakeTeacherJob();
  const auto change = [&](const std::string& path) {
    return ApplyChanges(v1::Job(), Mask({path}), &job);
  };
  EXPECT_THAT(change("state"), StatusIs(kInvalid, HasSubstr("set by the")));
  EXPECT_THAT(change("spec.distill.training"),
              StatusIs(kInvalid, HasSubstr("one of train_teacher")));
  EXPECT_THAT(change("priority.x"),
              StatusIs(kInvalid, HasSubstr("as a whole")));
  EXPECT_THAT(change(""), StatusIs(kInvalid, HasSubstr("no such field")));
}

v1::Model ModelOfChannels(const std::string& name, double channels) {
  v1::Model model;
  model.set_name(name);
  model.set_kind(v1::Model::KIND_TEACHER);
  auto& network = (*model.mutable_manifest()->mutable_fields())["network"];
  (*network.mutable_struct_value()->mutable_fields())["model_channels"]
      .set_number_value(channels);
  return model;
}

class CheckCanGoOnTest : public ::testing::Test {
 protected:
  CheckCanGoOnTest() {
    models_.Add(ModelOfChannels("t8", 8));
    models_.Add(ModelOfChannels("u8", 8));
    models_.Add(ModelOfChannels("t16", 16));
  }
  static v1::JobSpec Student(const std::string& teacher) {
    v1::JobSpec spec;
    spec.mutable_distill()->set_teacher(teacher);
    spec.mutable_distill()->set_method(v1::DistillSpec::METHOD_CM);
    spec.mutable_distill()->mutable_training()->set_iterations(100);
    return spec;
  }
  absl::Status Check(const v1::JobSpec& before, const v1::JobSpec& now,
                     int64_t step = 50) {
    return CheckCanGoOn(before, step, now, &models_);
  }

  retort::testing::FakeModels models_;
};

TEST_F(CheckCanGoOnTest, OtherSettingsMayChange) {
  const v1::JobSpec before = MakeTeacherJob().spec();
  v1::JobSpec now = before;
  now.mutable_train_teacher()->mutable_training()->set_batch_size(99);
  now.mutable_train_teacher()->mutable_optimizer()->set_learning_rate(1);
  EXPECT_THAT(Check(before, now), IsOk());
  EXPECT_THAT(Check(Student("t8"), Student("u8")), IsOk());
}

TEST_F(CheckCanGoOnTest, RefusesAnotherNetwork) {
  const v1::JobSpec before = MakeTeacherJob().spec();
  v1::JobSpec now = before;
  now.mutable_train_teacher()->mutable_network()->add_channel_mult(2);
  const absl::Status status = Check(before, now);
  EXPECT_THAT(status, StatusIs(kInvalid, HasSubstr("another network")));
  EXPECT_EQ(service::FieldViolationsOf(status)[0].field,
            "job.spec.train_teacher.network");
  EXPECT_THAT(Check(Student("t8"), Student("t16")),
              StatusIs(kInvalid, HasSubstr("distill.teacher")));
}

TEST_F(CheckCanGoOnTest, RefusesAnotherMethodOrTask) {
  v1::JobSpec now = Student("t8");
  now.mutable_distill()->set_method(v1::DistillSpec::METHOD_CTM);
  EXPECT_THAT(Check(Student("t8"), now),
              StatusIs(kInvalid, HasSubstr("METHOD_CM;")));
  EXPECT_THAT(Check(Student("t8"), MakeTeacherJob().spec()),
              StatusIs(kInvalid, HasSubstr("clone without from_step")));
}

TEST_F(CheckCanGoOnTest, RefusesATrainingThatIsOverAtTheCheckpoint) {
  EXPECT_THAT(Check(Student("t8"), Student("t8"), 100),
              StatusIs(kInvalid, HasSubstr("the checkpoint is of step 100")));
}

}  // namespace
}  // namespace retort::jobs
