#include "server/registry/model_store.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/base/file.h"
#include "core/base/sha256.h"
#include "core/base/write_fault.h"
#include "server/base/error.h"
#include "server/registry/deployment_store.h"
#include "server/registry/model_manifest.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fake_weights_tool.h"
#include "tests/support/model_files.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace retort::registry {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::IsOk;
using testing::StatusIs;

constexpr char kName[] = "projects/default/models/m";

class ModelStoreTest : public ::testing::Test {
 protected:
  ModelStoreTest() {
    db_ = *db::Database::Open(data_dir_.db_path());
    Reopen();
  }

  void Reopen() {
    store_ = *ModelStore::Open(db_.get(), data_dir_, &clock_, &metrics_, &tool_,
                               options_);
  }

  v1::ImportModelHeader Header(const std::string& bytes) {
    v1::ImportModelHeader header;
    header.set_parent("projects/default");
    header.set_model_id("m");
    header.set_kind(v1::Model::KIND_TEACHER);
    *header.mutable_network() = *ToStruct(testing::SmallNetwork());
    header.set_size_bytes(static_cast<int64_t>(bytes.size()));
    return header;
  }

  absl::StatusOr<v1::Model> Import(const v1::ImportModelHeader& header,
                                   const std::string& bytes) {
    auto import = store_->BeginImport(header);
    if (!import.ok()) return import.status();
    const absl::Status appended = (*import)->Append(bytes);
    if (!appended.ok()) return appended;
    return store_->CommitImport(import->get());
  }

  std::vector<std::string> Incoming() {
    return *base::ListDir(data_dir_.incoming_dir());
  }
  std::vector<std::string> Folders() {
    return *base::ListDir(data_dir_.models_dir());
  }

  testing::TempDir dir_;
  testing::FakeClock clock_;
  metrics::ServiceMetrics metrics_;
  base::DataDir data_dir_{dir_.path()};
  ModelStoreOptions options_;
  testing::FakeWeightsTool tool_;
  std::unique_ptr<db::Database> db_;
  std::unique_ptr<ModelStore> store_;
};

TEST_F(ModelStoreTest, ImportedModelIsThereAfterARestart) {
  const std::string bytes = testing::SmallWeights();
  RETORT_ASSERT_OK_AND_ASSIGN(const v1::Model made,
                              Import(Header(bytes), bytes));
  Reopen();
  RETORT_ASSERT_OK_AND_ASSIGN(const v1::Model model, store_->Get(kName));
  // Maps have no order on the wire.
  EXPECT_EQ(model.DebugString(), made.DebugString());
  EXPECT_EQ(model.kind(), v1::Model::KIND_TEACHER);
  EXPECT_EQ(model.parameters(), 4);
  EXPECT_EQ(model.weights_sha256(), base::Sha256Hex(bytes));
  EXPECT_EQ(model.bytes(), static_cast<int64_t>(bytes.size()));
  RETORT_ASSERT_OK_AND_ASSIGN(const std::string path,
                              store_->FilePath(kName, ""));
  EXPECT_EQ(*base::ReadFile(path), bytes);
  EXPECT_THAT(Incoming(), IsEmpty());
}

// AlexNet's heads, whatever the sender calls them.
TEST_F(ModelStoreTest, PerceptualModelsAreTakenForWhatTheirTensorsAre) {
  nlohmann::json tensors;
  int64_t begin = 0;
  for (const int64_t channels : {64, 192, 384, 256, 256}) {
    const int64_t end = begin + 4 * channels;
    tensors["lin" + std::to_string(tensors.size()) + ".model.1.weight"] = {
        {"dtype", "F32"},
        {"shape", {1, channels, 1, 1}},
        {"data_offsets", {begin, end}}};
    begin = end;
  }
  const std::string bytes =
      testing::SafetensorsBytes(tensors.dump(), std::string(begin, 'w'));
  v1::ImportModelHeader header = Header(bytes);
  header.set_kind(v1::Model::KIND_PERCEPTUAL);
  *header.mutable_network() = *ToStruct({{"type", "vgg16"}});
  RETORT_ASSERT_OK_AND_ASSIGN(const v1::Model model, Import(header, bytes));
  RETORT_ASSERT_OK_AND_ASSIGN(const nlohmann::json manifest,
                              ToJson(model.manifest()));
  EXPECT_EQ(manifest["network"],
            (nlohmann::json{{"type", "lpips-heads"}, {"backbone", "alexnet"}}));
}

TEST_F(ModelStoreTest, UploadThatBreaksOffLeavesNothing) {
  const std::string bytes = testing::SmallWeights();
  RETORT_ASSERT_OK_AND_ASSIGN(auto import, store_->BeginImport(Header(bytes)));
  EXPECT_THAT(import->Append(bytes.substr(0, 10)), IsOk());
  EXPECT_EQ(Incoming().size(), 1u);
  import.reset();
  EXPECT_THAT(Incoming(), IsEmpty());
  EXPECT_THAT(Folders(), IsEmpty());
}

TEST_F(ModelStoreTest, UploadThatDiedWithTheServerIsSweptAtTheNextStart) {
  ASSERT_THAT(base::MakeDirs(data_dir_.incoming_dir() + "/import-x"), IsOk());
  Reopen();
  EXPECT_THAT(Incoming(), IsEmpty());
}

TEST_F(ModelStoreTest, RefusesMoreOrFewerBytesThanAnnounced) {
  const std::string bytes = testing::SmallWeights();
  v1::ImportModelHeader header = Header(bytes);
  header.set_size_bytes(header.size_bytes() + 1);
  const auto fewer = Import(header, bytes);
  EXPECT_THAT(fewer,
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("only")));
  EXPECT_EQ(service::ReasonOf(fewer.status()), v1::ERROR_REASON_FILE_INVALID);
  header.set_size_bytes(header.size_bytes() - 2);
  EXPECT_THAT(
      Import(header, bytes),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("at least")));
  EXPECT_THAT(Incoming(), IsEmpty());
}

TEST_F(ModelStoreTest, RefusesAFileThatIsNoSafetensors) {
  const std::string bytes = "PK\x03\x04 surely a zip file, by its magic bytes";
  const auto model = Import(Header(bytes), bytes);
  EXPECT_THAT(model, StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_EQ(service::ReasonOf(model.status()), v1::ERROR_REASON_FILE_INVALID);
  EXPECT_THAT(Incoming(), IsEmpty());
}

TEST_F(ModelStoreTest, WeightsThatDoNotFitTheNetworkAreNotRegistered) {
  tool_.Say(absl::InvalidArgumentError("weight has shape [2,2]"));
  const std::string bytes = testing::SmallWeights();
  EXPECT_THAT(
      Import(Header(bytes), bytes),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("shape [2,2]")));
  EXPECT_THAT(store_->Get(kName), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(Incoming(), IsEmpty());
  EXPECT_THAT(Folders(), IsEmpty());
}

TEST_F(ModelStoreTest, FullDiskIsSaidAndLeavesNothing) {
  const std::string bytes = testing::SmallWeights();
  {
    base::ScopedWriteFault full(10, ENOSPC);
    EXPECT_THAT(Import(Header(bytes), bytes),
                StatusIs(absl::StatusCode::kResourceExhausted));
  }
  EXPECT_THAT(Incoming(), IsEmpty());
  EXPECT_THAT(Import(Header(bytes), bytes), IsOk());
}

TEST_F(ModelStoreTest, RefusesFilesThatAreTooLargeBeforeTheyCome) {
  v1::ImportModelHeader header = Header("x");
  header.set_size_bytes(options_.max_import_bytes + 1);
  EXPECT_THAT(store_->BeginImport(header),
              StatusIs(absl::StatusCode::kResourceExhausted));
  options_.reserve_bytes = int64_t{1} << 60;
  Reopen();
  EXPECT_THAT(
      store_->BeginImport(Header("x")),
      StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("make room")));
}

TEST_F(ModelStoreTest, APicklesNetworkAndKindComeFromTheFile) {
  tool_.Hold(testing::SmallNetwork());
  v1::ImportModelHeader header = Header("pickle");
  header.set_format(v1::ImportModelHeader::FORMAT_EDM_PICKLE);
  header.clear_kind();
  header.clear_network();
  RETORT_ASSERT_OK_AND_ASSIGN(const v1::Model model, Import(header, "pickle"));
  EXPECT_EQ(tool_.converted(), "pickle");
  EXPECT_EQ(model.kind(), v1::Model::KIND_TEACHER);
  EXPECT_EQ(*ToJson(model.manifest().fields().at("network").struct_value()),
            testing::SmallNetwork());
  // The pickle itself is gone; what is there are weights and their manifest.
  EXPECT_THAT(model.files(), ElementsAre(kManifestFile, kWeightsFile));
  RETORT_ASSERT_OK_AND_ASSIGN(const std::string path,
                              store_->FilePath(kName, ""));
  EXPECT_EQ(*base::ReadFile(path, 1000), testing::SmallWeights());
  EXPECT_FALSE(base::FileExists(*store_->Dir(kName) + "/upload"));
}

TEST_F(ModelStoreTest, AStateDictNeedsItsNetworkFromElsewhere) {
  v1::ImportModelHeader header = Header("zip");
  header.set_format(v1::ImportModelHeader::FORMAT_PYTORCH_ZIP);
  EXPECT_THAT(Import(header, "zip"), IsOk());
  header.set_model_id("m2");
  header.clear_network();
  EXPECT_THAT(Import(header, "zip"),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("has tensors only")));
}

TEST_F(ModelStoreTest, AFileThatCannotBeConvertedIsNoModel) {
  tool_.Say(absl::InvalidArgumentError("asks for os.system"));
  v1::ImportModelHeader header = Header("pickle");
  header.set_format(v1::ImportModelHeader::FORMAT_EDM_PICKLE);
  EXPECT_THAT(
      Import(header, "pickle"),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("os.system")));
  EXPECT_THAT(store_->Get(kName), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(ModelStoreTest, ATorchScriptModuleIsAFeatureExtractorOfItsOwnFile) {
  v1::ImportModelHeader header = Header("script");
  header.set_format(v1::ImportModelHeader::FORMAT_TORCHSCRIPT);
  header.clear_network();
  EXPECT_THAT(store_->BeginImport(header),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("feature extractor only")));
  header.clear_kind();
  RETORT_ASSERT_OK_AND_ASSIGN(const v1::Model model, Import(header, "script"));
  EXPECT_EQ(model.kind(), v1::Model::KIND_FEATURE_EXTRACTOR);
  EXPECT_EQ(model.parameters(), 77);  // as the check says
  EXPECT_EQ(model.weights_sha256(), base::Sha256Hex("script"));
  EXPECT_THAT(model.files(), ElementsAre(kManifestFile, kTorchScriptFile));
  RETORT_ASSERT_OK_AND_ASSIGN(const std::string path,
                              store_->FilePath(kName, ""));
  EXPECT_EQ(*base::ReadFile(path, 1000), "script");
  Reopen();
  EXPECT_THAT(store_->Dir(kName), IsOk());
  // Its manifest belongs to no other format.
  header.set_model_id("m2");
  *header.mutable_manifest() = model.manifest();
  header.set_format(v1::ImportModelHeader::FORMAT_SAFETENSORS);
  EXPECT_THAT(store_->BeginImport(header),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(ModelStoreTest, AnExportIsConvertedBesideTheModels) {
  const std::string bytes = testing::SmallWeights();
  ASSERT_THAT(Import(Header(bytes), bytes), IsOk());
  RETORT_ASSERT_OK_AND_ASSIGN(const std::string folder,
                              store_->ConvertForExport(kName, nullptr));
  EXPECT_EQ(*base::ReadFile(folder + "/" + kExportedFile, 1000),
            "torch of " + *store_->Dir(kName));
  EXPECT_THAT(store_->ConvertForExport("projects/default/models/x", nullptr),
              StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(ModelStoreTest, AnExportThatIsGivenUpLeavesNothing) {
  const std::string bytes = testing::SmallWeights();
  ASSERT_THAT(Import(Header(bytes), bytes), IsOk());
  tool_.Say(absl::CancelledError("given up"));
  EXPECT_THAT(store_->ConvertForExport(kName, nullptr),
              StatusIs(absl::StatusCode::kCancelled));
  EXPECT_THAT(*base::ListDir(data_dir_.incoming_dir()), IsEmpty());
}

TEST_F(ModelStoreTest, ATakenIdIsRefusedBeforeTheBytesCome) {
  const std::string bytes = testing::SmallWeights();
  ASSERT_THAT(Import(Header(bytes), bytes), IsOk());
  EXPECT_THAT(store_->BeginImport(Header(bytes)),
              StatusIs(absl::StatusCode::kAlreadyExists));
}

TEST_F(ModelStoreTest, ARepeatedRequestFindsItsModel) {
  const std::string bytes = testing::SmallWeights();
  v1::ImportModelHeader header = Header(bytes);
  header.clear_model_id();
  header.set_request_id("r");
  EXPECT_THAT(store_->FindImport(header),
              StatusIs(absl::StatusCode::kNotFound));
  RETORT_ASSERT_OK_AND_ASSIGN(const v1::Model made, Import(header, bytes));
  RETORT_ASSERT_OK_AND_ASSIGN(const v1::Model again,
                              store_->FindImport(header));
  EXPECT_EQ(again.name(), made.name());
  header.set_kind(v1::Model::KIND_CM);
  const auto other = store_->FindImport(header);
  EXPECT_EQ(service::ReasonOf(other.status()),
            v1::ERROR_REASON_REQUEST_ID_REUSED);
}

TEST_F(ModelStoreTest, AdoptsAJobsModelOnceAndAgain) {
  const std::string result = dir_ / "jobs/j/result/model";
  testing::WriteModelFolder(result, "ctm");
  RETORT_ASSERT_OK_AND_ASSIGN(const v1::Model model,
                              store_->Adopt(kName, "student", result));
  EXPECT_EQ(model.kind(), v1::Model::KIND_CTM);
  EXPECT_EQ(model.display_name(), "student");
  EXPECT_EQ(model.preconditioning(), v1::PRECONDITIONING_KIND_CTM);
  EXPECT_THAT(model.files(),
              ElementsAre("manifest.json", "plot.svg", "weights.safetensors"));
  EXPECT_FALSE(base::IsDirectory(result));
  // The worker says again that it has ended.
  EXPECT_THAT(store_->Adopt(kName, "student", result), IsOk());
}

TEST_F(ModelStoreTest, AdoptionDoesNotTakeAnotherModelForTheJobs) {
  const std::string result = dir_ / "result";
  testing::WriteModelFolder(result, "ctm", 'a');
  ASSERT_THAT(store_->Adopt(kName, "", result), IsOk());
  testing::WriteModelFolder(result, "ctm", 'b');
  const absl::Status refused = store_->Adopt(kName, "", result).status();
  EXPECT_THAT(refused, StatusIs(absl::StatusCode::kAlreadyExists,
                                HasSubstr("stays in " + result)));
  EXPECT_EQ(service::ReasonOf(refused), v1::ERROR_REASON_ALREADY_EXISTS);
  EXPECT_TRUE(base::IsDirectory(result));
  // A worker that finished twice gives the same weights.
  testing::WriteModelFolder(result, "ctm", 'a');
  EXPECT_THAT(store_->Adopt(kName, "", result), IsOk());
}

TEST_F(ModelStoreTest, AdoptionRefusesADamagedFile) {
  const std::string result = dir_ / "result";
  testing::WriteModelFolder(result, "ctm");
  ASSERT_THAT(base::AtomicWriteFile(result + "/weights.safetensors",
                                    testing::SmallWeights('x')),
              IsOk());
  EXPECT_THAT(store_->Adopt(kName, "", result),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("SHA-256")));
  EXPECT_TRUE(base::IsDirectory(result));
  EXPECT_THAT(store_->Get(kName), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(ModelStoreTest, ACrashAfterTheRenameLosesNoModel) {
  const std::string result = dir_ / "result";
  testing::WriteModelFolder(result, "ctm");
  ASSERT_THAT(store_->Adopt(kName, "", result), IsOk());
  const auto set_state = [&](RowState state) {
    return db_->Write([&](db::Connection& c) {
      return c.Execute("UPDATE models SET state = ?",
                       {static_cast<int>(state)});
    });
  };
  ASSERT_THAT(set_state(RowState::kArriving), IsOk());
  EXPECT_THAT(store_->Get(kName), StatusIs(absl::StatusCode::kNotFound));
  Reopen();
  EXPECT_THAT(store_->Get(kName), IsOk());

  ASSERT_THAT(set_state(RowState::kLeaving), IsOk());
  Reopen();
  EXPECT_THAT(store_->Get(kName), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(Folders(), IsEmpty());
}

TEST_F(ModelStoreTest, ACrashBeforeTheRenameLeavesNoRow) {
  const std::string result = dir_ / "result";
  testing::WriteModelFolder(result, "ctm");
  ASSERT_THAT(store_->Adopt(kName, "", result), IsOk());
  ASSERT_THAT(db_->Write([&](db::Connection& c) {
    return c.Execute("UPDATE models SET state = 0");
  }),
              IsOk());
  ASSERT_THAT(base::Rename(data_dir_.model_dir("m"), result), IsOk());
  Reopen();
  EXPECT_THAT(store_->Adopt(kName, "", result), IsOk());
}

TEST_F(ModelStoreTest, MissingFilesAreSaidWhenTheModelIsNeeded) {
  const std::string bytes = testing::SmallWeights();
  ASSERT_THAT(Import(Header(bytes), bytes), IsOk());
  ASSERT_THAT(base::RemoveTree(data_dir_.model_dir("m")), IsOk());
  Reopen();
  EXPECT_THAT(store_->Get(kName), IsOk());
  EXPECT_THAT(store_->Dir(kName),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("restore")));
  EXPECT_THAT(store_->Delete(kName, "", {}), IsOk());
}

TEST_F(ModelStoreTest, DeleteRefusesAModelInUse) {
  const std::string bytes = testing::SmallWeights();
  ASSERT_THAT(Import(Header(bytes), bytes), IsOk());
  RETORT_ASSERT_OK_AND_ASSIGN(auto deployments,
                              DeploymentStore::Open(db_.get(), &clock_));
  v1::Deployment deployment;
  deployment.set_name("projects/default/deployments/d");
  deployment.add_models()->set_model(kName);
  ASSERT_THAT(deployments->Create(deployment, "", ""), IsOk());

  const absl::Status in_use = store_->Delete(kName, "", {});
  EXPECT_THAT(in_use, StatusIs(absl::StatusCode::kFailedPrecondition,
                               HasSubstr("deployments/d")));
  EXPECT_EQ(service::ReasonOf(in_use), v1::ERROR_REASON_IN_USE);
  EXPECT_THAT(
      store_->Delete(kName, "", {"projects/default/jobs/j"}),
      StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("jobs/j")));
  const absl::Status unnamed =
      store_->Delete(kName, "", {}, [](const std::string&) { return false; });
  EXPECT_EQ(service::ReasonOf(unnamed), v1::ERROR_REASON_IN_USE);
  EXPECT_THAT(unnamed.ToString(), Not(HasSubstr("deployments/d")));

  ASSERT_THAT(deployments->Remove(deployment.name()), IsOk());
  EXPECT_THAT(store_->Delete(kName, "", {}), IsOk());
  EXPECT_THAT(Folders(), IsEmpty());
}

TEST_F(ModelStoreTest, DeleteChecksTheEtag) {
  const std::string bytes = testing::SmallWeights();
  RETORT_ASSERT_OK_AND_ASSIGN(const v1::Model model,
                              Import(Header(bytes), bytes));
  EXPECT_THAT(store_->Delete(kName, "stale", {}),
              StatusIs(absl::StatusCode::kAborted));
  EXPECT_THAT(store_->Delete(kName, model.etag(), {}), IsOk());
}

TEST_F(ModelStoreTest, ListsAProjectNewestFirstAndByKind) {
  for (const char* id : {"a", "b", "c"}) {
    const std::string result = dir_ / id;
    testing::WriteModelFolder(result, id[0] == 'b' ? "cm" : "ctm");
    ASSERT_THAT(
        store_->Adopt(std::string("projects/default/models/") + id, "", result),
        IsOk());
  }
  const auto names = [&](const std::vector<v1::Model::Kind>& kinds, int size,
                         int64_t before) {
    std::vector<std::string> ids;
    const auto listing = store_->List("default", kinds, {size, before});
    for (const auto& model : listing->models) {
      ids.push_back(model.name().substr(model.name().rfind('/') + 1));
    }
    if (listing->more) ids.push_back("more");
    return ids;
  };
  EXPECT_THAT(names({}, 2, INT64_MAX), ElementsAre("c", "b", "more"));
  EXPECT_THAT(names({v1::Model::KIND_CTM}, 2, INT64_MAX),
              ElementsAre("c", "a"));
  EXPECT_THAT(names({}, 2, 2), ElementsAre("a"));
  EXPECT_THAT(store_->List("other", {}, {10, INT64_MAX})->models, IsEmpty());
}

TEST_F(ModelStoreTest, ModelsOfTwoProjectsMayShareAnId) {
  for (const char* project : {"default", "other"}) {
    const std::string result = dir_ / project;
    testing::WriteModelFolder(result, "ctm");
    ASSERT_THAT(store_->Adopt(std::string("projects/") + project + "/models/m",
                              "", result),
                IsOk());
  }
  EXPECT_NE(*store_->Dir("projects/default/models/m"),
            *store_->Dir("projects/other/models/m"));
}

TEST_F(ModelStoreTest, NamesTheFilesThatThereAreForOneThatIsNot) {
  const std::string bytes = testing::SmallWeights();
  ASSERT_THAT(Import(Header(bytes), bytes), IsOk());
  EXPECT_THAT(
      store_->FilePath(kName, "../retort.db"),
      StatusIs(absl::StatusCode::kNotFound, HasSubstr("weights.safetensors")));
}

}  // namespace
}  // namespace retort::registry
