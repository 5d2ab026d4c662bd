#include "server/jobs/student_fields.h"

#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include "server/jobs/spec_resolver.h"
#include "tests/support/fake_models.h"
#include "tests/support/status_matchers.h"

namespace retort::jobs {
namespace {

using ::retort::testing::IsOk;
using ::retort::testing::StatusIs;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Distill = v1::DistillSpec;

class StudentFieldsTest : public ::testing::Test {
 protected:
  StudentFieldsTest() {
    models_.Add("projects/p/models/teacher", v1::Model::KIND_TEACHER);
    models_.Add("projects/p/models/tables", v1::Model::KIND_PRECONDITIONING);
    models_.Add("projects/p/models/features",
                v1::Model::KIND_FEATURE_EXTRACTOR);
  }

  // Resolves what stands in `distill { ... }`, for 10 iterations.
  absl::Status Resolve(const std::string& more, v1::JobSpec* spec) {
    const std::string text = "distill { " + more + " }";
    EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, spec))
        << text;
    spec->mutable_distill()->mutable_training()->set_iterations(10);
    return SpecResolver({.cpu_slots = 2}, &models_).Resolve(spec);
  }
  void ExpectRefused(const std::string& more, const std::string& message) {
    v1::JobSpec spec;
    EXPECT_THAT(
        Resolve(more, &spec),
        StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(message)))
        << more;
  }

  retort::testing::FakeModels models_;
  const std::string teacher_ = "teacher: 'projects/p/models/teacher' ";
  const std::string tables_ =
      "preconditioning_artifact: 'projects/p/models/tables' ";
};

TEST_F(StudentFieldsTest, ConsistencyTrainingNeedsNoTeacher) {
  v1::JobSpec spec;
  ASSERT_THAT(Resolve("method: METHOD_CT", &spec), IsOk());
  const Distill& task = spec.distill();
  EXPECT_EQ(task.preconditioning(), v1::PRECONDITIONING_KIND_CM);
  EXPECT_EQ(task.network().model_type(), "SongUNet");
  EXPECT_THAT(task.network().channel_mult(), ElementsAre(1, 2, 2));
  EXPECT_EQ(task.data().resolution(), 32);
  EXPECT_EQ(task.noise().sigma_min(), 0.002);
  EXPECT_EQ(task.weighting(), Distill::WEIGHTING_UNIFORM);
  EXPECT_EQ(task.curriculum(), Distill::CURRICULUM_FIXED);
  EXPECT_EQ(task.target_ema_rate(), 0.999);
  const std::string once = spec.SerializeAsString();
  ASSERT_THAT(SpecResolver({.cpu_slots = 2}, &models_).Resolve(&spec), IsOk());
  EXPECT_EQ(spec.SerializeAsString(), once);
}

TEST_F(StudentFieldsTest, ConsistencyTrainingMayStartFromATeacher) {
  v1::JobSpec spec;
  ASSERT_THAT(Resolve("method: METHOD_CT " + teacher_, &spec), IsOk());
  EXPECT_FALSE(spec.distill().has_network());
  EXPECT_EQ(spec.distill().preconditioning(), v1::PRECONDITIONING_KIND_CM);
  v1::JobSpec with_tables;
  ASSERT_THAT(Resolve("method: METHOD_CT " + teacher_ + tables_, &with_tables),
              IsOk());
  EXPECT_EQ(with_tables.distill().preconditioning(),
            v1::PRECONDITIONING_KIND_ANALYTIC);
}

TEST_F(StudentFieldsTest, WithoutATeacherThereIsNothingOfATeachers) {
  ExpectRefused("method: METHOD_CT " + tables_, "the job has none");
  ExpectRefused(
      "method: METHOD_CT preconditioning: PRECONDITIONING_KIND_FITTED_STATE",
      "needs tables of the teacher");
  ExpectRefused("method: METHOD_CM", "distill.teacher: is missing");
  ExpectRefused(teacher_ + "network { num_blocks: 2 }",
                "METHOD_CT without a teacher only");
  ExpectRefused("method: METHOD_CT network { num_blocks: 2 } " + teacher_,
                "METHOD_CT without a teacher only");
  ExpectRefused(
      "method: METHOD_CT network { channel_mult: [1, 1, 1, 1] } "
      "data { dataset: DATASET_IMAGES path: '/a' resolution: 12 }",
      "12 pixels can be halved only 2 times");
  ExpectRefused("method: METHOD_CT data { dataset: DATASET_IMAGES path: '/a' }",
                "resolution: is missing");
}

TEST_F(StudentFieldsTest, ValidationWithoutATeacherNeedsAnExtractor) {
  v1::JobSpec spec;
  ExpectRefused("method: METHOD_CT training { validation { every: 5 } }",
                "no end points");
  EXPECT_THAT(Resolve("method: METHOD_CT training { validation { every: 5 "
                      "feature_extractor: 'projects/p/models/features' } }",
                      &spec),
              IsOk());
  EXPECT_THAT(Resolve("method: METHOD_CT training { validation { every: 5 } }" +
                          teacher_,
                      &spec),
              IsOk());
}

TEST_F(StudentFieldsTest, ACurriculumHasDefaultsOfItsOwn) {
  v1::JobSpec spec;
  ASSERT_THAT(Resolve(teacher_ + "method: METHOD_CM "
                                 "curriculum: CURRICULUM_PROGRESSIVE",
                      &spec),
              IsOk());
  EXPECT_EQ(spec.distill().start_grid_size(), 2);
  EXPECT_EQ(spec.distill().target_ema_rate(), 0.95);
  v1::JobSpec grid;
  ASSERT_THAT(Resolve("method: METHOD_CT curriculum: "
                      "CURRICULUM_PROGRESSIVE_GRID start_grid_size: 18",
                      &grid),
              IsOk());
  EXPECT_EQ(grid.distill().target_ema_rate(), 0.999);
}

TEST_F(StudentFieldsTest, RefusesCurriculaAndWeightsThatMeanNothing) {
  const std::string ct = "method: METHOD_CT ";
  ExpectRefused(teacher_ + "curriculum: CURRICULUM_PROGRESSIVE",
                "METHOD_CM and METHOD_CT only");
  ExpectRefused(ct + "start_grid_size: 2", "is for a curriculum");
  for (const char* start : {"1", "19", "-3"}) {
    ExpectRefused(
        ct + "curriculum: CURRICULUM_PROGRESSIVE start_grid_size: " + start,
        "must be in [2, grid_size, which is 18]");
  }
  ExpectRefused(ct + "weighting: 9", "WEIGHTING");
  ExpectRefused(ct + "curriculum: 9", "CURRICULUM_PROGRESSIVE_GRID");
  ExpectRefused(ct + "target_ema_rate: -0.5", "or -1 for the student itself");
}

TEST_F(StudentFieldsTest, TakesEveryWeightForEveryMethod) {
  for (int i = 1; i < Distill::Weighting_ARRAYSIZE; ++i) {
    for (const char* method : {"METHOD_CM", "METHOD_CTM", "METHOD_CT"}) {
      v1::JobSpec spec;
      EXPECT_THAT(Resolve(teacher_ + "method: " + method + " weighting: " +
                              Distill::Weighting_Name(
                                  static_cast<Distill::Weighting>(i)),
                          &spec),
                  IsOk());
    }
  }
}

TEST_F(StudentFieldsTest, TheTargetMayBeTheStudentItself) {
  v1::JobSpec spec;
  ASSERT_THAT(Resolve("method: METHOD_CT target_ema_rate: -1", &spec), IsOk());
  EXPECT_EQ(spec.distill().target_ema_rate(), -1);
}

}  // namespace
}  // namespace retort::jobs
