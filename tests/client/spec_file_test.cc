#include "client/spec_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "client/call_status.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace retort::client {
namespace {

using ::retort::testing::IsOk;
using ::retort::testing::StatusIs;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

absl::StatusOr<v1::Job> Parse(absl::string_view text) {
  v1::Job job;
  const absl::Status status = MergeYaml(text, "spec.yaml", &job);
  if (!status.ok()) return status;
  return job;
}

TEST(SpecFileTest, ReadsNestedFieldsListsAndMaps) {
  RETORT_ASSERT_OK_AND_ASSIGN(const v1::Job job, Parse(R"(
display_name: A teacher
priority: 3
labels: {team: vision}
spec:
  train_teacher:
    network: {channel_mult: [1, 2, 2], dropout: 0.1}
    optimizer: {learning_rate: 1.0e-3}
    training: {iterations: 8000, seed: 18446744073709551615}
)"));
  const v1::TrainTeacherSpec& spec = job.spec().train_teacher();
  EXPECT_EQ(job.priority(), 3);
  EXPECT_EQ(job.labels().at("team"), "vision");
  EXPECT_THAT(spec.network().channel_mult(), ElementsAre(1, 2, 2));
  EXPECT_EQ(spec.network().dropout(), 0.1);
  EXPECT_EQ(spec.optimizer().learning_rate(), 1e-3);
  EXPECT_EQ(spec.training().seed(), UINT64_MAX);
}

TEST(SpecFileTest, TakesShortLowerCaseEnumNames) {
  for (const char* name : {"fitted-state", "fitted_state", "FITTED_STATE",
                           "PRECONDITIONING_KIND_FITTED_STATE"}) {
    RETORT_ASSERT_OK_AND_ASSIGN(
        const v1::Job job,
        Parse(absl::StrCat("spec: {distill: {method: ctm, preconditioning: ",
                           name, ", data: {dataset: fashion-mnist}}}")));
    EXPECT_EQ(job.spec().distill().preconditioning(),
              v1::PRECONDITIONING_KIND_FITTED_STATE);
    EXPECT_EQ(job.spec().distill().method(), v1::DistillSpec::METHOD_CTM);
    EXPECT_EQ(job.spec().distill().data().dataset(),
              v1::DataSpec::DATASET_FASHION_MNIST);
  }
}

TEST(SpecFileTest, NamesLinePathAndNearestNameOfAnUnknownField) {
  EXPECT_THAT(
      Parse("spec:\n  distill:\n    precondtioning: ctm\n"),
      StatusIs(kInvalid, AllOf(HasSubstr("spec.yaml:3: "),
                               HasSubstr("spec.distill.precondtioning"),
                               HasSubstr("did you mean preconditioning"))));
}

TEST(SpecFileTest, ListsTheFieldsWhenNoneIsNear) {
  EXPECT_THAT(
      Parse("zzzzzzzz: 1"),
      StatusIs(kInvalid, HasSubstr("known: spec, display_name, priority, "
                                   "priority_class, labels")));
}

TEST(SpecFileTest, SaysWhereAFieldOfThisNameIs) {
  v1::Job job;
  job.mutable_spec()->mutable_distill();
  // Of the task that is there, not of others.
  EXPECT_THAT(ApplySetting("seed=1", &job),
              StatusIs(kInvalid, HasSubstr("spec.distill.training.seed")));
  EXPECT_THAT(ApplySetting("training.seed=1", &job),
              StatusIs(kInvalid, HasSubstr("training: no such field; did you "
                                           "mean spec.distill.training?")));
  EXPECT_THAT(ApplySetting("spec.batch_size=1", &job),
              StatusIs(kInvalid,
                       HasSubstr("spec.batch_size: no such field; did you mean "
                                 "spec.distill.training.batch_size?")));
  EXPECT_THAT(ApplySetting("distil.seed=1", &job),
              StatusIs(kInvalid, HasSubstr("did you mean spec.distill?")));
  EXPECT_THAT(ApplySetting("prioritty=1", &job),
              StatusIs(kInvalid, HasSubstr("did you mean priority")));
}

TEST(SpecFileTest, NeverSuggestsWhatTheServerSets) {
  v1::Job job;
  EXPECT_THAT(ApplySetting("stat=1", &job),
              StatusIs(kInvalid, HasSubstr("no such field; known: spec, ")));
  EXPECT_THAT(ApplySetting("state=running", &job),
              StatusIs(kInvalid, HasSubstr("state: is set by the server")));
}

TEST(SpecFileTest, NamesTheKnownValuesOfAnEnum) {
  EXPECT_THAT(
      Parse("spec: {distill: {method: cmt}}"),
      StatusIs(kInvalid, AllOf(HasSubstr("spec.distill.method"),
                               HasSubstr("'cmt'"), HasSubstr("or ctm"))));
}

TEST(SpecFileTest, RefusesValuesOfTheWrongType) {
  EXPECT_THAT(Parse("priority: high"),
              StatusIs(kInvalid, HasSubstr("priority: must be a whole number "
                                           "from -2147483648 to 2147483647, "
                                           "not 'high'")));
  EXPECT_THAT(Parse("priority: 1.5"), StatusIs(kInvalid));
  EXPECT_THAT(Parse("spec: {evaluate: {steps: 2}}"),
              StatusIs(kInvalid, HasSubstr("must be a list")));
  EXPECT_THAT(Parse("spec: [1]"),
              StatusIs(kInvalid, HasSubstr("must be a group of fields")));
  EXPECT_THAT(Parse("spec: {distill: {target_inner_ema: 7}}"),
              StatusIs(kInvalid, HasSubstr("true or false")));
}

TEST(SpecFileTest, TakesTimesAsPeopleAndTheProgramWriteThem) {
  for (const auto& [text, seconds] :
       {std::pair("259200s", 259200), std::pair("90s", 90),
        std::pair("1h30m", 5400), std::pair("{seconds: 7}", 7)}) {
    v1::Job job;
    const std::string yaml =
        absl::StrCat("spec: {resources: {time_limit: ", text, "}}");
    ASSERT_THAT(MergeYaml(yaml, "f", &job), IsOk());
    EXPECT_EQ(job.spec().resources().time_limit().seconds(), seconds) << text;
  }
  v1::Job job;
  EXPECT_THAT(
      std::string(MergeYaml("spec: {resources: {time_limit: 10}}", "f", &job)
                      .message()),
      HasSubstr("must be a time such as 90s, 30m or 48h, not '10'"));
}

TEST(SpecFileTest, RefusesASecondDocument) {
  v1::Job job;
  EXPECT_THAT(
      std::string(
          MergeYaml("priority: 1\n---\npriority: 2\n", "f", &job).message()),
      HasSubstr("f:3: is a second document"));
}

TEST(SpecFileTest, RefusesNumbersOutOfRange) {
  EXPECT_THAT(Parse("priority: 3000000000"), StatusIs(kInvalid));
  EXPECT_THAT(Parse("spec: {distill: {training: {seed: -1}}}"),
              StatusIs(kInvalid));
}

TEST(SpecFileTest, RefusesAFieldGivenTwice) {
  EXPECT_THAT(Parse("priority: 1\npriority: 2\n"),
              StatusIs(kInvalid, AllOf(HasSubstr("spec.yaml:2"),
                                       HasSubstr("given twice"))));
}

TEST(SpecFileTest, RefusesTwoTasks) {
  EXPECT_THAT(Parse("spec: {distill: {}, evaluate: {}}"),
              StatusIs(kInvalid, HasSubstr("there is 'distill' already")));
}

TEST(SpecFileTest, RefusesTextThatIsNoYaml) {
  EXPECT_THAT(Parse("spec: {distill: [\n"),
              StatusIs(kInvalid, HasSubstr("not valid YAML")));
}

TEST(SpecFileTest, SettingsOverrideAndReplaceLists) {
  RETORT_ASSERT_OK_AND_ASSIGN(
      v1::Job job, Parse("spec: {evaluate: {steps: [1, 2], seed: 1}}"));
  EXPECT_THAT(ApplySetting("spec.evaluate.steps=[4]", &job), IsOk());
  EXPECT_THAT(ApplySetting("spec.evaluate.model=a=b", &job), IsOk());
  EXPECT_THAT(job.spec().evaluate().steps(), ElementsAre(4));
  EXPECT_EQ(job.spec().evaluate().model(), "a=b");
  EXPECT_EQ(job.spec().evaluate().seed(), 1);
}

TEST(SpecFileTest, ChangesKnowWhichFieldsTheyAreAbout) {
  v1::Job changes;
  google::protobuf::FieldMask mask;
  for (const char* setting :
       {"spec.train_teacher.training={iterations: 4, seed: 0}",
        "spec.train_teacher.network.channel_mult=[1, 2]", "labels.team=vision",
        "labels={a.b: c}", "display_name=new"}) {
    ASSERT_THAT(ApplyChange(setting, &changes, &mask), IsOk());
  }
  EXPECT_THAT(mask.paths(),
              ElementsAre("spec.train_teacher.training.iterations",
                          "spec.train_teacher.training.seed",
                          "spec.train_teacher.network.channel_mult",
                          "labels.team", "labels.a.b", "display_name"));
  EXPECT_EQ(changes.spec().train_teacher().training().iterations(), 4);
  EXPECT_EQ(changes.labels().at("a.b"), "c");
  EXPECT_THAT(ApplyChange("spec.distil.seed=1", &changes, &mask),
              StatusIs(kInvalid, HasSubstr("did you mean distill")));
  EXPECT_EQ(ExitCodeOf(ApplyChange("seed", &changes, &mask)), kExitUsage);
}

TEST(SpecFileTest, SettingsNameThemselvesInErrors) {
  v1::Job job;
  EXPECT_THAT(
      ApplySetting("spec.evaluate.stepz=[4]", &job),
      StatusIs(kInvalid, AllOf(HasSubstr("--set spec.evaluate.stepz=[4]: "),
                               HasSubstr("did you mean steps"))));
  EXPECT_EQ(ExitCodeOf(ApplySetting("spec.evaluate", &job)), kExitUsage);
}

TEST(SpecFileTest, ReadsAFileAndMakesModelNamesFull) {
  testing::TempDir dir;
  std::ofstream(dir / "job.yaml")
      << "spec: {distill: {teacher: t, preconditioning_artifact: "
         "projects/q/models/p}}";
  RETORT_ASSERT_OK_AND_ASSIGN(const v1::Job job,
                              ReadJobFile(dir / "job.yaml", {}, "default"));
  EXPECT_EQ(job.spec().distill().teacher(), "projects/default/models/t");
  EXPECT_EQ(job.spec().distill().preconditioning_artifact(),
            "projects/q/models/p");
}

TEST(SpecFileTest, RefusesFieldsOfTheServer) {
  testing::TempDir dir;
  std::ofstream(dir / "job.yaml") << "{state: running, spec: {distill: {}}}";
  EXPECT_THAT(ReadJobFile(dir / "job.yaml", {}, "default"),
              StatusIs(kInvalid, HasSubstr("state: is set by the server")));
}

TEST(SpecFileTest, RefusesAFileWithoutATask) {
  testing::TempDir dir;
  std::ofstream(dir / "job.yaml") << "display_name: x";
  EXPECT_THAT(ReadJobFile(dir / "job.yaml", {}, "default"),
              StatusIs(kInvalid, HasSubstr("names no task")));
}

TEST(SpecFileTest, AMissingFileIsAUsageError) {
  const auto job = ReadJobFile("/no/such/file.yaml", {}, "default");
  EXPECT_EQ(ExitCodeOf(job.status()), kExitUsage);
  EXPECT_THAT(job, StatusIs(kInvalid, HasSubstr("/no/such/file.yaml")));
}

TEST(SpecFileTest, ReadsTheRecipesOfThisRepository) {
  for (const char* name :
       {"teacher", "preconditioning", "distill", "evaluate"}) {
    EXPECT_THAT(ReadJobFile(absl::StrCat(RETORT_SOURCE_DIR,
                                         "/scripts/recipes/fashion-mnist/",
                                         name, ".yaml"),
                            {}, "default"),
                IsOk());
  }
}

TEST(SpecFileTest, ShortensEnumNames) {
  const auto& type = *v1::PreconditioningKind_descriptor();
  EXPECT_EQ(ShortEnumName(*type.FindValueByNumber(
                v1::PRECONDITIONING_KIND_ANALYTIC_FORWARD)),
            "analytic-forward");
}

}  // namespace
}  // namespace retort::client
