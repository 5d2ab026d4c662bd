#include "server/worker/validation.h"

#include <ATen/Parallel.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "core/eval/train_classifier.h"
#include "core/io/model_file.h"
#include "tests/server/worker/fake_outbox.h"
#include "tests/server/worker/small_models.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace retort::worker {
namespace {

using internal::v1::TaskEnded;
using ::testing::ElementsAre;
using ::testing::Key;

class ValidationTest : public ::testing::Test {
 protected:
  ValidationTest() {
    at::set_num_threads(1);
    WriteSmallData(dir_ / "data", 32);
    WriteSmallModel(dir_ / "t", "teacher", 16);
    eval::TrainedClassifier features;
    features.net = eval::FmnistClassifier(eval::ClassifierConfig{16}, 1);
    RETORT_CHECK_OK(eval::SaveClassifier(dir_ / "f", features).status());
    auto& dirs = *context_.assignment.mutable_model_dirs();
    dirs["t"] = dir_ / "t";
    dirs["f"] = dir_ / "f";
    context_.outbox = &outbox_;
    context_.control = &control_;
    auto* distill = context_.assignment.mutable_spec()->mutable_distill();
    distill->set_teacher("t");
    distill->mutable_data()->set_path(dir_ / "data");
    distill->mutable_data()->set_resolution(16);
    distill->set_max_ode_steps(1);
    v1::TrainingSpec* training = distill->mutable_training();
    training->set_batch_size(4);
    training->set_iterations(4);
    training->set_log_every(1);
  }

  void SetValidation(bool features) {
    v1::ValidationSpec* v = context_.assignment.mutable_spec()
                                ->mutable_distill()
                                ->mutable_training()
                                ->mutable_validation();
    v->set_every(2);
    v->set_samples(8);
    v->set_teacher_steps(3);
    v->add_steps(1);
    v->add_steps(2);
    if (features) v->set_feature_extractor("f");
  }

  // Runs the task in a folder of its own; returns the student's weights.
  io::TensorMap Run(const std::string& job) {
    context_.assignment.set_job_dir(dir_ / ("jobs/" + job));
    const TaskEnded ended = RunTask(context_);
    EXPECT_EQ(ended.outcome(), TaskEnded::OUTCOME_SUCCEEDED) << ended.reason();
    return io::ReadModelDir(dir_ / ("jobs/" + job + "/result"))->tensors;
  }

  // The steps that a series has points at, and their values.
  std::map<int64_t, double> Series(const std::string& name) {
    std::map<int64_t, double> points;
    for (const auto& message : outbox_.progress) {
      const auto found = message.metrics().find(name);
      if (found != message.metrics().end()) {
        points[message.progress().step()] = found->second;
      }
    }
    return points;
  }

  testing::TempDir dir_;
  FakeOutbox outbox_;
  TaskControl control_;
  TaskContext context_;
};

TEST_F(ValidationTest, ReportsSeriesFromBeforeTheFirstStepToTheLast) {
  SetValidation(true);
  Run("j");
  EXPECT_TRUE(outbox_.warnings.empty()) << outbox_.warnings[0];
  for (const char* name : {"validation_rms_1", "validation_rms_2",
                           "validation_fd_1", "validation_fd_2"}) {
    const auto points = Series(name);
    EXPECT_THAT(points, ElementsAre(Key(0), Key(2), Key(4))) << name;
    for (const auto& [step, value] : points) {
      EXPECT_TRUE(std::isfinite(value) && value > 0) << name << " " << step;
    }
  }
}

TEST_F(ValidationTest, ShowsSignsOfLifeAllAlong) {
  SetValidation(true);
  Run("j");
  // The teacher's three steps, and the real images.
  EXPECT_GE(outbox_.signs_of_life["preparing validation"], 1 + 3 + 1);
  // Thrice: one step, then two, and the features after each.
  EXPECT_GE(outbox_.signs_of_life["validation"], 3 * (1 + 1 + 1 + 2 + 1));
}

TEST_F(ValidationTest, ChangesNothingOfTheTraining) {
  const io::TensorMap plain = Run("plain");
  SetValidation(false);
  const io::TensorMap measured = Run("measured");
  ASSERT_EQ(plain.size(), measured.size());
  for (const auto& [name, tensor] : plain) {
    EXPECT_TRUE(tensor.equal(measured.at(name))) << name;
  }
  EXPECT_EQ(Series("validation_rms_1").size(), 3u);
  EXPECT_TRUE(Series("validation_fd_1").empty());
}

TEST_F(ValidationTest, ComputesInFloatWhateverTheRunTrainsIn) {
  SetValidation(false);
  Run("float");
  const double exact = Series("validation_rms_1").at(0);
  context_.assignment.mutable_spec()
      ->mutable_distill()
      ->mutable_training()
      ->set_precision(v1::TrainingSpec::PRECISION_BF16);
  Run("bf16");
  // Of the untrained student: after the last step the weights differ.
  EXPECT_EQ(Series("validation_rms_1").at(0), exact);
}

}  // namespace
}  // namespace retort::worker
