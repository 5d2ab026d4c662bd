#include "core/analytic/artefact.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "core/analytic/gaussian_source.h"
#include "core/analytic/precondition.h"
#include "core/base/file.h"
#include "core/io/model_file.h"
#include "tests/support/fake_clock.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace retort::analytic {
namespace {

using ::retort::testing::FakeClock;
using ::retort::testing::IsOk;
using ::retort::testing::StatusIs;
using ::retort::testing::TempDir;
using ::testing::HasSubstr;

PreconditionOptions SmallJob() {
  PreconditionOptions options;
  options.estimate.knots = 30;
  options.estimate.samples = 128;
  options.trajectory.grid = 6;
  options.trajectory.trajectories = 20;
  options.fit_spectral = true;
  return options;
}

PreconditioningArtefact RunJob(const PreconditionOptions& options) {
  FakeClock clock;
  const TeacherSource source =
      MakeGaussianSource(at::tensor({1.0, 0.3, 0.1, 0.02, 0.001}, at::kDouble));
  return EstimatePreconditioning(source, options, &clock).value();
}

TEST(ArtefactTest, ComesBackAsItWasWritten) {
  const TempDir dir;
  const PreconditioningArtefact before = RunJob(SmallJob());
  RETORT_ASSERT_OK_AND_ASSIGN(const std::string id,
                              WriteArtefact(before, dir / "artefact"));
  RETORT_ASSERT_OK_AND_ASSIGN(const PreconditioningArtefact after,
                              ReadArtefact(dir / "artefact"));
  EXPECT_EQ(after.ContentId(), id);
  EXPECT_EQ(after.network_calls(), before.network_calls());
  ASSERT_EQ(after.statistics.knots.size(), 30u);
  EXPECT_EQ(after.statistics.knots[7].l, before.statistics.knots[7].l);
  EXPECT_EQ(after.fit->sub_steps, 2);
  EXPECT_TRUE(base::FileExists(dir / "artefact/preconditioning.svg"));
}

TEST(ArtefactTest, EveryJumpIsTheSameBeforeAndAfterTheDisk) {
  const TempDir dir;
  const PreconditioningArtefact artefact = RunJob(SmallJob());
  ASSERT_THAT(WriteArtefact(artefact, dir / "a"), IsOk());
  const at::Tensor t = at::tensor({80.0, 2.0, 0.5, 0.3}, at::kDouble);
  const at::Tensor s = at::tensor({0.002, 0.7, 0.5, 0.2}, at::kDouble);
  for (const std::string& name : JumpNames()) {
    RETORT_ASSERT_OK_AND_ASSIGN(
        const auto memory, MakeJumpFrom(name, artefact.schedule, &artefact));
    RETORT_ASSERT_OK_AND_ASSIGN(const auto disk,
                                MakeJump(name, artefact.schedule, dir / "a"));
    EXPECT_EQ(disk->name(), name);
    at::Tensor a[2], b[2];
    memory->Coefficients(t, s, &a[0], &b[0]);
    disk->Coefficients(t, s, &a[1], &b[1]);
    EXPECT_TRUE(at::equal(a[0], a[1])) << name;
    EXPECT_TRUE(at::equal(b[0], b[1])) << name;
    EXPECT_TRUE(at::isfinite(a[0]).all().item<bool>()) << name;
  }
}

TEST(ArtefactTest, KeepsTheScaleEstimatorAndItsCost) {
  const TempDir dir;
  PreconditionOptions options = SmallJob();
  options.estimate.scale = ScaleEstimator::kJvp;
  options.served = {1000, 32};
  const PreconditioningArtefact before = RunJob(options);
  ASSERT_THAT(WriteArtefact(before, dir / "a"), IsOk());
  RETORT_ASSERT_OK_AND_ASSIGN(const PreconditioningArtefact after,
                              ReadArtefact(dir / "a"));
  EXPECT_EQ(after.statistics.knots[5].s, before.statistics.knots[5].s);
  EXPECT_NE(after.statistics.knots[5].s, 0);
  EXPECT_EQ(after.statistics.scale, ScaleEstimator::kJvp);
  // 30 knots of 128 samples at 6 passes, 20 trajectories of 21 calls.
  EXPECT_EQ(after.forward_equivalents(), 30 * 128 * 6 + 20 * 21);
  EXPECT_DOUBLE_EQ(*after.CostShare(),
                   after.forward_equivalents() / (6 * 1000.0 * 32));
}

TEST(ArtefactTest, IdIgnoresTimingAndBatchSizesButNotTheTeacher) {
  PreconditioningArtefact artefact = RunJob(SmallJob());
  const std::string id = artefact.ContentId();
  artefact.seconds = 99;
  artefact.estimate.batch = 3;
  EXPECT_EQ(artefact.ContentId(), id);
  artefact.teacher_hash = "another";
  EXPECT_NE(artefact.ContentId(), id);
  artefact = RunJob(SmallJob());
  artefact.statistics.knots[3].l += 1e-12;
  EXPECT_NE(artefact.ContentId(), id);
}

TEST(ArtefactTest, NoticesContentThatDoesNotMatchItsId) {
  const TempDir dir;
  ASSERT_THAT(WriteArtefact(RunJob(SmallJob()), dir / "a"), IsOk());
  RETORT_ASSERT_OK_AND_ASSIGN(io::ModelDirContents contents,
                              io::ReadModelDir(dir / "a"));
  contents.tensors["knots.l"] = contents.tensors["knots.l"] + 0.1;
  contents.manifest.files.clear();
  ASSERT_THAT(io::WriteModelDir(dir / "b", contents.manifest, contents.tensors),
              IsOk());
  EXPECT_THAT(ReadArtefact(dir / "b").status(),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("changed")));
}

TEST(ArtefactTest, RefusesMissingTensorsAndFields) {
  const TempDir dir;
  ASSERT_THAT(WriteArtefact(RunJob(SmallJob()), dir / "a"), IsOk());
  RETORT_ASSERT_OK_AND_ASSIGN(io::ModelDirContents contents,
                              io::ReadModelDir(dir / "a"));
  contents.manifest.files.clear();
  io::TensorMap fewer = contents.tensors;
  fewer.erase("knots.l_se");
  ASSERT_THAT(io::WriteModelDir(dir / "b", contents.manifest, fewer), IsOk());
  EXPECT_THAT(
      ReadArtefact(dir / "b").status(),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("knots.l_se")));
  contents.manifest.preconditioning["schedule"].erase("rho");
  ASSERT_THAT(io::WriteModelDir(dir / "c", contents.manifest, contents.tensors),
              IsOk());
  EXPECT_THAT(ReadArtefact(dir / "c").status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("rho")));
}

TEST(MakeJumpTest, SaysWhatIsWrongWithTheRequest) {
  const math::NoiseSchedule schedule;
  EXPECT_THAT(
      MakeJump("analytc", schedule).status(),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("known are cm")));
  EXPECT_THAT(MakeJump("analytic", schedule).status(),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("estimate_preconditioning")));
  EXPECT_THAT(MakeJump("ctm", schedule, "/nowhere"), IsOk());
}

TEST(MakeJumpTest, RefusesAScheduleThatTheArtefactDoesNotCover) {
  PreconditionOptions options = SmallJob();
  options.schedule.sigma_max = 40;
  const PreconditioningArtefact artefact = RunJob(options);
  for (const char* name : {"analytic", "fitted-state"}) {
    EXPECT_THAT(
        MakeJumpFrom(name, math::NoiseSchedule(), &artefact).status(),
        StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("covers 40")));
  }
}

TEST(MakeJumpTest, FittedNeedsTrajectories) {
  PreconditionOptions options = SmallJob();
  options.fit = false;
  options.fit_spectral = false;
  const PreconditioningArtefact artefact = RunJob(options);
  EXPECT_THAT(
      MakeJumpFrom("fitted-state", artefact.schedule, &artefact).status(),
      StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(MakeJumpFrom("analytic", artefact.schedule, &artefact), IsOk());
}

TEST(MakeJumpTest, FittedSpectralNeedsTheSpectralFit) {
  PreconditionOptions options = SmallJob();
  options.fit_spectral = false;
  const PreconditioningArtefact artefact = RunJob(options);
  EXPECT_THAT(
      MakeJumpFrom("fitted-spectral", artefact.schedule, &artefact).status(),
      StatusIs(absl::StatusCode::kFailedPrecondition,
               HasSubstr("spectral: true")));
}

TEST(ArtefactTest, CanBeReadWithoutItsSpectralFitButNotWithAnother) {
  const TempDir dir;
  const PreconditioningArtefact before = RunJob(SmallJob());
  ASSERT_THAT(WriteArtefact(before, dir / "a"), IsOk());
  RETORT_ASSERT_OK_AND_ASSIGN(io::ModelDirContents contents,
                              io::ReadModelDir(dir / "a"));
  io::TensorMap changed = contents.tensors;
  changed["spectral.u"] = changed["spectral.u"] + 1e-9;
  ASSERT_THAT(io::WriteModelDir(dir / "b", contents.manifest, changed), IsOk());
  EXPECT_THAT(ReadArtefact(dir / "b").status(),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("spectral")));
  changed.erase("spectral.u");
  ASSERT_THAT(io::WriteModelDir(dir / "c", contents.manifest, changed), IsOk());
  RETORT_ASSERT_OK_AND_ASSIGN(const PreconditioningArtefact after,
                              ReadArtefact(dir / "c"));
  EXPECT_EQ(after.ContentId(), before.ContentId());
  EXPECT_FALSE(after.spectral.has_value());
}

TEST(PreconditionTest, ProgressRunsFromZeroToOneOverBothStages) {
  FakeClock clock;
  std::vector<EstimateProgress> seen;
  const TeacherSource source =
      MakeGaussianSource(at::tensor({1.0, 0.1}, at::kDouble));
  const PreconditionOptions options = SmallJob();
  const auto artefact = EstimatePreconditioning(
      source, options, &clock,
      [&](const EstimateProgress& report) { seen.push_back(report); });
  ASSERT_THAT(artefact, IsOk());
  for (size_t k = 1; k < seen.size(); ++k) {
    EXPECT_GE(seen[k].fraction, seen[k - 1].fraction);
    EXPECT_GE(seen[k].network_calls, seen[k - 1].network_calls);
  }
  EXPECT_DOUBLE_EQ(seen.back().fraction, 1);
  EXPECT_EQ(seen.back().network_calls, artefact->network_calls());
  EXPECT_EQ(artefact->network_calls(), options.MaxNetworkCalls());
}

TEST(PreconditionTest, GapTableNamesEveryPreconditioning) {
  const auto table = GapTable(RunJob(SmallJob()));
  ASSERT_THAT(table, IsOk());
  for (const char* part : {"ctm", "analytic-forward", "fitted-state",
                           "fitted-spectral", "80 -> 0.002"}) {
    EXPECT_THAT(*table, HasSubstr(part));
  }
}

}  // namespace
}  // namespace retort::analytic
