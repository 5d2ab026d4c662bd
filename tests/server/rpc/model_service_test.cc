#include "server/rpc/model_service.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "core/base/file.h"
#include "server/base/error.h"
#include "server/registry/model_manifest.h"
#include "tests/server/rpc/not_there_yet.h"
#include "tests/server/rpc/service_fixture.h"
#include "tests/support/status_matchers.h"

namespace retort::rpc {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::IsOk;
using testing::StatusIs;

class ModelServiceTest : public ServiceFixture {
 protected:
  ModelServiceTest() : service_(models_.get(), jobs_.get(), &metrics_) {
    stub_ = v1::ModelService::NewStub(Serve(&service_));
  }
  ~ModelServiceTest() override { Shutdown(); }

  static v1::ImportModelRequest Header(const std::string& bytes) {
    v1::ImportModelRequest request;
    v1::ImportModelHeader* header = request.mutable_header();
    header->set_parent("projects/default");
    header->set_model_id("m");
    header->set_kind(v1::Model::KIND_CTM);
    *header->mutable_network() = *registry::ToStruct(testing::SmallNetwork());
    header->set_size_bytes(static_cast<int64_t>(bytes.size()));
    return request;
  }

  // Sends the messages and returns how the call ended.
  absl::Status Import(const std::vector<v1::ImportModelRequest>& messages) {
    grpc::ClientContext context;
    auto writer = stub_->ImportModel(&context, &model_);
    for (const auto& message : messages) {
      if (!writer->Write(message)) break;
    }
    writer->WritesDone();
    return FromGrpc(writer->Finish());
  }
  static std::vector<v1::ImportModelRequest> Upload(const std::string& bytes,
                                                    size_t piece = 7) {
    std::vector<v1::ImportModelRequest> messages = {Header(bytes)};
    for (size_t at = 0; at < bytes.size(); at += piece) {
      messages.emplace_back().set_chunk(bytes.substr(at, piece));
    }
    return messages;
  }

  absl::StatusOr<std::string> Export(
      const std::string& file,
      v1::ExportModelRequest::Conversion conversion =
          v1::ExportModelRequest::CONVERSION_UNSPECIFIED) {
    grpc::ClientContext context;
    v1::ExportModelRequest request;
    request.set_name("projects/default/models/m");
    request.set_file(file);
    request.set_conversion(conversion);
    auto reader = stub_->ExportModel(&context, request);
    std::string bytes;
    v1::ExportModelResponse piece;
    int64_t announced = 0;
    while (reader->Read(&piece)) {
      announced += piece.size_bytes();
      bytes += piece.chunk();
    }
    const absl::Status status = FromGrpc(reader->Finish());
    if (!status.ok()) return status;
    EXPECT_EQ(announced, static_cast<int64_t>(bytes.size()));
    return bytes;
  }

  absl::Status Delete() {
    grpc::ClientContext context;
    v1::DeleteModelRequest request;
    request.set_name("projects/default/models/m");
    google::protobuf::Empty response;
    return FromGrpc(stub_->DeleteModel(&context, request, &response));
  }

  v1::Model model_;
  ModelService service_;
  std::unique_ptr<v1::ModelService::Stub> stub_;
};

TEST_F(ModelServiceTest, WhatIsImportedComesOutAgain) {
  const std::string bytes = testing::SmallWeights();
  ASSERT_THAT(Import(Upload(bytes)), IsOk());
  EXPECT_EQ(model_.name(), "projects/default/models/m");
  EXPECT_EQ(model_.kind(), v1::Model::KIND_CTM);
  EXPECT_THAT(Export(""), testing::IsOkAndHolds(bytes));
  RETORT_ASSERT_OK_AND_ASSIGN(const std::string manifest,
                              Export("manifest.json"));
  EXPECT_THAT(manifest, HasSubstr("img_resolution"));
  EXPECT_THAT(Export("none.svg"), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(ModelServiceTest, AConvertedExportIsStreamedAndLeavesNothing) {
  const auto convert = [&] {
    return Export("", v1::ExportModelRequest::CONVERSION_PYTORCH_ZIP);
  };
  EXPECT_THAT(convert(), StatusIs(absl::StatusCode::kNotFound));
  ASSERT_THAT(Import(Upload(testing::SmallWeights())), IsOk());
  RETORT_ASSERT_OK_AND_ASSIGN(const std::string bytes, convert());
  EXPECT_THAT(bytes, HasSubstr("torch of "));
  tool_.Say(absl::InvalidArgumentError("is a TorchScript module"));
  EXPECT_THAT(convert(), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_TRUE(std::filesystem::is_empty(data_dir_.incoming_dir()));
}

TEST_F(ModelServiceTest, AnImportBeginsWithItsHeader) {
  v1::ImportModelRequest chunk;
  chunk.set_chunk("bytes");
  const absl::Status no_header = Import({chunk});
  ASSERT_EQ(service::FieldViolationsOf(no_header).size(), 1u);
  EXPECT_EQ(service::FieldViolationsOf(no_header)[0].field, "header");
  EXPECT_THAT(Import({}), StatusIs(absl::StatusCode::kInvalidArgument));
  const std::string bytes = testing::SmallWeights();
  EXPECT_THAT(Import({Header(bytes), Header(bytes)}),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(ModelServiceTest, ATruncatedUploadIsAFileError) {
  std::vector<v1::ImportModelRequest> messages =
      Upload(testing::SmallWeights());
  messages.pop_back();
  const absl::Status status = Import(messages);
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_EQ(service::ReasonOf(status), v1::ERROR_REASON_FILE_INVALID);
  EXPECT_THAT(*base::ListDir(data_dir_.incoming_dir()), IsEmpty());
}

TEST_F(ModelServiceTest, AnUploadThatIsGivenUpLeavesNothing) {
  {
    grpc::ClientContext context;
    auto writer = stub_->ImportModel(&context, &model_);
    ASSERT_TRUE(writer->Write(Header(testing::SmallWeights())));
    context.TryCancel();
    EXPECT_EQ(writer->Finish().error_code(), grpc::StatusCode::CANCELLED);
  }
  // The server hears of it by and by; its end is the latest moment.
  Shutdown();
  EXPECT_THAT(*base::ListDir(data_dir_.incoming_dir()), IsEmpty());
  stub_ = v1::ModelService::NewStub(Serve(&service_));
}

TEST_F(ModelServiceTest, WeightsThatDoNotFitAreRefusedWithTheCause) {
  tool_.Say(absl::InvalidArgumentError("tensor x has shape [3]"));
  EXPECT_THAT(Import(Upload(testing::SmallWeights())),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("tensor x has shape [3]")));
}

TEST_F(ModelServiceTest, ARepeatedImportNeedsNoBytes) {
  std::vector<v1::ImportModelRequest> messages =
      Upload(testing::SmallWeights());
  messages[0].mutable_header()->set_request_id("r");
  ASSERT_THAT(Import(messages), IsOk());
  messages.resize(1);
  model_.Clear();
  EXPECT_THAT(Import(messages), IsOk());
  EXPECT_EQ(model_.name(), "projects/default/models/m");
}

TEST_F(ModelServiceTest, ListsInPages) {
  for (const char* id : {"a", "b", "c"}) AddModel(id, "ctm");
  v1::ListModelsRequest request;
  request.set_parent("projects/default");
  request.set_page_size(2);
  std::vector<std::string> names;
  do {
    grpc::ClientContext context;
    v1::ListModelsResponse response;
    ASSERT_TRUE(stub_->ListModels(&context, request, &response).ok());
    for (const auto& model : response.models()) {
      names.push_back(model.name().substr(model.name().rfind('/') + 1));
    }
    request.set_page_token(response.next_page_token());
  } while (!request.page_token().empty());
  EXPECT_THAT(names, ElementsAre("c", "b", "a"));
}

TEST_F(ModelServiceTest, AModelThatALiveJobNeedsStays) {
  AddModel("m", "teacher");
  jobs::NewJob job;
  job.project = "default";
  job.job_id = "j";
  job.job.mutable_spec()->mutable_distill()->set_teacher(
      "projects/default/models/m");
  ASSERT_THAT(jobs_->CreateJob(job), IsOk());
  EXPECT_THAT(Delete(), StatusIs(absl::StatusCode::kFailedPrecondition,
                                 HasSubstr("projects/default/jobs/j")));
}

TEST_F(ModelServiceTest, ADeletedModelIsGone) {
  AddModel("m", "teacher");
  EXPECT_THAT(Delete(), IsOk());
  EXPECT_THAT(Export(""), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(Delete(), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(ModelServiceTest, EveryMethodIsThere) {
  EXPECT_THAT(
      MethodsNotThereYet(server_.get(), v1::ModelService::service_full_name()),
      IsEmpty());
}

}  // namespace
}  // namespace retort::rpc
