#include <ATen/Parallel.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <string>

#include "absl/strings/str_cat.h"
#include "core/io/model_file.h"
#include "server/worker/task.h"
#include "tests/server/worker/fake_outbox.h"
#include "tests/server/worker/small_models.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

// TrainingSpec's precision, accumulation and nonfinite_policy through whole
// tasks.
namespace retort::worker {
namespace {

using internal::v1::TaskEnded;
using ::testing::Contains;
using ::testing::HasSubstr;

class TrainingPolicyTest : public ::testing::Test {
 protected:
  TrainingPolicyTest() {
    at::set_num_threads(1);
    WriteSmallData(dir_ / "data", 32);
    context_.outbox = &outbox_;
    context_.control = &control_;
    context_.assignment.set_job_dir(dir_ / "job");
    auto* distill = context_.assignment.mutable_spec()->mutable_distill();
    distill->set_teacher("t");
    distill->mutable_data()->set_path(dir_ / "data");
    distill->mutable_data()->set_resolution(16);
    distill->set_max_ode_steps(1);
    training_ = distill->mutable_training();
    training_->set_batch_size(4);
    training_->set_iterations(12);
    training_->set_log_every(1);
    training_->set_checkpoint_every(1);
    (*context_.assignment.mutable_model_dirs())["t"] = dir_ / "t";
  }

  // Writes the teacher; its weight for class 9, and with that whatever batch
  // has an image of that class, overflows.
  void WriteTeacher(bool breaks_at_class_9) {
    WriteSmallModel(dir_ / "t", "teacher", 16);
    if (!breaks_at_class_9) return;
    auto contents = *io::ReadModelDir(dir_ / "t");
    at::Tensor& weight = contents.tensors.at("model.map_label.weight");
    weight = weight.clone();
    weight.select(1, 9).fill_(std::numeric_limits<float>::max());
    RETORT_CHECK_OK(
        io::WriteModelDir(dir_ / "t", contents.manifest, contents.tensors)
            .status());
  }

  double LastMetric(const std::string& name) {
    return outbox_.progress.back().metrics().at(name);
  }

  testing::TempDir dir_;
  FakeOutbox outbox_;
  TaskControl control_;
  TaskContext context_;
  v1::TrainingSpec* training_;
};

TEST_F(TrainingPolicyTest, EveryPrecisionTrainsAStudent) {
  WriteTeacher(false);
  training_->set_iterations(2);
  for (const auto precision :
       {v1::TrainingSpec::PRECISION_FP32, v1::TrainingSpec::PRECISION_BF16,
        v1::TrainingSpec::PRECISION_FP16}) {
    context_.assignment.set_job_dir(
        dir_ / v1::TrainingSpec::Precision_Name(precision));
    training_->set_precision(precision);
    const TaskEnded ended = RunTask(context_);
    ASSERT_EQ(ended.outcome(), TaskEnded::OUTCOME_SUCCEEDED) << ended.reason();
    RETORT_ASSERT_OK_AND_ASSIGN(
        const auto model,
        io::ReadModelDir(context_.assignment.job_dir() + "/result"));
    for (const auto& [name, tensor] : model.tensors) {
      EXPECT_EQ(tensor.scalar_type(), at::kFloat) << name;
    }
  }
  EXPECT_GE(LastMetric("loss_scale"), 1);
}

TEST_F(TrainingPolicyTest, AccumulationTrainsTheSameStudentButForRounding) {
  WriteTeacher(false);
  training_->set_iterations(3);
  ASSERT_EQ(RunTask(context_).outcome(), TaskEnded::OUTCOME_SUCCEEDED);
  const double whole = LastMetric("loss");
  context_.assignment.set_job_dir(dir_ / "parts");
  training_->set_accumulation(4);
  ASSERT_EQ(RunTask(context_).outcome(), TaskEnded::OUTCOME_SUCCEEDED);
  EXPECT_NEAR(LastMetric("loss"), whole, 1e-4 * whole);
}

TEST_F(TrainingPolicyTest, SkipTrainsOnPastBatchesThatOverflow) {
  WriteTeacher(true);
  const TaskEnded ended = RunTask(context_);
  EXPECT_EQ(ended.outcome(), TaskEnded::OUTCOME_SUCCEEDED) << ended.reason();
  EXPECT_THAT(outbox_.warnings, Contains(HasSubstr("it was skipped")));
}

TEST_F(TrainingPolicyTest, RollBackTrainsOnAfterBatchesThatOverflow) {
  WriteTeacher(true);
  training_->set_max_nonfinite_steps(1);
  EXPECT_EQ(RunTask(context_).outcome(), TaskEnded::OUTCOME_FAILED);

  context_.assignment.set_job_dir(dir_ / "rolls_back");
  training_->set_nonfinite_policy(v1::TrainingSpec::NONFINITE_POLICY_ROLL_BACK);
  const TaskEnded ended = RunTask(context_);
  EXPECT_EQ(ended.outcome(), TaskEnded::OUTCOME_SUCCEEDED) << ended.reason();
  EXPECT_THAT(outbox_.warnings, Contains(HasSubstr("went back")));
  EXPECT_EQ(outbox_.progress.back().progress().step(), 12);
}

TEST_F(TrainingPolicyTest, ReplaceSkipsALossThatIsNoNumber) {
  WriteTeacher(true);
  training_->set_nonfinite_policy(v1::TrainingSpec::NONFINITE_POLICY_REPLACE);
  const TaskEnded ended = RunTask(context_);
  EXPECT_EQ(ended.outcome(), TaskEnded::OUTCOME_SUCCEEDED) << ended.reason();
  EXPECT_THAT(outbox_.warnings, Contains(HasSubstr("it was skipped")));
}

TEST_F(TrainingPolicyTest, ATeacherThatIsAlwaysBrokenFailsUnderEveryPolicy) {
  WriteSmallModel(dir_ / "t", "teacher", 16);
  auto contents = *io::ReadModelDir(dir_ / "t");
  at::Tensor& bias = contents.tensors.at("model.map_layer0.bias");
  bias = at::full_like(bias, std::numeric_limits<float>::max());
  RETORT_CHECK_OK(
      io::WriteModelDir(dir_ / "t", contents.manifest, contents.tensors)
          .status());
  training_->set_max_nonfinite_steps(2);
  for (int policy = 1; policy < v1::TrainingSpec::NonfinitePolicy_ARRAYSIZE;
       ++policy) {
    const auto p = static_cast<v1::TrainingSpec::NonfinitePolicy>(policy);
    context_.assignment.set_job_dir(dir_ / absl::StrCat("job", policy));
    training_->set_nonfinite_policy(p);
    const TaskEnded ended = RunTask(context_);
    EXPECT_EQ(ended.outcome(), TaskEnded::OUTCOME_FAILED) << policy;
    EXPECT_THAT(ended.reason(), HasSubstr("optimizer.learning_rate"));
    if (p == v1::TrainingSpec::NONFINITE_POLICY_ROLL_BACK) {
      EXPECT_THAT(ended.reason(), HasSubstr("going back 3 times"));
    }
  }
}

}  // namespace
}  // namespace retort::worker
