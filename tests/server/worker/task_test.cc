#include "server/worker/task.h"

#include <ATen/Parallel.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "core/base/check.h"
#include "core/base/file.h"
#include "core/base/run_dir.h"
#include "core/base/write_fault.h"
#include "core/io/png.h"
#include "server/worker/check_model.h"
#include "server/worker/end_hard.h"
#include "server/worker/loaded_model.h"
#include "tests/core/distill/made_up_lpips.h"
#include "tests/server/worker/fake_outbox.h"
#include "tests/server/worker/small_models.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/support/zip_builder.h"

namespace retort::worker {
namespace {

using internal::v1::TaskEnded;
using ::retort::testing::IsOk;
using ::retort::testing::StatusIs;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class TaskTest : public ::testing::Test {
 protected:
  TaskTest() {
    at::set_num_threads(1);
    WriteSmallData(dir_ / "data", 32);
    context_.outbox = &outbox_;
    context_.control = &control_;
    context_.assignment.set_job_dir(dir_ / "job");
    context_.assignment.set_job_name("projects/p/jobs/j");
    context_.assignment.set_spec_sha256("5pec");
  }

  v1::TrainingSpec Training(int64_t iterations) {
    v1::TrainingSpec training;
    training.set_batch_size(4);
    training.set_iterations(iterations);
    training.set_log_every(1);
    training.set_checkpoint_every(2);
    return training;
  }

  void SetTeacherSpec(int64_t iterations) {
    auto* spec = context_.assignment.mutable_spec()->mutable_train_teacher();
    spec->mutable_data()->set_path(dir_ / "data");
    spec->mutable_network()->set_model_channels(4);
    spec->mutable_network()->add_channel_mult(1);
    *spec->mutable_training() = Training(iterations);
  }

  void AddModel(const std::string& name, const std::string& kind) {
    WriteSmallModel(dir_ / name, kind, /*resolution=*/32);
    (*context_.assignment.mutable_model_dirs())[name] = dir_ / name;
  }

  void AddPerceptual(const std::string& name, const io::TensorMap& tensors) {
    io::ModelManifest manifest;
    manifest.kind = "perceptual";
    RETORT_CHECK_OK(io::WriteModelDir(dir_ / name, manifest, tensors).status());
    (*context_.assignment.mutable_model_dirs())[name] = dir_ / name;
  }

  // Two steps with LPIPS on a small classifier with made-up weights.
  v1::DistillSpec* SetLpipsSpec(v1::DistillSpec::Method method) {
    AddModel("t", "teacher");
    AddPerceptual("squeezenet", testing::MadeUpBackbone("squeezenet1_1"));
    AddPerceptual("heads", testing::MadeUpHeads("squeezenet1_1"));
    auto* spec = context_.assignment.mutable_spec()->mutable_distill();
    spec->set_teacher("t");
    spec->set_method(method);
    spec->mutable_data()->set_path(dir_ / "data");
    spec->set_max_ode_steps(1);
    spec->set_distance(v1::DistillSpec::DISTANCE_LPIPS);
    spec->mutable_lpips()->set_backbone("squeezenet");
    spec->mutable_lpips()->set_heads("heads");
    spec->mutable_lpips()->set_resize(32);
    *spec->mutable_training() = Training(2);
    return spec;
  }

  // A small estimate for the teacher "t", which it makes.
  v1::EstimatePreconditioningSpec* SetEstimateSpec() {
    AddModel("t", "teacher");
    RETORT_CHECK_OK(base::MakeDirs(context_.assignment.job_dir()));
    auto* spec =
        context_.assignment.mutable_spec()->mutable_estimate_preconditioning();
    spec->set_teacher("t");
    spec->mutable_data()->set_path(dir_ / "data");
    spec->set_knots(4);
    spec->set_samples_per_knot(4);
    spec->set_trajectories(4);
    spec->set_grid_size(3);
    return spec;
  }

  std::string Result() { return dir_ / "job/result"; }

  testing::TempDir dir_;
  FakeOutbox outbox_;
  TaskControl control_;
  TaskContext context_;
};

TEST_F(TaskTest, TrainsATeacherAndLeavesAModelWithItsLineage) {
  SetTeacherSpec(4);
  const TaskEnded ended = RunTask(context_);
  ASSERT_EQ(ended.outcome(), TaskEnded::OUTCOME_SUCCEEDED) << ended.reason();
  EXPECT_THAT(ended.model_dirs(), ::testing::ElementsAre("result"));
  RETORT_ASSERT_OK_AND_ASSIGN(const LoadedModel model, LoadModel(Result()));
  EXPECT_EQ(model.manifest.lineage["job"], "projects/p/jobs/j");
  EXPECT_EQ(model.manifest.lineage["spec_sha256"], "5pec");
  EXPECT_EQ(outbox_.progress.back().progress().step(), 4);
  EXPECT_TRUE(outbox_.progress.back().metrics().contains("loss"));
  ASSERT_FALSE(outbox_.checkpoints.empty());
  EXPECT_EQ(outbox_.checkpoints.back().checkpoint().sha256().size(), 64);
  EXPECT_GT(outbox_.checkpoints.back().checkpoint().bytes(), 0);
}

TEST_F(TaskTest, TrainsATeacherOnAZipOfImages) {
  const at::Tensor grey = at::ones({8, 8}, at::kByte);
  testing::ZipBuilder zip;
  zip.Add("a.png", *io::EncodePng(grey)).Add("b.png", *io::EncodePng(grey * 9));
  zip.Add("dataset.json", R"({"labels": [["a.png", 0], ["b.png", 4]]})");
  zip.Write(dir_ / "images.zip");
  SetTeacherSpec(2);
  v1::DataSpec* data = context_.assignment.mutable_spec()
                           ->mutable_train_teacher()
                           ->mutable_data();
  data->set_dataset(v1::DataSpec::DATASET_IMAGES);
  data->set_path(dir_ / "images.zip");
  data->set_resolution(8);
  data->set_mirror(true);
  const TaskEnded ended = RunTask(context_);
  ASSERT_EQ(ended.outcome(), TaskEnded::OUTCOME_SUCCEEDED) << ended.reason();
  RETORT_ASSERT_OK_AND_ASSIGN(const LoadedModel model, LoadModel(Result()));
  EXPECT_EQ(model.manifest.network["img_resolution"], 8);
  EXPECT_EQ(model.manifest.network["label_dim"], 5);
}

TEST_F(TaskTest, ATeacherOfImagesWithoutLabelsMustBeUnconditional) {
  testing::ZipBuilder()
      .Add("a.png", *io::EncodePng(at::ones({8, 8}, at::kByte)))
      .Write(dir_ / "images.zip");
  SetTeacherSpec(1);
  v1::DataSpec* data = context_.assignment.mutable_spec()
                           ->mutable_train_teacher()
                           ->mutable_data();
  data->set_dataset(v1::DataSpec::DATASET_IMAGES);
  data->set_path(dir_ / "images.zip");
  EXPECT_THAT(RunTask(context_).reason(), HasSubstr("has no labels"));
  data->set_unconditional(true);
  EXPECT_EQ(RunTask(context_).outcome(), TaskEnded::OUTCOME_SUCCEEDED);
}

TEST_F(TaskTest, ARehearsalTakesAStepAndLeavesNothing) {
  SetTeacherSpec(1000000);
  Rehearsal rehearsal{32, 1, 10};
  context_.rehearsal = &rehearsal;
  const TaskEnded ended = RunTask(context_);
  EXPECT_EQ(ended.outcome(), TaskEnded::OUTCOME_SUCCEEDED) << ended.reason();
  EXPECT_GT(rehearsal.step, absl::ZeroDuration());
  EXPECT_TRUE(ended.model_dirs().empty());
  EXPECT_FALSE(base::FileExists(dir_ / "job"));
}

TEST_F(TaskTest, ACancelledTaskWritesACheckpointFirst) {
  SetTeacherSpec(1000000);
  control_.Stop(StopReason::kCancel);
  const TaskEnded ended = RunTask(context_);
  EXPECT_EQ(ended.outcome(), TaskEnded::OUTCOME_CANCELLED);
  EXPECT_EQ(outbox_.checkpoints.size(), 1);
}

TEST_F(TaskTest, ASignalStopsATaskAndTheNextRunGoesOn) {
  SetTeacherSpec(4);
  control_.Stop(StopReason::kSignal);
  EXPECT_EQ(RunTask(context_).outcome(), TaskEnded::OUTCOME_STOPPED);
  TaskControl fresh;
  context_.control = &fresh;
  EXPECT_EQ(RunTask(context_).outcome(), TaskEnded::OUTCOME_SUCCEEDED);
}

TEST_F(TaskTest, DistillsATrajectoryModel) {
  AddModel("t", "teacher");
  auto* spec = context_.assignment.mutable_spec()->mutable_distill();
  spec->set_teacher("t");
  spec->mutable_data()->set_path(dir_ / "data");
  spec->set_max_ode_steps(1);
  spec->set_zero_init_second_time(true);
  *spec->mutable_training() = Training(2);
  const TaskEnded ended = RunTask(context_);
  ASSERT_EQ(ended.outcome(), TaskEnded::OUTCOME_SUCCEEDED) << ended.reason();
  RETORT_ASSERT_OK_AND_ASSIGN(const LoadedModel model, LoadModel(Result()));
  EXPECT_EQ(model.manifest.kind, "ctm");
  EXPECT_EQ(model.solver, sample::Solver::kTrajectory);
  EXPECT_EQ(model.manifest.lineage["teacher"], "t");
}

TEST_F(TaskTest, AStudentOfAnAugmentedTeacherHasItsNetwork) {
  SetTeacherSpec(2);
  context_.assignment.mutable_spec()
      ->mutable_train_teacher()
      ->set_augment_probability(0.5);
  TaskEnded ended = RunTask(context_);
  ASSERT_EQ(ended.outcome(), TaskEnded::OUTCOME_SUCCEEDED) << ended.reason();
  RETORT_ASSERT_OK_AND_ASSIGN(const LoadedModel teacher, LoadModel(Result()));
  EXPECT_EQ(teacher.manifest.network["augment_dim"], 9);

  (*context_.assignment.mutable_model_dirs())["t"] = Result();
  context_.assignment.set_job_dir(dir_ / "job2");
  auto* distill = context_.assignment.mutable_spec()->mutable_distill();
  distill->set_teacher("t");
  distill->mutable_data()->set_path(dir_ / "data");
  distill->set_max_ode_steps(1);
  *distill->mutable_training() = Training(2);
  ended = RunTask(context_);
  ASSERT_EQ(ended.outcome(), TaskEnded::OUTCOME_SUCCEEDED) << ended.reason();
  RETORT_ASSERT_OK_AND_ASSIGN(const LoadedModel student,
                              LoadModel(dir_ / "job2/result"));
  EXPECT_EQ(student.manifest.network["augment_dim"], 9);
}

TEST_F(TaskTest, DistillsAgainstADiscriminator) {
  AddModel("t", "teacher");
  auto* spec = context_.assignment.mutable_spec()->mutable_distill();
  spec->set_teacher("t");
  spec->mutable_data()->set_path(dir_ / "data");
  spec->set_max_ode_steps(1);
  spec->mutable_gan()->set_weight(1);
  spec->mutable_gan()->set_channels(4);
  *spec->mutable_training() = Training(2);
  for (const auto method :
       {v1::DistillSpec::METHOD_CM, v1::DistillSpec::METHOD_CTM}) {
    const std::string job = dir_ / v1::DistillSpec::Method_Name(method);
    context_.assignment.set_job_dir(job);
    spec->set_method(method);
    const TaskEnded ended = RunTask(context_);
    ASSERT_EQ(ended.outcome(), TaskEnded::OUTCOME_SUCCEEDED) << ended.reason();
    const auto& metrics = outbox_.progress.back().metrics();
    EXPECT_GT(metrics.at("gan_weight"), 0);
    EXPECT_GT(metrics.at("r1"), 0);
    EXPECT_EQ(metrics.count("loss_gan"), 1u);
    EXPECT_EQ(metrics.count("loss_discriminator"), 1u);
    EXPECT_THAT(LoadModel(job + "/result"), IsOk());
  }
}

TEST_F(TaskTest, DistillsWithLpipsByEitherMethodInAnyPrecision) {
  using Training = v1::TrainingSpec;
  const struct {
    v1::DistillSpec::Method method;
    Training::Precision precision;
  } kRuns[] = {{v1::DistillSpec::METHOD_CM, Training::PRECISION_FP32},
               {v1::DistillSpec::METHOD_CTM, Training::PRECISION_BF16}};
  for (const auto& run : kRuns) {
    outbox_.progress.clear();
    const std::string job =
        dir_ / absl::StrCat("job-", run.method, "-", run.precision);
    context_.assignment.set_job_dir(job);
    SetLpipsSpec(run.method)->mutable_training()->set_precision(run.precision);
    const TaskEnded ended = RunTask(context_);
    ASSERT_EQ(ended.outcome(), TaskEnded::OUTCOME_SUCCEEDED) << ended.reason();
    const auto& metrics = outbox_.progress.back().metrics();
    EXPECT_TRUE(std::isfinite(metrics.at("loss")));
    EXPECT_GT(metrics.at("loss"), 0);
    RETORT_ASSERT_OK_AND_ASSIGN(const LoadedModel model,
                                LoadModel(job + "/result"));
    EXPECT_EQ(model.manifest.lineage["lpips"]["backbone"], "squeezenet");
    EXPECT_EQ(std::string(model.manifest.lineage["lpips"]["heads_hash"]).size(),
              64);
  }
}

TEST_F(TaskTest, ARunGoesOnWithTheSameLpipsOnly) {
  SetLpipsSpec(v1::DistillSpec::METHOD_CM);
  ASSERT_EQ(RunTask(context_).outcome(), TaskEnded::OUTCOME_SUCCEEDED);
  auto* training =
      context_.assignment.mutable_spec()->mutable_distill()->mutable_training();
  training->set_iterations(4);
  ASSERT_EQ(RunTask(context_).outcome(), TaskEnded::OUTCOME_SUCCEEDED);
  training->set_iterations(6);
  AddPerceptual("heads", testing::MadeUpHeads("squeezenet1_1", /*seed=*/7));
  const TaskEnded other = RunTask(context_);
  EXPECT_EQ(other.outcome(), TaskEnded::OUTCOME_FAILED);
  EXPECT_THAT(other.reason(), HasSubstr("lpips"));
}

TEST_F(TaskTest, LpipsSaysWhichModelLacksWhat) {
  SetLpipsSpec(v1::DistillSpec::METHOD_CM)->mutable_lpips()->set_resize(16);
  EXPECT_THAT(RunTask(context_).reason(), HasSubstr("17 pixels a side"));
  AddPerceptual("heads", testing::MadeUpHeads("alexnet"));
  EXPECT_THAT(RunTask(context_).reason(),
              AllOf(HasSubstr("LPIPS from squeezenet and heads"),
                    HasSubstr("lin1.model.1.weight")));
}

TEST_F(TaskTest, EstimatesAPreconditioningThatADistillationTakes) {
  SetEstimateSpec();
  TaskEnded ended = RunTask(context_);
  ASSERT_EQ(ended.outcome(), TaskEnded::OUTCOME_SUCCEEDED) << ended.reason();
  EXPECT_TRUE(base::FileExists(Result() + "/preconditioning.svg"));

  (*context_.assignment.mutable_model_dirs())["p"] = Result();
  context_.assignment.set_job_dir(dir_ / "job2");
  auto* distill = context_.assignment.mutable_spec()->mutable_distill();
  distill->set_teacher("t");
  distill->mutable_data()->set_path(dir_ / "data");
  distill->set_preconditioning(v1::PRECONDITIONING_KIND_FITTED_STATE);
  distill->set_preconditioning_artifact("p");
  distill->set_grid_size(3);
  *distill->mutable_training() = Training(1);
  ended = RunTask(context_);
  ASSERT_EQ(ended.outcome(), TaskEnded::OUTCOME_SUCCEEDED) << ended.reason();
  EXPECT_THAT(LoadModel(dir_ / "job2/result"), IsOk());
}

TEST_F(TaskTest, WarnsOfAnEstimateThatCostsMoreThanThePaperAllows) {
  SetEstimateSpec()->set_served_iterations(1'000'000);
  ASSERT_EQ(RunTask(context_).outcome(), TaskEnded::OUTCOME_SUCCEEDED);
  EXPECT_THAT(outbox_.warnings, IsEmpty());
  context_.assignment.set_job_dir(dir_ / "job2");
  SetEstimateSpec()->set_served_iterations(1);
  ASSERT_EQ(RunTask(context_).outcome(), TaskEnded::OUTCOME_SUCCEEDED);
  EXPECT_THAT(outbox_.warnings, ElementsAre(HasSubstr("above 1 %")));
}

TEST_F(TaskTest, AStudentCarriesItsSpectralFitBesideItsWeights) {
  SetEstimateSpec()->set_spectral(true);
  ASSERT_EQ(RunTask(context_).outcome(), TaskEnded::OUTCOME_SUCCEEDED);
  (*context_.assignment.mutable_model_dirs())["p"] = Result();
  auto* distill = context_.assignment.mutable_spec()->mutable_distill();
  distill->set_teacher("t");
  distill->mutable_data()->set_path(dir_ / "data");
  distill->set_preconditioning_artifact("p");
  distill->set_grid_size(3);
  *distill->mutable_training() = Training(1);
  for (const auto kind : {v1::PRECONDITIONING_KIND_FITTED_SPECTRAL,
                          v1::PRECONDITIONING_KIND_FITTED_STATE}) {
    const bool spectral = kind == v1::PRECONDITIONING_KIND_FITTED_SPECTRAL;
    const std::string job = dir_ / absl::StrCat("job", int{kind});
    context_.assignment.set_job_dir(job);
    distill->set_preconditioning(kind);
    const TaskEnded ended = RunTask(context_);
    ASSERT_EQ(ended.outcome(), TaskEnded::OUTCOME_SUCCEEDED) << ended.reason();
    RETORT_ASSERT_OK_AND_ASSIGN(const io::ModelDirContents contents,
                                io::ReadModelDir(job + "/result"));
    EXPECT_EQ(contents.preconditioning.count("spectral.u"), spectral);
    EXPECT_EQ(contents.tensors.count("spectral.u"), 0);
    // The artefact is not needed any more.
    ASSERT_THAT(LoadModel(job + "/result"), IsOk());
    EXPECT_TRUE(CheckModel(job + "/result")["ok"]);
  }
}

TEST_F(TaskTest, RefusesTablesThatWereEstimatedForAnotherTeacher) {
  SetEstimateSpec()->set_trajectories(-1);
  ASSERT_EQ(RunTask(context_).outcome(), TaskEnded::OUTCOME_SUCCEEDED);

  (*context_.assignment.mutable_model_dirs())["p"] = Result();
  WriteSmallModel(dir_ / "other", "teacher", /*resolution=*/32, nullptr,
                  /*seed=*/2);
  (*context_.assignment.mutable_model_dirs())["other"] = dir_ / "other";
  context_.assignment.set_job_dir(dir_ / "job2");
  auto* distill = context_.assignment.mutable_spec()->mutable_distill();
  distill->set_teacher("other");
  distill->mutable_data()->set_path(dir_ / "data");
  distill->set_preconditioning(v1::PRECONDITIONING_KIND_ANALYTIC);
  distill->set_preconditioning_artifact("p");
  *distill->mutable_training() = Training(1);
  const TaskEnded ended = RunTask(context_);
  EXPECT_EQ(ended.outcome(), TaskEnded::OUTCOME_FAILED);
  EXPECT_THAT(ended.reason(), HasSubstr("p was estimated for a teacher with"));
}

TEST_F(TaskTest, AFullDiskAtTheEndPutsTheJobOff) {
  SetTeacherSpec(2);
  base::ScopedWriteFault full_disk(1000, ENOSPC);
  const TaskEnded ended = RunTask(context_);
  EXPECT_EQ(ended.outcome(), TaskEnded::OUTCOME_DEFERRED);
  EXPECT_THAT(ended.reason(), HasSubstr("free space on the disk"));
}

TEST_F(TaskTest, WhatDoesNotFitIsWrittenWhenThereIsRoom) {
  int tries = 0;
  const auto write = [&]() -> absl::Status {
    if (++tries < 3) return absl::ResourceExhaustedError("no room");
    return absl::OkStatus();
  };
  EXPECT_THAT(WriteWhenThereIsRoom(context_, write, absl::ZeroDuration()),
              IsOk());
  EXPECT_EQ(tries, 3);
  EXPECT_THAT(outbox_.warnings, ElementsAre(HasSubstr("no room")));
}

TEST_F(TaskTest, ATaskThatWaitsForRoomCanBeStopped) {
  control_.Stop(StopReason::kCancel);
  const auto full = [] { return absl::ResourceExhaustedError("no room"); };
  const absl::Status status =
      WriteWhenThereIsRoom(context_, full, absl::Hours(1));
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kCancelled));
  EXPECT_EQ(FailedEnd(status, control_).outcome(),
            TaskEnded::OUTCOME_CANCELLED);
}

TEST_F(TaskTest, ASpecThatCannotBeDoneFailsTheTaskAndNotTheWorker) {
  SetTeacherSpec(2);
  context_.assignment.mutable_spec()
      ->mutable_train_teacher()
      ->mutable_training()
      ->set_batch_size(int64_t{4} << 60);
  EXPECT_EQ(RunTask(context_).outcome(), TaskEnded::OUTCOME_FAILED);
}

TEST_F(TaskTest, AnEstimationShowsSignsOfLife) {
  SetEstimateSpec();
  ASSERT_EQ(RunTask(context_).outcome(), TaskEnded::OUTCOME_SUCCEEDED);
  // At each knot, and of the trajectories.
  EXPECT_GT(outbox_.signs_of_life["estimating"], 4);
  EXPECT_GT(outbox_.signs_of_life["loading teacher and data"], 0);
}

TEST_F(TaskTest, AnEstimationOfAnotherIncarnationWritesNothing) {
  SetEstimateSpec();
  const base::JobDir job(context_.assignment.job_dir());
  ASSERT_THAT(base::AtomicWriteFile(job.epoch_path(), "7"), IsOk());
  context_.assignment.set_epoch(7);
  // Taken over while it estimates.
  EXPECT_EXIT(
      {
        outbox_.on_activity = [&](const std::string& activity) {
          if (activity != "estimating") return;
          RETORT_CHECK_OK(base::AtomicWriteFile(job.epoch_path(), "8"));
        };
        RunTask(context_);
      },
      ::testing::ExitedWithCode(kWorkerFenced), "");
  EXPECT_FALSE(base::FileExists(Result()));
}

TEST_F(TaskTest, StopsAnEstimation) {
  SetEstimateSpec();
  control_.Stop(StopReason::kPause);
  const TaskEnded ended = RunTask(context_);
  EXPECT_EQ(ended.outcome(), TaskEnded::OUTCOME_STOPPED) << ended.reason();
}

TEST_F(TaskTest, FailsWithTheReasonWhenDataIsMissing) {
  SetTeacherSpec(4);
  context_.assignment.mutable_spec()
      ->mutable_train_teacher()
      ->mutable_data()
      ->set_path(dir_ / "nothing");
  const TaskEnded ended = RunTask(context_);
  EXPECT_EQ(ended.outcome(), TaskEnded::OUTCOME_FAILED);
  EXPECT_THAT(ended.reason(), HasSubstr("nothing"));
}

TEST_F(TaskTest, FailsWhenTheServerSentNoFolderForAModel) {
  auto* spec = context_.assignment.mutable_spec()->mutable_distill();
  spec->set_teacher("gone");
  spec->mutable_data()->set_path(dir_ / "data");
  EXPECT_THAT(RunTask(context_).reason(), HasSubstr("'gone'"));
}

TEST(StoppedEndTest, ACancelOutweighsAPauseButNotTheOtherWayRound) {
  TaskControl control;
  control.Stop(StopReason::kPause);
  control.Stop(StopReason::kCancel);
  control.Stop(StopReason::kSignal);
  EXPECT_EQ(control.stop_reason(), StopReason::kCancel);
}

TEST(CheckModelTest, CountsParametersOfAWholeModel) {
  testing::TempDir dir;
  WriteSmallModel(dir / "m", "teacher");
  const nlohmann::json result = CheckModel(dir / "m");
  EXPECT_TRUE(result["ok"].get<bool>()) << result;
  EXPECT_GT(result["parameters"].get<int64_t>(), 0);
}

TEST(CheckModelTest, NamesTheTensorThatDoesNotFit) {
  testing::TempDir dir;
  auto contents = [&] {
    WriteSmallModel(dir / "m", "teacher");
    return *io::ReadModelDir(dir / "m");
  }();
  contents.tensors["model.map_layer0.weight"] = at::zeros({3, 3});
  ASSERT_THAT(io::WriteModelDir(dir / "m", contents.manifest, contents.tensors),
              IsOk());
  const nlohmann::json result = CheckModel(dir / "m");
  EXPECT_FALSE(result["ok"].get<bool>());
  EXPECT_THAT(result["error"].get<std::string>(),
              HasSubstr("model.map_layer0.weight"));
}

}  // namespace
}  // namespace retort::worker
