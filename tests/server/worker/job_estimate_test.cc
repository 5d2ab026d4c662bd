#include "server/worker/job_estimate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/file.h"
#include "tests/server/worker/small_models.h"
#include "tests/support/temp_dir.h"

namespace retort::worker {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

// 64-bit numbers are texts in Protobuf's JSON.
int64_t Whole(const json& estimate, const char* field) {
  return std::stoll(estimate.value(field, "0"));
}

class JobEstimateTest : public ::testing::Test {
 protected:
  json Estimate(const json& spec, bool measure = false) {
    return EstimateJob(
        json{{"spec", spec}, {"measure", measure}, {"models", models_}}.dump());
  }
  void AddTeacher(const std::string& name) {
    WriteSmallModel(dir_ / name, "teacher", /*resolution=*/32);
    models_[name] = dir_ / name;
  }

  testing::TempDir dir_;
  json models_ = json::object();
};

json TeacherSpec(const std::string& preset, const json& data) {
  return {{"train_teacher",
           {{"data", data},
            {"network", {{"preset", preset}}},
            {"training", {{"batch_size", 8}, {"iterations", 10}}}}}};
}

TEST_F(JobEstimateTest, KnowsTheSizesOfPresetsWhoseDataAreNotHere) {
  const json answer =
      Estimate(TeacherSpec("adm-imagenet64", {{"dataset", "DATASET_IMAGES"},
                                              {"path", "/no/such.zip"},
                                              {"resolution", 64}}));
  ASSERT_TRUE(answer["ok"]) << answer;
  const json& estimate = answer["estimate"];
  EXPECT_EQ(Whole(estimate, "parameters"), 295899267);
  EXPECT_EQ(Whole(estimate, "checkpoint_bytes"), 4 * 4 * 295899267ll);
  EXPECT_EQ(Whole(estimate, "images_per_process"), 8);
  EXPECT_GT(Whole(estimate, "bytes_per_process"), 5 * 4 * 295899267ll);
  EXPECT_FALSE(estimate.contains("seconds_per_step"));
}

TEST_F(JobEstimateTest, AStudentIsAsLargeAsItsTeacherAndItsSecondTime) {
  AddTeacher("t");
  json spec = {{"distill",
                {{"teacher", "t"},
                 {"method", "METHOD_CM"},
                 {"training", {{"batch_size", 4}, {"iterations", 5}}}}}};
  const int64_t cm = Whole(Estimate(spec)["estimate"], "parameters");
  EXPECT_EQ(cm,
            nn::CreateDenoiser(SmallNetwork(32, false), 0)->NumParameters());
  spec["distill"]["method"] = "METHOD_CTM";
  EXPECT_EQ(Whole(Estimate(spec)["estimate"], "parameters"),
            nn::CreateDenoiser(SmallNetwork(32, true), 0)->NumParameters());
}

TEST_F(JobEstimateTest, CountsTheAugmentationsLabel) {
  json spec = TeacherSpec("", {{"resolution", 16}});
  spec["train_teacher"]["network"] = {{"model_channels", 4},
                                      {"channel_mult", {1}}};
  const int64_t without = Whole(Estimate(spec)["estimate"], "parameters");
  spec["train_teacher"]["augment_probability"] = 0.1;
  // Nine numbers to each of the noise embedding's.
  EXPECT_EQ(Whole(Estimate(spec)["estimate"], "parameters"), without + 9 * 4);
}

TEST_F(JobEstimateTest, CountsADiscriminatorAndMeasuresAStepThatItHasASayIn) {
  AddTeacher("t");
  json spec = {{"distill",
                {{"teacher", "t"},
                 {"method", "METHOD_CM"},
                 {"training", {{"batch_size", 4}, {"iterations", 5}}}}}};
  const json without = Estimate(spec)["estimate"];
  spec["distill"]["gan"] = {
      {"weight", 1}, {"channels", 4}, {"start_step", 1000000}};
  const json answer = Estimate(spec, /*measure=*/true);
  ASSERT_TRUE(answer["ok"]) << answer;
  const json& with = answer["estimate"];
  EXPECT_EQ(Whole(with, "parameters"), Whole(without, "parameters"));
  EXPECT_GT(Whole(with, "bytes_per_process"),
            Whole(without, "bytes_per_process"));
  EXPECT_GT(Whole(with, "checkpoint_bytes"),
            Whole(without, "checkpoint_bytes"));
  EXPECT_GT(with["seconds_per_step"], 0);
}

TEST_F(JobEstimateTest, ConsistencyTrainingHasANetworkAndNoTeacher) {
  AddTeacher("t");
  const json task = {{"method", "METHOD_CT"},
                     {"dsm_weight", -1},
                     {"training", {{"batch_size", 4}, {"iterations", 5}}}};
  json alone = task, from_teacher = task, distilled = task;
  alone["network"] = {{"model_channels", 4}, {"channel_mult", {1}}};
  from_teacher["teacher"] = distilled["teacher"] = "t";
  distilled["method"] = "METHOD_CM";
  const json answer = Estimate({{"distill", alone}}, /*measure=*/true);
  ASSERT_TRUE(answer["ok"]) << answer;
  EXPECT_EQ(Whole(answer["estimate"], "parameters"),
            nn::CreateDenoiser(SmallNetwork(32, false), 0)->NumParameters());
  EXPECT_GT(answer["estimate"]["seconds_per_step"], 0);
  const auto bytes = [&](const json& distill) {
    return Whole(Estimate({{"distill", distill}})["estimate"],
                 "bytes_per_process");
  };
  EXPECT_EQ(bytes(from_teacher), bytes(alone));
  EXPECT_GT(bytes(distilled), bytes(from_teacher));
}

TEST_F(JobEstimateTest, LpipsTakesWhatItsBackboneTakes) {
  AddTeacher("t");
  const auto bytes = [&](const char* backbone, int resize) {
    io::ModelManifest manifest;
    manifest.kind = "perceptual";
    manifest.network = {{"type", backbone}};
    RETORT_CHECK_OK(io::WriteModelDir(dir_ / backbone, manifest,
                                      {{"features.0.bias", at::zeros(64)}})
                        .status());
    models_["b"] = dir_ / backbone;
    const json answer =
        Estimate({{"distill",
                   {{"teacher", "t"},
                    {"method", "METHOD_CM"},
                    {"distance", "DISTANCE_LPIPS"},
                    {"lpips", {{"backbone", "b"}, {"resize", resize}}},
                    {"training", {{"batch_size", 4}, {"iterations", 5}}}}}});
    EXPECT_TRUE(answer["ok"]) << answer;
    return Whole(answer["estimate"], "bytes_per_process");
  };
  const int64_t as_they_are = bytes("vgg16", -1);
  EXPECT_EQ(bytes("vgg16", 32), as_they_are);
  EXPECT_EQ(bytes("vgg16", 0), bytes("vgg16", 224));
  // 4 images of which 8 x 13,547,520 bytes are kept at 224.
  EXPECT_GT(bytes("vgg16", 0) - as_they_are, int64_t{400} << 20);
  EXPECT_LT(bytes("squeezenet1_1", 0), bytes("vgg16", 0) - (200 << 20));
}

TEST_F(JobEstimateTest, MeasuresOneStepAndWritesNothing) {
  AddTeacher("t");
  const json answer =
      Estimate({{"distill",
                 {{"teacher", "t"},
                  {"method", "METHOD_CTM"},
                  {"max_ode_steps", 3},
                  {"training", {{"batch_size", 64}, {"iterations", 50}}}}}},
               /*measure=*/true);
  ASSERT_TRUE(answer["ok"]) << answer;
  const json& estimate = answer["estimate"];
  const double step = estimate["seconds_per_step"];
  EXPECT_GT(step, 0);
  EXPECT_NEAR(estimate["seconds"], 50 * step, 1e-9 * step * 50);
  EXPECT_THAT(estimate["measured"].get<std::string>(),
              AllOf(HasSubstr("a step of 16 images"), HasSubstr("1 thread in"),
                    HasSubstr("float32"), HasSubstr("times 4 for 64 images")));
  EXPECT_GT(answer["peak_bytes"], 50 << 20);
  EXPECT_EQ(base::ListDir(dir_.path())->size(), 1);  // the teacher
}

TEST_F(JobEstimateTest, MeasuresATeacherWithoutItsData) {
  json spec = TeacherSpec("", {{"dataset", "DATASET_IMAGES"},
                               {"path", "/no/such.zip"},
                               {"resolution", 16}});
  spec["train_teacher"]["network"] = {{"model_channels", 4},
                                      {"channel_mult", {1}}};
  const json answer = Estimate(spec, /*measure=*/true);
  ASSERT_TRUE(answer["ok"]) << answer;
  EXPECT_GT(answer["estimate"]["seconds_per_step"], 0);
}

TEST_F(JobEstimateTest, OtherTasksHaveSizesButNoStep) {
  AddTeacher("t");
  const json spec = {
      {"estimate_preconditioning", {{"teacher", "t"}, {"batch_size", 256}}}};
  const json answer = Estimate(spec);
  ASSERT_TRUE(answer["ok"]) << answer;
  EXPECT_EQ(Whole(answer["estimate"], "images_per_process"), 256);
  EXPECT_EQ(Whole(answer["estimate"], "checkpoint_bytes"), 0);
  EXPECT_THAT(Estimate(spec, true)["error"].get<std::string>(),
              HasSubstr("measure is for train_teacher and distill"));
}

TEST_F(JobEstimateTest, SaysWhatIsWrongWithARequest) {
  EXPECT_FALSE(EstimateJob("")["ok"]);
  EXPECT_FALSE(EstimateJob("[1]")["ok"]);
  EXPECT_FALSE(EstimateJob(R"({"spec": {"no_task": {}}})")["ok"]);
  EXPECT_FALSE(EstimateJob(R"({"spec": {}, "measure": "yes"})")["ok"]);
  EXPECT_THAT(Estimate({{"distill", {{"teacher", "gone"}}}})["error"]
                  .get<std::string>(),
              HasSubstr("no folder for model 'gone'"));
}

}  // namespace
}  // namespace retort::worker
