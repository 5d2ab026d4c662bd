#include "server/jobs/job_filter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "server/base/error.h"
#include "server/jobs/timestamps.h"
#include "tests/support/status_matchers.h"

namespace retort::jobs {
namespace {

using ::retort::testing::IsOk;
using ::retort::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Optional;
using J = v1::Job;

v1::Job MakeJob() {
  v1::Job job;
  job.set_name("projects/default/jobs/student-7");
  job.set_display_name("My first student");
  job.set_state(J::STATE_RUNNING);
  job.set_priority(3);
  (*job.mutable_labels())["team"] = "vision";
  job.mutable_spec()->mutable_distill()->set_method(v1::DistillSpec::METHOD_CM);
  absl::Time time;
  EXPECT_TRUE(absl::ParseTime(absl::RFC3339_full, "2026-02-03T04:05:06Z", &time,
                              nullptr));
  *job.mutable_create_time() = ToTimestamp(time);
  return job;
}

bool Holds(const std::string& text) {
  const auto filter = JobFilter::Parse(text);
  EXPECT_THAT(filter, IsOk()) << text;
  return filter.ok() && filter->Matches(MakeJob());
}

std::string WhyNot(const std::string& text) {
  const absl::Status status = JobFilter::Parse(text).status();
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kInvalidArgument)) << text;
  const auto violations = service::FieldViolationsOf(status);
  return violations.size() == 1 && violations[0].field == "filter"
             ? violations[0].description
             : "no violation of the filter";
}

TEST(JobFilterTest, AnEmptyOneHoldsForEveryJob) {
  EXPECT_TRUE(Holds(""));
  EXPECT_TRUE(Holds("  "));
}

TEST(JobFilterTest, ComparesNamesShortOrInFullInAnyCase) {
  EXPECT_TRUE(Holds("state = running"));
  EXPECT_TRUE(Holds("state=STATE_RUNNING"));
  EXPECT_TRUE(Holds("state : Running"));
  EXPECT_FALSE(Holds("state != running"));
  EXPECT_TRUE(Holds("task = distill"));
  EXPECT_FALSE(Holds("task = train-teacher"));
  EXPECT_TRUE(Holds("method = cm"));
  EXPECT_FALSE(Holds("method = METHOD_CTM"));
}

TEST(JobFilterTest, TakesTheDefaultForAClassThatIsNotSet) {
  EXPECT_TRUE(Holds("priority_class = normal"));
  EXPECT_FALSE(Holds("priority_class = PRIORITY_CLASS_LOW"));
}

TEST(JobFilterTest, ComparesNumbersAndTimesByTheirOrder) {
  EXPECT_TRUE(Holds("priority > 2 AND priority < 4"));
  EXPECT_FALSE(Holds("priority > 3"));
  EXPECT_TRUE(Holds("priority > -5"));
  EXPECT_TRUE(Holds("create_time > 2026-02-03"));
  EXPECT_FALSE(Holds("create_time < \"2026-02-03T04:05:06Z\""));
  EXPECT_TRUE(Holds("create_time = \"2026-02-03T05:05:06+01:00\""));
}

TEST(JobFilterTest, FindsTextsWithinTexts) {
  EXPECT_TRUE(Holds("display_name : first"));
  EXPECT_TRUE(Holds("display_name = \"My first student\""));
  EXPECT_FALSE(Holds("display_name = first"));
  EXPECT_TRUE(Holds("job_id : student"));
  EXPECT_TRUE(Holds("job_id = student-7"));
  EXPECT_TRUE(Holds("job_id > student-6"));
}

TEST(JobFilterTest, ALabelThatIsNotThereEqualsNothing) {
  EXPECT_TRUE(Holds("labels.team = vision"));
  EXPECT_FALSE(Holds("labels.team != vision"));
  EXPECT_FALSE(Holds("labels.owner = \"\""));
  EXPECT_TRUE(Holds("labels.owner != vision"));
  EXPECT_TRUE(Holds("labels.team : *"));
  EXPECT_FALSE(Holds("labels.owner : *"));
  EXPECT_TRUE(Holds("labels : team"));
  EXPECT_FALSE(Holds("labels : owner"));
}

TEST(JobFilterTest, HoldsOnlyIfEveryComparisonDoes) {
  EXPECT_TRUE(
      Holds("task = distill AND labels.team = vision AND "
            "create_time > \"2026-01-31\""));
  EXPECT_FALSE(Holds("task = distill AND labels.team = audio"));
}

TEST(JobFilterTest, ReadsSignsWithinQuotes) {
  v1::Job job = MakeJob();
  job.set_display_name("a \"b\" \\ AND c");
  RETORT_ASSERT_OK_AND_ASSIGN(
      const JobFilter filter,
      JobFilter::Parse(R"(display_name = "a \"b\" \\ AND c")"));
  EXPECT_TRUE(filter.Matches(job));
}

TEST(JobFilterTest, SaysWhereItIsWrongAndWhatWasExpected) {
  EXPECT_EQ(WhyNot("state ~ running"),
            "at character 7: expected one of = != < > :, found '~'");
  EXPECT_EQ(WhyNot("state ="),
            "at character 8: expected a value, found the end");
  EXPECT_THAT(WhyNot("state = running OR priority = 1"),
              HasSubstr("at character 17: expected AND, or the end"));
  EXPECT_THAT(WhyNot("state = running AND"),
              HasSubstr("at character 20: expected a field, found the end"));
  EXPECT_THAT(WhyNot("priority = high"),
              HasSubstr("at character 12: expected a whole number"));
  EXPECT_THAT(WhyNot("priority >= 3"), HasSubstr("no <= or >="));
  EXPECT_THAT(WhyNot("state < running"), HasSubstr("no order"));
  EXPECT_THAT(WhyNot("display_name = \"open"), HasSubstr("not closed"));
  EXPECT_THAT(WhyNot("create_time > yesterday"), HasSubstr("2026-01-31"));
  EXPECT_THAT(WhyNot("labels = team"), HasSubstr("labels.KEY"));
  EXPECT_THAT(WhyNot("labels. = team"), HasSubstr("the key of a label"));
  EXPECT_THAT(WhyNot("(state = running)"), HasSubstr("expected a field"));
}

TEST(JobFilterTest, NamesTheNearestOfWhatItKnows) {
  EXPECT_THAT(WhyNot("stat = running"), HasSubstr("did you mean state"));
  EXPECT_THAT(WhyNot("state = runing"), HasSubstr("did you mean running"));
}

TEST(JobFilterTest, RefusesOneWithoutEnd) {
  EXPECT_THAT(WhyNot(std::string(5000, 'a')), HasSubstr("at most 4096"));
}

TEST(JobFilterTest, SaysWhichStatesItIsAbout) {
  EXPECT_EQ(JobFilter::Parse("priority = 1")->States(), std::nullopt);
  EXPECT_THAT(JobFilter::Parse("state = queued")->States(),
              Optional(ElementsAre(J::STATE_QUEUED)));
  EXPECT_THAT(JobFilter::Parse("state = queued AND state != queued")->States(),
              Optional(ElementsAre()));
}

}  // namespace
}  // namespace retort::jobs
