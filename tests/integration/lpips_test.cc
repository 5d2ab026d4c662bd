// LPIPS through the real programs, on a classifier with made-up weights.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/nn/backbone.h"
#include "tests/support/model_files.h"
#include "tests/support/service_process.h"
#include "tests/support/small_fashion_mnist.h"
#include "tests/support/tiny_specs.h"

namespace retort::testing {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr char kNet[] = "squeezenet1_1";

// A safetensors file of these tensors, with small numbers of either sign.
std::string MadeUpFile(const nn::TensorShapes& shapes, bool positive) {
  json header;
  std::string data;
  uint32_t state = 1;
  for (const auto& [name, shape] : shapes) {
    const size_t begin = data.size();
    int64_t elements = 1;
    for (const int64_t side : shape) elements *= side;
    for (int64_t i = 0; i < elements; ++i) {
      state = state * 1664525 + 1013904223;
      const float value =
          static_cast<float>(state >> 8) / (1 << 24) - (positive ? 0 : 0.5f);
      char bytes[sizeof(float)];
      std::memcpy(bytes, &value, sizeof(value));
      data.append(bytes, sizeof(bytes));
    }
    header[name] = {{"dtype", "F32"},
                    {"shape", shape},
                    {"data_offsets", {begin, data.size()}}};
  }
  return SafetensorsBytes(header.dump(), data);
}

class LpipsServiceTest : public ::testing::Test {
 protected:
  void SetUp() override {
    WriteSmallFashionMnist(Data());
    service_.Start();
    service_.Submit("teacher", TinyTeacher(Data(), 2));
    ASSERT_EQ(service_.AwaitEnd("teacher"), "SUCCEEDED");
  }

  std::string Data() { return service_.dir() / "fashion"; }

  void Import(const std::string& id, const std::string& bytes) {
    const std::string path = service_.dir() / (id + ".safetensors");
    std::ofstream(path, std::ios::binary) << bytes;
    service_.Json(
        {"models", "import", path, "--kind", "perceptual", "--id", id});
  }
  void ImportWeights() {
    const nn::Backbone net = *nn::NamedBackbone(kNet);
    Import("squeezenet", MadeUpFile(nn::BackboneShapes(net), false));
    Import("heads", MadeUpFile(nn::HeadShapes(net), true));
  }

  // A preset with what it cannot know; `more` are further options.
  std::vector<std::string> Preset(const std::vector<std::string>& more) {
    std::vector<std::string> arguments = {
        "jobs", "submit", "--preset", "cifar10-cond-ctm", "--validate-only"};
    for (const std::string& setting :
         std::vector<std::string>{"teacher=teacher", "data.path=" + Data(),
                                  "data.dataset=fashion_mnist"}) {
      arguments.push_back("--set");
      arguments.push_back("spec.distill." + setting);
    }
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  }

  ServiceProcess service_;
};

TEST_F(LpipsServiceTest, TrainsAStudentAndKeepsItsModelsMeanwhile) {
  ImportWeights();
  const json model = service_.Json({"models", "get", "heads"});
  EXPECT_EQ(model["manifest"]["network"]["backbone"], kNet);
  const json spec = {
      {"distill",
       {{"teacher", "teacher"},
        {"method", "METHOD_CM"},
        {"data", {{"path", Data()}}},
        {"distance", "DISTANCE_LPIPS"},
        {"lpips",
         {{"backbone", "squeezenet"}, {"heads", "heads"}, {"resize", 32}}},
        {"training", {{"batch_size", 2}, {"iterations", 100000}}}}},
      {"resources", {{"cpu_threads", 1}}}};
  service_.Submit("long", spec);
  ASSERT_TRUE(service_.AwaitStep("long", 1)) << service_.Job("long");
  EXPECT_NE(service_.Cli({"models", "delete", "squeezenet"}).code, 0);
  EXPECT_NE(service_.Cli({"models", "delete", "heads"}).code, 0);
  const json metrics = service_.Json({"jobs", "metrics", "long"});
  EXPECT_THAT(metrics.dump(), HasSubstr("loss"));
  EXPECT_EQ(service_.Cli({"jobs", "cancel", "long"}).code, 0);
  EXPECT_EQ(service_.AwaitEnd("long"), "CANCELLED");
  EXPECT_EQ(service_.Cli({"models", "delete", "heads"}).code, 0);
}

TEST_F(LpipsServiceTest, ThePapersPresetsAskForWeightsAndTakeThem) {
  const json error = service_.Error(4, Preset({}));
  EXPECT_THAT(error["message"].get<std::string>(),
              AllOf(HasSubstr("lpips.backbone"), HasSubstr("lpips.heads"),
                    HasSubstr("torchvision"), HasSubstr("models import")));
  EXPECT_EQ(
      service_.Cli(Preset({"--set", "spec.distill.distance=pseudo-huber"}))
          .code,
      0);
  ImportWeights();
  const json answer =
      service_.Json(Preset({"--set", "spec.distill.lpips.backbone=squeezenet",
                            "--set", "spec.distill.lpips.heads=heads"}));
  EXPECT_THAT(answer.dump(), HasSubstr("POOLING_MEAN"));
}

}  // namespace
}  // namespace retort::testing
