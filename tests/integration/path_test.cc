// From a teacher to samples, through the real programs.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/support/service_process.h"
#include "tests/support/small_fashion_mnist.h"
#include "tests/support/tiny_specs.h"

namespace retort::testing {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::StartsWith;

// One service for all: what one test makes is what the next one needs, as for
// a user. Tests run in the order of the file.
class PathTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    service_ = new ServiceProcess();
    WriteSmallFashionMnist(Data());
    service_->Start();
  }
  static void TearDownTestSuite() {
    delete service_;
    service_ = nullptr;
  }

  static std::string Data() { return service_->dir() / "fashion"; }

  static void Run(const std::string& id, const json& spec) {
    service_->Submit(id, spec);
    const std::string end = service_->AwaitEnd(id);
    ASSERT_EQ(end, "SUCCEEDED") << service_->Job(id)["state_reason"] << "\n"
                                << Slurp(service_->job_dir(id) + "/worker.log");
  }

  // The PNG files of a sample request, in order.
  static std::vector<std::string> Sample(
      const std::string& deployment, int n,
      const std::vector<std::string>& options) {
    const std::string out = service_->dir() / absl::StrCat("s", ++samples_);
    std::vector<std::string> arguments = {"sample",        deployment,  "-n",
                                          absl::StrCat(n), "--out-dir", out};
    arguments.insert(arguments.end(), options.begin(), options.end());
    const ProcessResult result = service_->Cli(arguments);
    EXPECT_EQ(result.code, 0) << result.err;
    std::vector<std::string> images;
    for (int i = 0; i < n; ++i) {
      char name[32];
      std::snprintf(name, sizeof(name), "/%06d.png", i);
      images.push_back(Slurp(out + name));
    }
    return images;
  }

  static ServiceProcess* service_;
  static int samples_;
};

ServiceProcess* PathTest::service_ = nullptr;
int PathTest::samples_ = 0;

TEST_F(PathTest, TeacherIsTrainedOnThePackagedDataByDefault) {
  json spec = TinyTeacher("", 30, 10);
  Run("teacher", spec);
  const json job = service_->Job("teacher");
  EXPECT_EQ(job["attempts"], 1);
  EXPECT_EQ(job["progress"]["step"], "30");
  EXPECT_EQ(job["models"], json({"projects/default/models/teacher"}));
  EXPECT_EQ(job["spec"]["train_teacher"]["noise"]["sigma_max"], 80.0)
      << "defaults are filled in";
  const json model = service_->Json({"models", "get", "teacher"});
  EXPECT_EQ(model["kind"], "KIND_TEACHER");
  EXPECT_EQ(model["manifest"]["lineage"]["steps"], 30);
}

TEST_F(PathTest, JobSaysWhatItMeasuredLoggedAndKept) {
  const json metrics = service_->Json({"jobs", "metrics", "teacher"});
  std::vector<std::string> names;
  for (const json& series : metrics["series"]) {
    names.push_back(series["name"]);
    ASSERT_EQ(series["points"].size(), 6u) << series["name"];
    EXPECT_EQ(series["points"].back()["step"], "30");
    EXPECT_TRUE(series["points"][0]["value"].is_number());
  }
  EXPECT_THAT(names, ::testing::IsSupersetOf(
                         {"loss", "learning_rate", "gradient_norm"}));

  const json checkpoints = service_->Json({"jobs", "checkpoints", "teacher"});
  ASSERT_EQ(checkpoints["checkpoints"].size(), 2u) << "two are kept";
  for (const json& checkpoint : checkpoints["checkpoints"]) {
    EXPECT_EQ(checkpoint["sha256"].get<std::string>().size(), 64u);
    EXPECT_NE(checkpoint["bytes"], "0");
  }
  EXPECT_EQ(service_->CheckpointsOnDisk("teacher"),
            (std::vector<int64_t>{20, 30}));

  const ProcessResult log = service_->Cli({"jobs", "logs", "teacher"});
  EXPECT_EQ(log.code, 0) << log.err;
  EXPECT_THAT(log.out, HasSubstr("step 15/30"));
  EXPECT_THAT(log.out, HasSubstr("checkpoint of step 20 written"));
  const ProcessResult tail =
      service_->Cli({"jobs", "logs", "teacher", "--tail", "1"});
  EXPECT_EQ(std::count(tail.out.begin(), tail.out.end(), '\n'), 1);

  const std::string events = service_->Events("teacher");
  for (const char* event : {"QUEUED", "RUNNING", "SUCCEEDED",
                            "checkpoint at step 20", "models/teacher"}) {
    EXPECT_THAT(events, HasSubstr(event));
  }
}

TEST_F(PathTest, PreconditioningThatNeedsTablesSaysHowToGetThem) {
  const json error = service_->Error(
      4, {"jobs", "submit", "-f",
          service_->JobFile({{"distill",
                              {{"teacher", "teacher"},
                               {"preconditioning", "analytic"},
                               {"training", {{"iterations", 5}}}}}})});
  EXPECT_EQ(error["reason"], "SPEC_INVALID");
  EXPECT_THAT(error["message"],
              AllOf(HasSubstr("distill.preconditioning_artifact"),
                    HasSubstr("run an estimate_preconditioning job")));
}

TEST_F(PathTest, PreconditioningIsEstimatedWithAPlot) {
  Run("preconditioning", {{"estimate_preconditioning",
                           {{"teacher", "teacher"},
                            {"data", {{"path", Data()}}},
                            {"knots", 6},
                            {"samples_per_knot", 8},
                            {"batch_size", 8},
                            {"trajectories", 8},
                            {"grid_size", 4}}},
                          {"resources", {{"cpu_threads", 1}}}});
  const json model = service_->Json({"models", "get", "preconditioning"});
  EXPECT_EQ(model["kind"], "KIND_PRECONDITIONING");
  const ProcessResult plot =
      service_->Cli({"models", "export", "preconditioning", "--file",
                     "preconditioning.svg", "--out", "-"});
  EXPECT_EQ(plot.code, 0) << plot.err;
  EXPECT_THAT(plot.out, HasSubstr("<svg"));
}

TEST_F(PathTest, TeacherIsDistilledWithEachMethod) {
  const auto spec = [](const std::string& method, const std::string& kind,
                       bool artifact) {
    json distill = {{"teacher", "teacher"},
                    {"method", method},
                    {"data", {{"path", Data()}}},
                    {"preconditioning", kind},
                    {"grid_size", 4},
                    {"training",
                     {{"iterations", 8},
                      {"batch_size", 2},
                      {"checkpoint_every", 4},
                      {"log_every", 2}}}};
    if (artifact) distill["preconditioning_artifact"] = "preconditioning";
    return json{{"distill", distill}, {"resources", {{"cpu_threads", 1}}}};
  };
  Run("student", spec("ctm", "fitted-state", true));
  Run("student-analytic", spec("ctm", "analytic", true));
  Run("student-cm", spec("cm", "cm", false));
  const json model = service_->Json({"models", "get", "student"});
  EXPECT_EQ(model["kind"], "KIND_CTM");
  EXPECT_EQ(model["preconditioning"], "PRECONDITIONING_KIND_FITTED_STATE");
  const json& lineage = model["manifest"]["lineage"];
  EXPECT_EQ(lineage["teacher"], "projects/default/models/teacher");
  EXPECT_EQ(lineage["teacher_hash"],
            service_->Json({"models", "get", "teacher"})["weights_sha256"]);
  EXPECT_EQ(service_->Json({"models", "get", "student-cm"})["kind"], "KIND_CM");
}

TEST_F(PathTest, AConsistencyModelIsTrainedWithoutATeacher) {
  Run("alone", {{"distill",
                 {{"method", "ct"},
                  {"data", {{"path", Data()}}},
                  {"network", {{"model_channels", 8}, {"channel_mult", {1}}}},
                  {"curriculum", "progressive"},
                  {"grid_size", 6},
                  {"training",
                   {{"iterations", 8}, {"batch_size", 2}, {"log_every", 1}}}}},
                {"resources", {{"cpu_threads", 1}}}});
  const json model = service_->Json({"models", "get", "alone"});
  EXPECT_EQ(model["kind"], "KIND_CM");
  EXPECT_EQ(model["preconditioning"], "PRECONDITIONING_KIND_CM");
  EXPECT_FALSE(model["manifest"]["lineage"].contains("teacher"));
  service_->Json({"deployments", "create", "alone", "--model", "alone",
                  "--threads", "1", "--wait"});
  EXPECT_THAT(Sample("alone", 2, {"--steps", "2"}),
              Each(StartsWith("\x89PNG")));
  EXPECT_EQ(service_->Cli({"deployments", "delete", "alone"}).code, 0);
}

TEST_F(PathTest, StudentIsEvaluatedInTheFeaturesOfAClassifier) {
  const std::string features = service_->dir() / "features";
  const ProcessResult trained =
      RunProgram({absl::StrCat(RETORT_BIN_DIR, "/retort-worker"),
                  "train-feature-extractor", "--out", features, "--data",
                  Data(), "--epochs", "1", "--threads", "1"},
                 service_->dir().path(), ServiceProcess::kPatience);
  ASSERT_EQ(trained.code, 0) << trained.err;
  const json imported = service_->Json(
      {"models", "import", features + "/weights.safetensors", "--manifest",
       features + "/manifest.json", "--id", "features"});
  EXPECT_EQ(imported["kind"], "KIND_FEATURE_EXTRACTOR");
  Run("evaluation", {{"evaluate",
                      {{"model", "student"},
                       {"feature_extractor", "features"},
                       {"data", {{"path", Data()}}},
                       {"samples", 32},
                       {"batch_size", 16},
                       {"steps", {1, 2}}}},
                     {"resources", {{"cpu_threads", 1}}}});
  const json results = service_->Job("evaluation")["results"];
  ASSERT_EQ(results.size(), 2u);
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(results[i]["metric"], "FD-FMNIST");
    EXPECT_EQ(results[i]["steps"], i + 1);
    EXPECT_EQ(results[i]["network_calls"], i + 1);
    EXPECT_GT(results[i]["value"].get<double>(), 0);
    EXPECT_TRUE(std::isfinite(results[i]["value"].get<double>()));
    EXPECT_GT(results[i]["seconds_per_image"].get<double>(), 0);
  }
}

TEST_F(PathTest, EvaluationsAreComparedUnlessTheyMeasuredDifferently) {
  json spec = {
      {"evaluate",
       {{"model", "student"},
        {"feature_extractor", "features"},
        {"data", {{"path", Data()}}},
        {"samples", 32},
        {"batch_size", 16},
        {"steps", {1}},
        {"metrics", {"frechet", "kid", "inception-score", "precision-recall"}},
        {"seeds", 2},
        {"seed", 9}}},
      {"resources", {{"cpu_threads", 1}}}};
  Run("evaluation-2", spec);
  EXPECT_THAT(service_->Cli({"jobs", "get", "evaluation-2"}).out,
              AllOf(HasSubstr("FD-FMNIST"), HasSubstr(", 2 seeds)")));
  const json both =
      service_->Json({"jobs", "compare", "evaluation", "evaluation-2"});
  EXPECT_EQ(both["jobs"], json({"evaluation", "evaluation-2"}));
  ASSERT_EQ(both["rows"].size(), 6u);
  EXPECT_EQ(both["rows"][0]["metric"], "FD-FMNIST");
  EXPECT_EQ(both["rows"][0]["results"].size(), 2u);
  const json& with_seeds = both["rows"][0]["results"][1];
  EXPECT_LT(with_seeds["low"].get<double>(), with_seeds["high"].get<double>());
  spec["evaluate"]["samples"] = 33;
  spec["evaluate"]["seeds"] = 1;
  spec["evaluate"]["metrics"] = json::array({"frechet"});
  Run("evaluation-3", spec);
  const json error =
      service_->Error(4, {"jobs", "compare", "evaluation", "evaluation-3"});
  EXPECT_THAT(error["message"], HasSubstr("samples (32 and 33)"));
}

TEST_F(PathTest, SamplesDependOnSeedAndIndexAlone) {
  const json created =
      service_->Json({"deployments", "create", "clothes", "--model", "student",
                      "--threads", "1", "--wait"});
  ASSERT_EQ(created["state"], "STATE_READY");
  const auto eight = Sample("clothes", 8, {"--steps", "2", "--seed", "7"});
  EXPECT_THAT(eight, Each(StartsWith("\x89PNG")));
  EXPECT_EQ(Sample("clothes", 8, {"--steps", "2", "--seed", "7"}), eight);
  const auto four = Sample("clothes", 4, {"--steps", "2", "--seed", "7"});
  EXPECT_EQ(four, std::vector<std::string>(eight.begin(), eight.begin() + 4));
  const auto others = Sample("clothes", 8, {"--steps", "2", "--seed", "8"});
  for (int i = 0; i < 8; ++i) EXPECT_NE(others[i], eight[i]) << i;
  EXPECT_NE(Sample("clothes", 4, {"--steps", "1", "--seed", "7"}), four);
  const std::string grid = service_->dir() / "grid.png";
  EXPECT_EQ(
      service_->Cli({"sample", "clothes", "-n", "4", "--grid", grid}).code, 0);
  EXPECT_THAT(Slurp(grid), StartsWith("\x89PNG"));
}

TEST_F(PathTest, ExportedModelComesBackTheSame) {
  const std::string weights = service_->dir() / "exported.safetensors";
  const std::string manifest = service_->dir() / "exported.json";
  EXPECT_EQ(
      service_->Cli({"models", "export", "student", "--out", weights}).code, 0);
  EXPECT_EQ(service_
                ->Cli({"models", "export", "student", "--file", "manifest.json",
                       "--out", manifest})
                .code,
            0);
  const json back = service_->Json({"models", "import", weights, "--manifest",
                                    manifest, "--id", "student-again"});
  const json first = service_->Json({"models", "get", "student"});
  for (const char* field :
       {"kind", "weights_sha256", "parameters", "preconditioning"}) {
    EXPECT_EQ(back[field], first[field]) << field;
  }
  service_->Json({"deployments", "create", "again", "--model", "student-again",
                  "--threads", "1", "--wait"});
  const std::vector<std::string> options = {"--steps", "2",       "--seed",
                                            "7",       "--gamma", "0.5"};
  EXPECT_EQ(Sample("again", 4, options), Sample("clothes", 4, options));
}

TEST_F(PathTest, ModelInUseIsNotDeletedAndAFreeOneIs) {
  const json refused = service_->Error(6, {"models", "delete", "student"});
  EXPECT_EQ(refused["reason"], "IN_USE");
  EXPECT_THAT(refused["message"], HasSubstr("clothes"));
  EXPECT_EQ(service_->Cli({"deployments", "delete", "again"}).code, 0);
  EXPECT_TRUE(PollUntil(ServiceProcess::kPatience, [] {
    return service_->Cli({"models", "delete", "student-again"}).code == 0;
  }));
  service_->Error(3, {"models", "get", "student-again"});
}

TEST_F(PathTest, MetricsAndHealthAnswerOverHttp) {
  EXPECT_THAT(service_->HttpGet("/healthz"), HasSubstr("200 OK"));
  const std::string metrics = service_->HttpGet("/metrics");
  EXPECT_THAT(metrics, HasSubstr("200 OK"));
  EXPECT_THAT(metrics, HasSubstr("retort_jobs{state=\"succeeded\"} 9"));
  EXPECT_THAT(metrics, HasSubstr("retort_worker_starts_total{role=\"task\"}"));
  for (const char* series :
       {"retort_sample_images_total", "retort_sample_seconds_bucket",
        "retort_cpu_slots 1", "retort_rpc_total", "retort_models"}) {
    EXPECT_THAT(metrics, HasSubstr(series));
  }
  EXPECT_THAT(service_->HttpGet("/nothing"), HasSubstr("404"));
}

TEST_F(PathTest, ClusterShowsWhatRunsWhere) {
  const json cluster = service_->Json({"cluster"});
  EXPECT_EQ(cluster["running_jobs"], 0);
  EXPECT_EQ(cluster["ready_deployments"], 1);
  EXPECT_EQ(cluster["nodes"][0]["cpu_slots"], 1);
  EXPECT_THAT(cluster.dump(), HasSubstr("deployments/clothes"));
}

}  // namespace
}  // namespace retort::testing
