#include "server/jobs/estimate_fields.h"

#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>
#include <google/protobuf/util/json_util.h>
#include <gtest/gtest.h>

#include "tests/support/status_matchers.h"

namespace retort::jobs {
namespace {

using ::retort::testing::IsOk;
using ::testing::HasSubstr;

using Spec = v1::EstimatePreconditioningSpec;

Spec ParseEstimate(const std::string& text) {
  Spec spec;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &spec));
  return spec;
}

std::string ProblemsOf(Spec spec) {
  SpecProblems problems;
  ResolveEstimatorFields(&spec, "estimate_preconditioning", &problems);
  return std::string(problems.ToStatus().message());
}

v1::Model TablesWith(const std::string& manifest) {
  v1::Model model;
  model.set_name("projects/p/models/tables");
  EXPECT_TRUE(google::protobuf::util::JsonStringToMessage(
                  manifest, model.mutable_manifest())
                  .ok());
  return model;
}

TEST(EstimateFieldsTest, FillsInTheEstimators) {
  Spec spec = ParseEstimate("served_iterations: 100");
  SpecProblems problems;
  ResolveEstimatorFields(&spec, "e", &problems);
  EXPECT_THAT(problems.ToStatus(), IsOk());
  EXPECT_EQ(spec.trace_estimator(), Spec::TRACE_ESTIMATOR_STEIN);
  EXPECT_EQ(spec.scale_estimator(), Spec::SCALE_ESTIMATOR_RMS);
  EXPECT_EQ(spec.served_batch_size(), 64);
}

TEST(EstimateFieldsTest, FitsPerFrequencyWherePossibleUnlessToldNotTo) {
  const struct {
    const char* spec;
    bool spectral;
  } kCases[] = {{"trajectories: 8 grid_size: 18", true},
                {"trajectories: -1 grid_size: 18", false},
                {"trajectories: 8 grid_size: 65", false},
                {"trajectories: 8 grid_size: 18 spectral: false", false}};
  for (const auto& c : kCases) {
    Spec spec = ParseEstimate(c.spec);
    SpecProblems problems;
    ResolveEstimatorFields(&spec, "e", &problems);
    EXPECT_THAT(problems.ToStatus(), IsOk()) << c.spec;
    EXPECT_EQ(spec.spectral(), c.spectral) << c.spec;
  }
}

TEST(EstimateFieldsTest, TheDefaultIsTheBestOfWhatTheTablesHave) {
  EXPECT_EQ(BestKindOf(TablesWith("{}")), v1::PRECONDITIONING_KIND_ANALYTIC);
  EXPECT_EQ(BestKindOf(TablesWith(
                "{\"preconditioning\": {\"estimator\": {}, \"fit\": {}}}")),
            v1::PRECONDITIONING_KIND_FITTED_STATE);
  EXPECT_EQ(BestKindOf(TablesWith("{\"preconditioning\": {\"estimator\": {}, "
                                  "\"fit\": {}, \"spectral\": {}}}")),
            v1::PRECONDITIONING_KIND_FITTED_SPECTRAL);
}

TEST(EstimateFieldsTest, SaysWhatIsWrong) {
  struct {
    const char* spec;
    const char* message;
  } const kCases[] = {
      {"tolerance: -1", "a standard error to stop at"},
      {"tolerance: nan", "a standard error to stop at"},
      {"spectral: true trajectories: -1", "is fitted on trajectories"},
      {"spectral: true grid_size: 100", "with spectral, at most 64"},
      {"served_iterations: -3", "a number of iterations"},
      {"served_batch_size: -1", "must be in [1, "},
  };
  for (const auto& c : kCases) {
    EXPECT_THAT(ProblemsOf(ParseEstimate(c.spec)), HasSubstr(c.message));
  }
}

TEST(EstimateFieldsTest, AnArtefactMustHaveWhatAKindIsMadeOf) {
  const v1::Model bare =
      TablesWith("{\"preconditioning\": {\"estimator\": {}}}");
  const v1::Model fitted = TablesWith(
      "{\"preconditioning\": {\"estimator\": {}, \"fit\": {}, "
      "\"spectral\": {}}}");
  const auto check = [](v1::PreconditioningKind kind, const v1::Model& tables) {
    SpecProblems problems;
    RequireTablesOf(kind, tables, "field", &problems);
    return problems.ToStatus();
  };
  EXPECT_THAT(check(v1::PRECONDITIONING_KIND_ANALYTIC, bare), IsOk());
  EXPECT_THAT(check(v1::PRECONDITIONING_KIND_FITTED_STATE, bare).message(),
              HasSubstr("trajectories -1"));
  EXPECT_THAT(check(v1::PRECONDITIONING_KIND_FITTED_SPECTRAL, bare).message(),
              HasSubstr("spectral: true"));
  EXPECT_THAT(check(v1::PRECONDITIONING_KIND_FITTED_SPECTRAL, fitted), IsOk());
}

}  // namespace
}  // namespace retort::jobs
