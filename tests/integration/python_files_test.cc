// Files of Python's, in and out through the real programs. What Python would
// have written is assembled here (tests/support/edm_pickle.h); that the same
// readers take what Python did write is the parity cases' business.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/support/edm_pickle.h"
#include "tests/support/service_process.h"
#include "tests/support/small_fashion_mnist.h"
#include "tests/support/tiny_specs.h"

namespace retort::testing {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
namespace fs = std::filesystem;

// Written by block_means.py beside it; the code in it is compressed, as
// torch.jit.save does.
constexpr char kScript[] =
    RETORT_SOURCE_DIR "/tests/integration/block_means.torchscript.pt";
// What the hostile files of the collection would leave if they were run.
constexpr char kPwned[] = "/tmp/pwned";
// LibTorch itself takes some 300 MB.
constexpr int64_t kMaxWorkerKib = 1 << 20;

std::vector<std::string> CollectedBadFiles() {
  std::vector<std::string> files;
  const fs::path dir = fs::path(RETORT_PARITY_DIR) / "edm_pickle_bad";
  if (!fs::is_directory(dir)) return files;
  for (const auto& entry : fs::directory_iterator(dir)) {
    const std::string ending = entry.path().extension();
    if (ending == ".pkl" || ending == ".pt") files.push_back(entry.path());
  }
  return files;
}

// The worker alone, on the files that ask for memory. First of all tests: later
// the largest child of this program is one that trained.
TEST(PythonFileMemoryTest, NoFileTakesMoreThanItsWorker) {
  const TempDir dir;
  int tried = 0;
  for (const std::string& path : CollectedBadFiles()) {
    const std::string name = fs::path(path).filename();
    const bool asks =
        name.rfind("huge", 0) == 0 || name.rfind("memo", 0) == 0 ||
        name.rfind("deep", 0) == 0 || name.rfind("tensor_huge", 0) == 0;
    if (!asks) continue;
    const ProcessResult result =
        RunProgram({absl::StrCat(RETORT_BIN_DIR, "/retort-worker"),
                    "--import-weights", path, "--out", dir / "out"},
                   dir.path(), ServiceProcess::kPatience);
    EXPECT_EQ(result.code, 1) << path << "\n" << result.err;
    EXPECT_FALSE(json::parse(result.out)["ok"].get<bool>()) << path;
    ++tried;
  }
  if (tried == 0) GTEST_SKIP() << "no collection in " RETORT_PARITY_DIR;
  rusage usage;
  ASSERT_EQ(getrusage(RUSAGE_CHILDREN, &usage), 0);
  EXPECT_LT(usage.ru_maxrss, kMaxWorkerKib);
}

// One service for all; tests run in the order of the file.
class PythonFilesTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    service_ = new ServiceProcess();
    WriteSmallFashionMnist(Data(), 64, 64);
    service_->Start();
    Run("teacher", TinyTeacher(Data(), 3));
  }
  static void TearDownTestSuite() {
    delete service_;
    service_ = nullptr;
  }

  static std::string Data() { return service_->dir() / "fashion"; }

  static void Run(const std::string& id, const json& spec) {
    service_->Submit(id, spec);
    ASSERT_EQ(service_->AwaitEnd(id), "SUCCEEDED")
        << service_->Job(id)["state_reason"] << "\n"
        << Slurp(service_->job_dir(id) + "/worker.log");
  }
  static json Model(const std::string& id) {
    return service_->Json({"models", "get", id});
  }
  static std::string Write(const std::string& name, const std::string& bytes) {
    const std::string path = service_->dir() / name;
    std::ofstream(path, std::ios::binary) << bytes;
    return path;
  }
  // The trained teacher as EDM would have written it, under `key`.
  static std::string Snapshot(const std::string& key) {
    const std::string dir = service_->model_dir("teacher");
    json network = json::parse(Slurp(dir + "/manifest.json"))["network"];
    network["use_fp16"] = false;  // EDM's own, which is of no interest here
    return EdmSnapshot(
        network, ParseSafetensors(Slurp(dir + "/weights.safetensors")), key);
  }
  // The error of an import, which must leave nothing.
  static json Refusal(const std::string& path, const std::string& format) {
    const json error = service_->Error(
        4, {"models", "import", path, "--format", format, "--id", "refused"});
    EXPECT_FALSE(fs::exists(service_->model_dir("refused"))) << path;
    EXPECT_TRUE(fs::is_empty(service_->data_dir() + "/incoming")) << path;
    EXPECT_FALSE(fs::exists(kPwned)) << path;
    return error;
  }
  static std::vector<std::string> Sample(const std::string& deployment) {
    const std::string out = service_->dir() / ("of-" + deployment);
    const ProcessResult result =
        service_->Cli({"sample", deployment, "-n", "2", "--seed", "5",
                       "--steps", "3", "--out-dir", out});
    EXPECT_EQ(result.code, 0) << result.err;
    return {Slurp(out + "/000000.png"), Slurp(out + "/000001.png")};
  }

  static ServiceProcess* service_;
};

ServiceProcess* PythonFilesTest::service_ = nullptr;

TEST_F(PythonFilesTest, ASnapshotsTeacherIsTheOneThatWasSaved) {
  // Nothing but the file is given: kind and network are in it.
  const json model = service_->Json(
      {"models", "import", Write("network-snapshot.pkl", Snapshot("ema")),
       "--id", "edm-teacher"});
  const json teacher = Model("teacher");
  EXPECT_EQ(model["kind"], "KIND_TEACHER");
  for (const char* field : {"weights_sha256", "parameters", "bytes"}) {
    EXPECT_EQ(model[field], teacher[field]) << field;
  }
  EXPECT_EQ(model["manifest"]["lineage"]["source"], "import");
  EXPECT_EQ(model["files"], json({"manifest.json", "weights.safetensors"}));
}

TEST_F(PythonFilesTest, ATrainingStatesNetworkIsATeacherToo) {
  const json model = service_->Json(
      {"models", "import", Write("training-state.pt", Snapshot("net")),
       "--format", "pytorch-zip", "--id", "edm-state"});
  EXPECT_EQ(model["weights_sha256"], Model("teacher")["weights_sha256"]);
}

TEST_F(PythonFilesTest, AnImportedTeacherDoesWhatATrainedOneDoes) {
  Run("tables", {{"estimate_preconditioning",
                  {{"teacher", "edm-teacher"},
                   {"data", {{"path", Data()}}},
                   {"knots", 6},
                   {"samples_per_knot", 8},
                   {"batch_size", 8},
                   {"trajectories", 8},
                   {"grid_size", 4}}},
                 {"resources", {{"cpu_threads", 1}}}});
  Run("student", {{"distill",
                   {{"teacher", "edm-teacher"},
                    {"method", "ctm"},
                    {"data", {{"path", Data()}}},
                    {"preconditioning", "fitted-state"},
                    {"preconditioning_artifact", "tables"},
                    {"grid_size", 4},
                    {"training", {{"iterations", 2}, {"batch_size", 2}}}}},
                  {"resources", {{"cpu_threads", 1}}}});
  EXPECT_EQ(Model("student")["manifest"]["lineage"]["teacher_hash"],
            Model("teacher")["weights_sha256"]);
  for (const char* name : {"teacher", "edm-teacher"}) {
    service_->Json({"deployments", "create", name, "--model", name, "--threads",
                    "1", "--wait"});
  }
  EXPECT_EQ(Sample("edm-teacher"), Sample("teacher"));
  for (const char* name : {"teacher", "edm-teacher"}) {
    EXPECT_EQ(service_->Cli({"deployments", "delete", name}).code, 0);
  }
}

TEST_F(PythonFilesTest, WhatIsExportedForPyTorchComesBackTheSame) {
  const std::string out = service_->dir() / "student.pt";
  const ProcessResult exported = service_->Cli(
      {"models", "export", "student", "--format", "pytorch", "--out", out});
  ASSERT_EQ(exported.code, 0) << exported.err;
  EXPECT_TRUE(fs::is_empty(service_->data_dir() + "/incoming"));
  const json first = Model("student");
  const std::string manifest =
      service_->model_dir("student") + "/manifest.json";
  const json with_manifest = service_->Json(
      {"models", "import", out, "--manifest", manifest, "--id", "again"});
  EXPECT_EQ(with_manifest["weights_sha256"], first["weights_sha256"]);
  EXPECT_EQ(with_manifest["preconditioning"], first["preconditioning"]);
  const std::string network =
      Write("network.json", first["manifest"]["network"].dump());
  const json with_network =
      service_->Json({"models", "import", out, "--kind", "ctm", "--network",
                      network, "--id", "as-ctm"});
  EXPECT_EQ(with_network["weights_sha256"], first["weights_sha256"]);
  // Tensors alone do not say what they are of.
  EXPECT_THAT(Refusal(out, "pytorch-zip")["message"].get<std::string>(),
              HasSubstr("header.kind"));
}

TEST_F(PythonFilesTest, ATorchScriptModuleEvaluates) {
  const json model =
      service_->Json({"models", "import", kScript, "--id", "means"});
  EXPECT_EQ(model["kind"], "KIND_FEATURE_EXTRACTOR");
  EXPECT_EQ(model["parameters"], "1");
  EXPECT_EQ(model["files"], json({"manifest.json", "model.torchscript.pt"}));
  Run("evaluation", {{"evaluate",
                      {{"model", "student"},
                       {"feature_extractor", "means"},
                       {"data", {{"path", Data()}}},
                       {"samples", 32},
                       {"batch_size", 16},
                       {"steps", {1}}}},
                     {"resources", {{"cpu_threads", 1}}}});
  const json result = service_->Job("evaluation")["results"][0];
  EXPECT_EQ(result["metric"], "FD-means");
  EXPECT_TRUE(std::isfinite(result["value"].get<double>()));
  // It comes out as it went in, and is nothing that could be converted.
  const std::string out = service_->dir() / "means.pt";
  EXPECT_EQ(service_->Cli({"models", "export", "means", "--out", out}).code, 0);
  EXPECT_EQ(Slurp(out), Slurp(kScript));
  EXPECT_THAT(service_
                  ->Error(4, {"models", "export", "means", "--format",
                              "pytorch"})["message"]
                  .get<std::string>(),
              HasSubstr("TorchScript"));
}

TEST_F(PythonFilesTest, HostileFilesAreRefusedAndSayWhy) {
  const std::string call = PickleBuilder(4)
                               .Global("posix", "system")
                               .Op('(')
                               .Text(absl::StrCat("touch ", kPwned))
                               .Raw("tR")
                               .Build();
  json error = Refusal(Write("call.pkl", call), "edm-pickle");
  EXPECT_EQ(error["reason"], "FILE_INVALID");
  EXPECT_THAT(error["message"].get<std::string>(),
              AllOf(HasSubstr("asks for posix.system"),
                    HasSubstr("nothing of it was run"),
                    Not(HasSubstr(service_->data_dir()))));
  const std::string snapshot = Snapshot("ema");
  error = Refusal(Write("cut.pkl", snapshot.substr(0, snapshot.size() / 2)),
                  "edm-pickle");
  EXPECT_THAT(error["message"].get<std::string>(), HasSubstr("cut off"));
  error = Refusal(kScript, "pytorch-zip");
  EXPECT_THAT(error["message"].get<std::string>(),
              HasSubstr("is a TorchScript module"));
  error = Refusal(Write("no.pt", std::string(1000, 'x')), "torchscript");
  EXPECT_EQ(error["reason"], "FILE_INVALID");
  // A good snapshot of a network that is none.
  json network{
      {"img_resolution", 32}, {"img_channels", 1}, {"model_channels", -5}};
  error =
      Refusal(Write("odd.pkl", EdmSnapshot(network, {{"w", {{1}, "1234"}}})),
              "edm-pickle");
  EXPECT_EQ(error["reason"], "FILE_INVALID");
}

TEST_F(PythonFilesTest, AModelThatIsDamagedIsNotExported) {
  const std::string path =
      service_->model_dir("as-ctm") + "/weights.safetensors";
  std::string bytes = Slurp(path);
  bytes.back() ^= 0x40;
  std::ofstream(path, std::ios::binary) << bytes;
  const std::string out = service_->dir() / "damaged";
  for (const char* format : {"pytorch", "safetensors"}) {
    const json error = service_->Error(
        6, {"models", "export", "as-ctm", "--out", out, "--format", format});
    EXPECT_EQ(error["code"], "DATA_LOSS") << format;
    EXPECT_THAT(error["message"].get<std::string>(), HasSubstr("is damaged"));
    EXPECT_FALSE(fs::exists(out)) << format;
  }
}

TEST_F(PythonFilesTest, EveryBadFileOfTheCollectionIsRefused) {
  const std::vector<std::string> files = CollectedBadFiles();
  if (files.empty()) GTEST_SKIP() << "no collection in " RETORT_PARITY_DIR;
  for (const std::string& path : files) {
    const bool pickle = fs::path(path).extension() == ".pkl";
    const json error = Refusal(path, pickle ? "edm-pickle" : "pytorch-zip");
    EXPECT_EQ(error["code"], "INVALID_ARGUMENT") << path;
    EXPECT_EQ(error["reason"],
              fs::file_size(path) == 0 ? "INVALID_ARGUMENT" : "FILE_INVALID")
        << path;
    EXPECT_GT(error["message"].get<std::string>().size(), 20) << path;
  }
  EXPECT_FALSE(fs::exists("/tmp/pwned2"));
}

}  // namespace
}  // namespace retort::testing
