#include "server/worker/evaluate_task.h"

#include <ATen/Parallel.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/eval/train_classifier.h"
#include "server/worker/check_model.h"
#include "tests/core/eval/torchscript_files.h"
#include "tests/server/worker/fake_outbox.h"
#include "tests/server/worker/small_models.h"
#include "tests/support/temp_dir.h"

namespace retort::worker {
namespace {

using internal::v1::TaskEnded;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// A student, a classifier, a TorchScript module, and 32 real images.
class EvaluateTaskTest : public ::testing::Test {
 protected:
  EvaluateTaskTest() {
    at::set_num_threads(1);
    WriteSmallData(dir_ / "data", 32);
    WriteSmallModel(Add("projects/p/models/student"), "ctm", 32);
    eval::TrainedClassifier classifier;
    eval::ClassifierConfig config;
    config.widths = {4, 8};
    classifier.net = eval::FmnistClassifier(config, 3);
    RETORT_CHECK_OK(
        eval::SaveClassifier(Add("projects/p/models/features"), classifier)
            .status());
    context_.outbox = &outbox_;
    context_.control = &control_;
    context_.assignment.set_job_dir(dir_ / "jobs/j");
    v1::EvaluateSpec& s = spec();
    s.set_model("projects/p/models/student");
    s.set_feature_extractor("projects/p/models/features");
    s.mutable_data()->set_path(dir_ / "data");
    s.set_samples(20);
    s.set_batch_size(8);
    s.add_steps(1);
  }

  v1::EvaluateSpec& spec() {
    return *context_.assignment.mutable_spec()->mutable_evaluate();
  }
  std::string Add(const std::string& name) {
    const std::string path = dir_ / name.substr(name.rfind('/') + 1);
    (*context_.assignment.mutable_model_dirs())[name] = path;
    return path;
  }
  void UseScript(const std::string& source) {
    spec().set_feature_extractor("projects/p/models/net");
    eval::WriteScriptModel(Add("projects/p/models/net"), source);
  }
  std::vector<std::string> MetricsOf(const TaskEnded& ended) {
    std::vector<std::string> names;
    for (const auto& r : ended.results()) names.push_back(r.metric());
    return names;
  }
  bool SawPhase(const std::string& text) {
    for (const auto& p : outbox_.progress) {
      if (p.progress().phase().find(text) != std::string::npos) return true;
    }
    return false;
  }

  testing::TempDir dir_;
  FakeOutbox outbox_;
  TaskControl control_;
  TaskContext context_;
};

TEST_F(EvaluateTaskTest, MeasuresFrechetDistanceWithOneSeedByDefault) {
  const TaskEnded ended = RunTask(context_);
  ASSERT_EQ(ended.outcome(), TaskEnded::OUTCOME_SUCCEEDED) << ended.reason();
  ASSERT_THAT(MetricsOf(ended), ElementsAre("FD-FMNIST"));
  const v1::EvaluationResult& r = ended.results(0);
  EXPECT_GT(r.value(), 0);
  EXPECT_EQ(r.samples(), 20);
  EXPECT_EQ(r.seeds(), 1);
  EXPECT_EQ(r.low(), 0);
  EXPECT_EQ(r.high(), 0);
  EXPECT_EQ(r.setup().size(), 64);
}

TEST_F(EvaluateTaskTest, MeasuresEveryMetricAtEveryNumberOfSteps) {
  spec().add_steps(2);
  for (int m = 1; m <= 4; ++m) {
    spec().add_metrics(static_cast<v1::EvaluateSpec::Metric>(m));
  }
  spec().set_kept_features(16);
  spec().set_seeds(2);
  spec().set_seed(5);
  const TaskEnded ended = RunTask(context_);
  ASSERT_EQ(ended.outcome(), TaskEnded::OUTCOME_SUCCEEDED) << ended.reason();
  EXPECT_THAT(
      MetricsOf(ended),
      ElementsAre("FD-FMNIST", "KID-FMNIST", "IS-FMNIST", "precision-FMNIST",
                  "recall-FMNIST", "FD-FMNIST", "KID-FMNIST", "IS-FMNIST",
                  "precision-FMNIST", "recall-FMNIST"));
  for (const auto& r : ended.results()) {
    EXPECT_EQ(r.seeds(), 2);
    EXPECT_LE(r.low(), r.value());
    EXPECT_GE(r.high(), r.value());
  }
  EXPECT_LT(ended.results(0).low(), ended.results(0).high());
  EXPECT_EQ(ended.results(5).steps(), 2);
  EXPECT_EQ(ended.results(0).setup(), ended.results(5).setup());
  EXPECT_NE(ended.results(0).setup(), ended.results(1).setup());
  EXPECT_TRUE(SawPhase("features of real images"));
  EXPECT_TRUE(SawPhase("images in 1 steps, seed 6"));
  EXPECT_TRUE(SawPhase("metrics of images in 2 steps"));
}

TEST_F(EvaluateTaskTest, ThePlainMeanOfSeedsIsTheResult) {
  spec().set_seed(5);
  const double first = RunTask(context_).results(0).value();
  spec().set_seed(6);
  const double second = RunTask(context_).results(0).value();
  spec().set_seed(5);
  spec().set_seeds(2);
  const v1::EvaluationResult both = RunTask(context_).results(0);
  EXPECT_NE(first, second);
  EXPECT_NEAR(both.value(), (first + second) / 2, 1e-9);
  // t = 12.7062 for one degree of freedom.
  EXPECT_NEAR(both.high() - both.value(),
              12.7062 * std::abs(first - second) / 2, 1e-4);
}

TEST_F(EvaluateTaskTest, TheSecondEvaluationFindsWhatIsKnownOfTheData) {
  spec().add_metrics(v1::EvaluateSpec::METRIC_KID);
  ASSERT_EQ(RunTask(context_).outcome(), TaskEnded::OUTCOME_SUCCEEDED);
  outbox_.progress.clear();
  ASSERT_EQ(RunTask(context_).outcome(), TaskEnded::OUTCOME_SUCCEEDED);
  EXPECT_FALSE(SawPhase("features of real images"));
}

TEST_F(EvaluateTaskTest, ATorchScriptModuleGivesItsIdToTheMetrics) {
  UseScript(eval::kThreeChannelScript);
  spec().add_metrics(v1::EvaluateSpec::METRIC_FRECHET);
  spec().add_metrics(v1::EvaluateSpec::METRIC_INCEPTION_SCORE);
  const TaskEnded ended = RunTask(context_);
  ASSERT_EQ(ended.outcome(), TaskEnded::OUTCOME_SUCCEEDED) << ended.reason();
  EXPECT_THAT(MetricsOf(ended), ElementsAre("FD-net", "IS-net"));
}

TEST_F(EvaluateTaskTest, SaysWhyAModuleCannotServe) {
  const struct {
    const char* body;
    const char* text;
  } cases[] = {
      {"return x.float()", "a row for each image"},
      {"return x.float().flatten(1) / 0", "not all finite"},
      {"assert x.size(0) == 0, 'out of luck'\n    return x", "out of luck"},
  };
  for (const auto& c : cases) {
    UseScript(std::string("def forward(self, x):\n    ") + c.body);
    const TaskEnded ended = RunTask(context_);
    EXPECT_EQ(ended.outcome(), TaskEnded::OUTCOME_FAILED);
    EXPECT_THAT(ended.reason(), HasSubstr(c.text));
  }
  UseScript(eval::kAnyChannelScript);
  spec().add_metrics(v1::EvaluateSpec::METRIC_INCEPTION_SCORE);
  EXPECT_THAT(RunTask(context_).reason(), HasSubstr("class logits"));
}

TEST_F(EvaluateTaskTest, SaysWhenThereAreTooFewImagesForNeighbours) {
  spec().add_metrics(v1::EvaluateSpec::METRIC_PRECISION_RECALL);
  spec().set_neighbours(20);
  EXPECT_THAT(RunTask(context_).reason(), HasSubstr("20 neighbours"));
}

TEST_F(EvaluateTaskTest, RefusesDataOfAnotherSize) {
  WriteSmallModel(Add("projects/p/models/student"), "ctm", 8);
  UseScript(eval::kAnyChannelScript);
  spec().mutable_data()->set_resolution(32);
  EXPECT_THAT(RunTask(context_).reason(),
              HasSubstr("makes images of 8 pixels"));
}

TEST_F(EvaluateTaskTest, SaysWhatItIsAtWithEveryStep) {
  spec().add_metrics(v1::EvaluateSpec::METRIC_PRECISION_RECALL);
  spec().set_kept_features(16);
  spec().set_neighbours(1);
  const TaskEnded ended = RunTask(context_);
  ASSERT_EQ(ended.outcome(), TaskEnded::OUTCOME_SUCCEEDED) << ended.reason();
  using Activity = std::pair<std::string, bool>;
  EXPECT_THAT(outbox_.activities, ElementsAre(Activity("loading model", false),
                                              Activity("real images", false),
                                              Activity("images", false),
                                              Activity("metrics", false)));
  EXPECT_GE(outbox_.signs_of_life["real images"], 2);
  EXPECT_GE(outbox_.signs_of_life["images"], 3);  // batches of one step
  EXPECT_GE(outbox_.signs_of_life["metrics"], 2);
}

TEST_F(EvaluateTaskTest, StopsWhenAskedTo) {
  control_.Stop(StopReason::kCancel);
  EXPECT_EQ(RunTask(context_).outcome(), TaskEnded::OUTCOME_CANCELLED);
}

TEST_F(EvaluateTaskTest, CheckModelTriesAnExtractor) {
  UseScript(eval::kThreeChannelScript);
  nlohmann::json result = CheckModel(dir_ / "net");
  EXPECT_EQ(result, nlohmann::json({{"ok", true},
                                    {"kind", "feature_extractor"},
                                    {"parameters", 1},
                                    {"feature_dim", 6},
                                    {"channels", 3},
                                    {"classes", 2}}));
  result = CheckModel(dir_ / "features");
  EXPECT_EQ(result["feature_dim"], 8);
  EXPECT_EQ(result["classes"], 10);
  UseScript("def forward(self, x):\n    return x.float()");
  result = CheckModel(dir_ / "net");
  EXPECT_FALSE(result["ok"].get<bool>());
  EXPECT_THAT(result["error"].get<std::string>(),
              HasSubstr("a row for each image"));
}

}  // namespace
}  // namespace retort::worker
