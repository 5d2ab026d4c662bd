#include <ATen/Parallel.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>

#include "core/eval/train_classifier.h"
#include "core/io/model_file.h"
#include "server/worker/loaded_model.h"
#include "server/worker/task.h"
#include "tests/server/worker/fake_outbox.h"
#include "tests/server/worker/small_models.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

// METHOD_CT and the curriculum through whole tasks.
namespace retort::worker {
namespace {

using internal::v1::TaskEnded;
using ::testing::Contains;
using ::testing::Not;

// Stops the task once, after a step.
class StoppingOutbox : public FakeOutbox {
 public:
  void SendProgress(const internal::v1::Progress& p) override {
    FakeOutbox::SendProgress(p);
    if (control != nullptr && p.progress().step() == stop_at) {
      control->Stop(StopReason::kSignal);
    }
  }
  TaskControl* control = nullptr;
  int64_t stop_at = 0;
};

class ConsistencyTrainingTest : public ::testing::Test {
 protected:
  ConsistencyTrainingTest() {
    at::set_num_threads(1);
    WriteSmallData(dir_ / "data", 32);
    context_.outbox = &outbox_;
    context_.control = &control_;
    context_.assignment.set_job_dir(dir_ / "jobs/whole");
    context_.assignment.set_job_name("projects/p/jobs/j");
    spec_ = context_.assignment.mutable_spec()->mutable_distill();
    spec_->set_method(v1::DistillSpec::METHOD_CT);
    spec_->mutable_data()->set_path(dir_ / "data");
    spec_->mutable_data()->set_resolution(16);
    spec_->mutable_network()->set_model_channels(4);
    spec_->mutable_network()->add_channel_mult(1);
    spec_->mutable_network()->set_dropout(0.1);
    spec_->set_curriculum(v1::DistillSpec::CURRICULUM_PROGRESSIVE);
    spec_->set_grid_size(6);
    spec_->set_weighting(v1::DistillSpec::WEIGHTING_KARRAS);
    v1::TrainingSpec* training = spec_->mutable_training();
    training->set_batch_size(4);
    training->set_iterations(6);
    training->set_log_every(1);
    training->set_checkpoint_every(100);
  }

  void StartFromTeacher() {
    WriteSmallModel(dir_ / "t", "teacher", 16);
    (*context_.assignment.mutable_model_dirs())["t"] = dir_ / "t";
    spec_->clear_network();
    spec_->set_teacher("t");
  }

  static std::string Weights(const std::string& job) {
    return io::ReadModelManifest(job + "/result").value().weights_sha256;
  }

  testing::TempDir dir_;
  StoppingOutbox outbox_;
  TaskControl control_;
  TaskContext context_;
  v1::DistillSpec* spec_;
};

TEST_F(ConsistencyTrainingTest, TrainsFromDataAloneAndResumesByteForByte) {
  TaskEnded ended = RunTask(context_);
  ASSERT_EQ(ended.outcome(), TaskEnded::OUTCOME_SUCCEEDED) << ended.reason();
  EXPECT_EQ(outbox_.progress.back().metrics().at("grid_size"), 6);

  TaskControl stopped;
  context_.control = outbox_.control = &stopped;
  outbox_.stop_at = 3;
  context_.assignment.set_job_dir(dir_ / "jobs/parts");
  ended = RunTask(context_);
  ASSERT_EQ(ended.outcome(), TaskEnded::OUTCOME_STOPPED) << ended.reason();
  EXPECT_EQ(outbox_.progress.back().progress().step(), 3);
  EXPECT_LT(outbox_.progress.back().metrics().at("grid_size"), 6);

  outbox_.control = nullptr;
  context_.control = &control_;
  ended = RunTask(context_);
  ASSERT_EQ(ended.outcome(), TaskEnded::OUTCOME_SUCCEEDED) << ended.reason();
  EXPECT_EQ(Weights(dir_ / "jobs/parts"), Weights(dir_ / "jobs/whole"));
}

TEST_F(ConsistencyTrainingTest, ItsModelIsAConsistencyModelWithoutATeacher) {
  ASSERT_EQ(RunTask(context_).outcome(), TaskEnded::OUTCOME_SUCCEEDED);
  RETORT_ASSERT_OK_AND_ASSIGN(const LoadedModel model,
                              LoadModel(dir_ / "jobs/whole/result"));
  EXPECT_EQ(model.manifest.kind, "cm");
  EXPECT_EQ(model.solver, sample::Solver::kConsistency);
  EXPECT_EQ(model.manifest.preconditioning["name"], "cm");
  EXPECT_EQ(model.manifest.network["label_dim"], 10);
  EXPECT_FALSE(model.manifest.lineage.contains("teacher"));
  EXPECT_FALSE(model.manifest.lineage.contains("teacher_hash"));
  sample::SampleOptions options;
  options.plan.solver = model.solver;
  options.plan.schedule = model.schedule;
  options.plan.steps = 2;
  options.count = 2;
  RETORT_ASSERT_OK_AND_ASSIGN(const auto images,
                              model.sampler->Sample(options));
  EXPECT_TRUE(images.images.isfinite().all().item<bool>());
}

TEST_F(ConsistencyTrainingTest, ATeacherGivesItsWeights) {
  StartFromTeacher();
  // At a rate of nearly nothing the student is what it started from.
  spec_->mutable_optimizer()->set_learning_rate(1e-30);
  ASSERT_EQ(RunTask(context_).outcome(), TaskEnded::OUTCOME_SUCCEEDED);
  const auto teacher = *io::ReadModelDir(dir_ / "t");
  const auto student = *io::ReadModelDir(dir_ / "jobs/whole/result");
  EXPECT_EQ(student.manifest.lineage["teacher"], "t");
  EXPECT_EQ(student.manifest.lineage["teacher_hash"],
            teacher.manifest.weights_sha256);
  for (const auto& [name, tensor] : teacher.tensors) {
    EXPECT_TRUE(at::allclose(student.tensors.at(name), tensor)) << name;
  }

  // Which consistency distillation is not the same run as.
  spec_->set_method(v1::DistillSpec::METHOD_CM);
  context_.assignment.set_job_dir(dir_ / "jobs/cm");
  ASSERT_EQ(RunTask(context_).outcome(), TaskEnded::OUTCOME_SUCCEEDED);
  EXPECT_NE(student.manifest.lineage["run"],
            io::ReadModelManifest(dir_ / "jobs/cm/result")->lineage["run"]);
}

TEST_F(ConsistencyTrainingTest, ValidationHasEndPointsOnlyWithATeacher) {
  eval::TrainedClassifier features;
  features.net = eval::FmnistClassifier(eval::ClassifierConfig{16}, 1);
  ASSERT_THAT(eval::SaveClassifier(dir_ / "f", features).status(),
              retort::testing::IsOk());
  (*context_.assignment.mutable_model_dirs())["f"] = dir_ / "f";
  v1::ValidationSpec* v = spec_->mutable_training()->mutable_validation();
  v->set_every(6);
  v->set_samples(8);
  v->set_teacher_steps(3);
  v->add_steps(1);
  v->set_feature_extractor("f");
  const auto series = [&] {
    outbox_.progress.clear();
    EXPECT_EQ(RunTask(context_).outcome(), TaskEnded::OUTCOME_SUCCEEDED);
    std::set<std::string> names;
    for (const auto& p : outbox_.progress) {
      for (const auto& [name, value] : p.metrics()) names.insert(name);
    }
    return names;
  };
  std::set<std::string> names = series();
  EXPECT_THAT(names, Contains("validation_fd_1"));
  EXPECT_THAT(names, Not(Contains("validation_rms_1")));
  StartFromTeacher();
  context_.assignment.set_job_dir(dir_ / "jobs/from_teacher");
  EXPECT_THAT(series(), Contains("validation_rms_1"));
}

TEST_F(ConsistencyTrainingTest, LabelsCanBeLeftOut) {
  spec_->mutable_data()->set_unconditional(true);
  ASSERT_EQ(RunTask(context_).outcome(), TaskEnded::OUTCOME_SUCCEEDED);
  EXPECT_EQ(
      io::ReadModelManifest(dir_ / "jobs/whole/result")->network["label_dim"],
      0);
}

}  // namespace
}  // namespace retort::worker
