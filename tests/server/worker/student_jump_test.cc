#include "server/worker/student_jump.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/analytic/artefact.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace retort::worker {
namespace {

using ::retort::testing::StatusIs;
using ::testing::HasSubstr;

// An artefact of made-up but possible measurements.
std::string WriteSmallArtefact(const std::string& dir) {
  analytic::PreconditioningArtefact artefact;
  artefact.teacher_hash = "t";
  artefact.data_hash = "d";
  artefact.estimate.knots = 12;
  artefact.statistics.dimension = 4;
  for (const double t : analytic::KnotTimes(artefact.schedule, 12)) {
    analytic::KnotStatistics knot;
    knot.t = t;
    knot.samples = 16;
    knot.l = 1 / (1 + t * t) / 3;  // a number that text must not round
    knot.l_se = 0.001;
    knot.g_mean_square = 0.1 * t / (1 + t * t);
    knot.g_mean_square_se = 1e-4;
    artefact.statistics.knots.push_back(knot);
  }
  RETORT_CHECK_OK(analytic::WriteArtefact(artefact, dir).status());
  return dir;
}

io::ModelManifest Carrying(const nlohmann::json& preconditioning) {
  io::ModelManifest manifest;
  manifest.kind = "ctm";
  // Through text, as on disk.
  manifest.preconditioning = nlohmann::json::parse(preconditioning.dump());
  return manifest;
}

TEST(StudentJumpTest, AManifestCarriesTheMeasurementsExactly) {
  testing::TempDir dir;
  RETORT_ASSERT_OK_AND_ASSIGN(
      const StudentJump made,
      MakeStudentJump("analytic", math::NoiseSchedule(),
                      WriteSmallArtefact(dir / "artefact")));
  RETORT_ASSERT_OK_AND_ASSIGN(const StudentJump read,
                              ReadStudentJump(Carrying(made.manifest)));
  const at::Tensor t = at::tensor({80.0, 3.0, 0.4}, at::kDouble);
  const at::Tensor s = at::tensor({0.002, 1.0, 0.1}, at::kDouble);
  at::Tensor a, b, a2, b2;
  made.jump->Coefficients(t, s, &a, &b);
  read.jump->Coefficients(t, s, &a2, &b2);
  EXPECT_TRUE(at::equal(a, a2));
  EXPECT_TRUE(at::equal(b, b2));
}

TEST(StudentJumpTest, ClosedFormsNeedTheirNameAlone) {
  RETORT_ASSERT_OK_AND_ASSIGN(const StudentJump read,
                              ReadStudentJump(Carrying({{"name", "ctm"}})));
  EXPECT_EQ(read.jump->name(), "ctm");
  EXPECT_EQ(read.schedule.sigma_max, 80);
}

TEST(StudentJumpTest, KeepsTheScheduleThatWasTrainedWith) {
  math::NoiseSchedule schedule;
  schedule.sigma_max = 40;
  RETORT_ASSERT_OK_AND_ASSIGN(const StudentJump made,
                              MakeStudentJump("ctm", schedule, ""));
  RETORT_ASSERT_OK_AND_ASSIGN(const StudentJump read,
                              ReadStudentJump(Carrying(made.manifest)));
  EXPECT_EQ(read.schedule.sigma_max, 40);
}

TEST(StudentJumpTest, NamesWhatAManifestLacks) {
  EXPECT_THAT(
      ReadStudentJump(Carrying(nlohmann::json::object())),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("'name'")));
  EXPECT_THAT(ReadStudentJump(Carrying({{"name", "analytic"}})),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("needs an artefact")));
  EXPECT_THAT(
      ReadStudentJump(Carrying({{"name", "analytic"}, {"artefact", 3}})),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("damaged")));
}

}  // namespace
}  // namespace retort::worker
