// Files that are not what they should be: weights and data sets.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/strings/str_cat.h"
#include "tests/support/service_process.h"
#include "tests/support/small_fashion_mnist.h"
#include "tests/support/tiny_specs.h"

namespace retort::testing {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
namespace fs = std::filesystem;

constexpr char kSendAgain[] = "write it again and send it again";
constexpr char kFetchAgain[] = "fetch the file (or its package) again";

class FileErrorsTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    service_ = new ServiceProcess();
    WriteSmallFashionMnist(service_->dir() / "fashion", 64, 64);
    service_->Start();
    service_->Submit("model", TinyTeacher(service_->dir() / "fashion", 2));
    ASSERT_EQ(service_->AwaitEnd("model"), "SUCCEEDED");
  }
  static void TearDownTestSuite() {
    delete service_;
    service_ = nullptr;
  }

  static std::string Weights() {
    return service_->model_dir("model") + "/weights.safetensors";
  }
  static json Manifest() {
    return json::parse(Slurp(service_->model_dir("model") + "/manifest.json"));
  }
  static std::string Write(const std::string& name, const std::string& bytes) {
    const std::string path = service_->dir() / name;
    std::ofstream(path, std::ios::binary) << bytes;
    return path;
  }

  // The message with which an import is refused; it must leave nothing.
  static std::string ImportRefusal(const std::string& weights,
                                   const json& manifest) {
    const json error = service_->Error(
        4,
        {"models", "import", weights, "--format", "safetensors", "--manifest",
         Write("manifest.json", manifest.dump()), "--id", "refused"});
    EXPECT_EQ(error["reason"], "FILE_INVALID") << error;
    EXPECT_FALSE(fs::exists(service_->model_dir("refused")));
    service_->Error(3, {"models", "get", "refused"});
    return error["message"];
  }

  // Copies the data, or links the packaged one.
  static std::string DataCopy(const std::string& name) {
    const std::string to = service_->dir() / name;
    fs::copy(service_->dir() / "fashion", to);
    return to;
  }

  // The reason for which a job on such data fails.
  static std::string FailureOn(const std::string& id, const std::string& data) {
    service_->Submit(id, TinyTeacher(data, 2));
    EXPECT_EQ(service_->AwaitEnd(id), "FAILED");
    EXPECT_EQ(service_->Job(id)["attempts"], 1) << "another try is no use";
    return service_->Job(id)["state_reason"];
  }

  static ServiceProcess* service_;
};

ServiceProcess* FileErrorsTest::service_ = nullptr;

TEST_F(FileErrorsTest, WeightsOfAnotherShapeAreRefusedWithBothShapes) {
  json manifest = Manifest();
  manifest["network"]["model_channels"] = 16;
  EXPECT_THAT(
      ImportRefusal(Weights(), manifest),
      AllOf(ContainsRegex("tensor model\\.[a-z0-9_.]+ has shape \\[.*8.*\\] "
                          "but the network needs \\[.*16.*\\]"),
            HasSubstr("is this the right network configuration?")));
}

TEST_F(FileErrorsTest, WeightsOfAnotherNetworkNameTheTensor) {
  json manifest = Manifest();
  manifest["network"]["num_blocks"] = 2;
  EXPECT_THAT(
      ImportRefusal(Weights(), manifest),
      AllOf(HasSubstr("model.dec.16x16_block2"), HasSubstr("is missing"),
            HasSubstr("is this the right network configuration?")));
}

TEST_F(FileErrorsTest, TruncatedWeightsAreRefused) {
  const std::string whole = Slurp(Weights());
  const json manifest = Manifest();
  EXPECT_THAT(
      ImportRefusal(Write("cut", whole.substr(0, whole.size() / 2)), manifest),
      AllOf(ContainsRegex("its header describes [0-9]+ bytes of data, but the "
                          "file has [0-9]+"),
            HasSubstr(kSendAgain)));
  EXPECT_THAT(ImportRefusal(Write("start", whole.substr(0, 6)), manifest),
              AllOf(HasSubstr("it has 6 bytes, too few for a header"),
                    HasSubstr(kSendAgain)));
}

TEST_F(FileErrorsTest, WeightsThatAreNotThoseOfTheManifestAreRefused) {
  std::string bytes = Slurp(Weights());
  bytes[bytes.size() - 3] ^= 0x40;
  const json manifest = Manifest();
  EXPECT_THAT(ImportRefusal(Write("flipped-weights", bytes), manifest),
              AllOf(HasSubstr("of weights with SHA-256 " +
                              manifest["weights_sha256"].get<std::string>()),
                    HasSubstr("but the file that was sent has"),
                    HasSubstr("send the file and the manifest.json that belong "
                              "together")));
}

TEST_F(FileErrorsTest, FileOfAnotherFormatIsRefused) {
  EXPECT_THAT(
      ImportRefusal(Write("text", std::string(1000, 'x')), Manifest()),
      AllOf(HasSubstr("no usable safetensors file"),
            ContainsRegex("announce a header of [0-9]+ bytes in a file of "
                          "1000"),
            HasSubstr(kSendAgain)));
}

TEST_F(FileErrorsTest, FlippedBitInAnImageFileIsNamed) {
  const std::string data = service_->dir() / "flipped";
  fs::create_directory(data);
  for (const auto& entry : fs::directory_iterator(kFashionMnist)) {
    fs::copy(entry.path(), data + "/" + entry.path().filename().string());
  }
  const std::string path = data + "/train-images-idx3-ubyte.gz";
  {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(1000000);
    file.write("\xff\xff\xff\xff", 4);
  }
  EXPECT_THAT(FailureOn("flipped", data),
              AllOf(HasSubstr(path + " is damaged"),
                    ContainsRegex("is damaged: .* (byte|offset) [0-9]+"),
                    HasSubstr(kFetchAgain)));
}

TEST_F(FileErrorsTest, TruncatedImageFileIsNamedWithTheOffset) {
  const std::string data = DataCopy("truncated");
  const std::string path = data + "/train-images-idx3-ubyte";
  fs::resize_file(path, 1016);
  EXPECT_THAT(FailureOn("truncated", data),
              AllOf(HasSubstr(path + " is damaged"),
                    HasSubstr("it ends at offset 1016, expected 50192 bytes"),
                    HasSubstr(kFetchAgain)));
}

TEST_F(FileErrorsTest, FileThatIsNoIdxFileIsNamed) {
  const std::string data = DataCopy("noidx");
  const std::string path = data + "/train-labels-idx1-ubyte";
  std::ofstream(path) << "these are no labels at all";
  EXPECT_THAT(
      FailureOn("noidx", data),
      AllOf(HasSubstr(path + " is damaged"),
            HasSubstr("at offset 0, expected the IDX magic 0x00000801, found"),
            HasSubstr(kFetchAgain)));
}

TEST_F(FileErrorsTest, MissingDataSaysWhereToGetIt) {
  EXPECT_THAT(
      FailureOn("missing", "/nowhere/fashion"),
      AllOf(HasSubstr("no train-images-idx3-ubyte.gz in /nowhere/fashion"),
            HasSubstr("apt-get install dataset-fashion-mnist")));
}

}  // namespace
}  // namespace retort::testing
