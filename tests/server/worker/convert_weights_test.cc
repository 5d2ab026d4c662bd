#include "server/worker/convert_weights.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>

#include "core/base/file.h"
#include "core/io/import_weights.h"
#include "core/io/model_file.h"
#include "core/io/safetensors.h"
#include "core/nn/denoiser.h"
#include "core/nn/network_config.h"
#include "tests/support/edm_pickle.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace retort::worker {
namespace {

using nlohmann::json;
using testing::EdmSnapshot;
using ::testing::HasSubstr;
using testing::IsOk;
using ::testing::Not;
using testing::ParseSafetensors;
using testing::PickleBuilder;

// A network of NVlabs/edm, with inputs and outputs of its own code.
constexpr char kGolden[] =
    RETORT_SOURCE_DIR "/tests/golden/edm_net_ddpmpp_uncond_aug/";

std::string ReadGolden(const std::string& name) {
  return *base::ReadFile(kGolden + name, 4 << 20);
}

json GoldenArguments() {
  json config = json::parse(ReadGolden("case.json"))["config"];
  for (const char* name :
       {"cls", "mode", "enc_order", "dec_order", "grad_params", "grad_uses"}) {
    config.erase(name);
  }
  return config;
}

class ConvertWeightsTest : public ::testing::Test {
 protected:
  std::string Write(const std::string& bytes) {
    const std::string path = dir_ / "upload";
    RETORT_CHECK_OK(base::AtomicWriteFile(path, bytes));
    return path;
  }
  json Import(const std::string& bytes) {
    return ImportWeightsFile(Write(bytes), dir_ / "weights.safetensors");
  }
  testing::TempDir dir_;
};

TEST_F(ConvertWeightsTest, ASnapshotsNetworkDenoisesAsEdmsOwnCodeDoes) {
  const json answer = Import(EdmSnapshot(
      GoldenArguments(), ParseSafetensors(ReadGolden("weights.safetensors"))));
  ASSERT_TRUE(answer["ok"].get<bool>()) << answer;
  EXPECT_EQ(answer["form"], "edm-snapshot");
  RETORT_ASSERT_OK_AND_ASSIGN(const nn::NetworkConfig config,
                              nn::NetworkConfig::FromJson(answer["network"]));
  const auto network = nn::CreateDenoiser(config, std::nullopt);
  RETORT_ASSERT_OK_AND_ASSIGN(
      const io::SafetensorsFile weights,
      io::ReadSafetensors(dir_ / "weights.safetensors"));
  ASSERT_THAT(network->LoadStateDict(weights.tensors), IsOk());
  network->eval();
  RETORT_ASSERT_OK_AND_ASSIGN(
      const io::SafetensorsFile golden,
      io::ReadSafetensors(kGolden + std::string("io.safetensors")));
  const torch::NoGradGuard no_grad;
  const at::Tensor denoised = network->Denoise(
      golden.tensors.at("x"), golden.tensors.at("sigma").to(at::kDouble),
      at::Tensor(), at::Tensor());
  EXPECT_TRUE(at::allclose(denoised.to(at::kDouble), golden.tensors.at("D_f64"),
                           /*rtol=*/1e-4, /*atol=*/2e-5));
}

TEST_F(ConvertWeightsTest, ARefusedFileLeavesNothingAndNamesNoPathOfOurs) {
  const json answer =
      Import(PickleBuilder().Global("os", "system").Op('.').Build());
  EXPECT_FALSE(answer["ok"].get<bool>());
  EXPECT_EQ(answer["code"], "INVALID_ARGUMENT");
  EXPECT_THAT(answer["error"].get<std::string>(), HasSubstr("os.system"));
  EXPECT_THAT(answer["error"].get<std::string>(), Not(HasSubstr(dir_.path())));
  EXPECT_FALSE(base::FileExists(dir_ / "weights.safetensors"));
}

TEST_F(ConvertWeightsTest, AnExportHasTheNetworksTensorsAlone) {
  io::ModelManifest manifest;
  manifest.kind = "ctm";
  const io::TensorMap tensors = {
      {"model.w", at::tensor({1.f, 2.f})},
      {std::string(io::kPreconditioningPrefix) + "spectral.u", at::ones({2})}};
  ASSERT_THAT(io::WriteModelDir(dir_ / "m", manifest, tensors), IsOk());
  const json answer = ExportWeightsFile(dir_ / "m", dir_ / "out.pt");
  ASSERT_TRUE(answer["ok"].get<bool>()) << answer;
  RETORT_ASSERT_OK_AND_ASSIGN(const io::ImportedWeights imported,
                              io::ImportWeights(dir_ / "out.pt"));
  ASSERT_EQ(imported.tensors.size(), 1);
  EXPECT_TRUE(
      at::equal(imported.tensors.at("model.w"), at::tensor({1.f, 2.f})));
}

TEST_F(ConvertWeightsTest, AModelThatIsDamagedIsNotExported) {
  io::ModelManifest manifest;
  manifest.kind = "teacher";
  ASSERT_THAT(io::WriteModelDir(dir_ / "m", manifest,
                                {{"model.w", at::tensor({1.f, 2.f})}}),
              IsOk());
  const std::string path = dir_ / "m/weights.safetensors";
  std::string bytes = *base::ReadFile(path, 10000);
  bytes.back() ^= 1;
  RETORT_CHECK_OK(base::AtomicWriteFile(path, bytes));
  const json answer = ExportWeightsFile(dir_ / "m", dir_ / "out.pt");
  EXPECT_FALSE(answer["ok"].get<bool>());
  EXPECT_EQ(answer["code"], "DATA_LOSS");
}

}  // namespace
}  // namespace retort::worker
