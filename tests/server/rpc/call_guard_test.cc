#include "server/rpc/call_guard.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/file.h"
#include "core/base/sha256.h"
#include "server/jobs/spec_resolver.h"
#include "server/rpc/cluster_service.h"
#include "server/rpc/job_service.h"
#include "server/rpc/model_service.h"
#include "tests/server/rpc/service_fixture.h"
#include "tests/support/captured_log.h"
#include "tests/support/status_matchers.h"

namespace retort::rpc {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::IsOk;
using testing::StatusIs;

std::string Entry(const std::string& name, const std::string& role,
                  const std::string& projects) {
  return absl::StrCat("- {name: ", name, ", role: ", role,
                      ", projects: ", projects, ", sha256: \"",
                      base::Sha256Hex(name), "\"}\n");
}

// Models and deployments behind the guard. A name is its own token.
class CallGuardTest : public ServiceFixture {
 protected:
  CallGuardTest() {
    AddModel("m", "ctm");
    v1::CreateDeploymentRequest request;
    request.set_parent("projects/default");
    request.set_deployment_id("d");
    request.mutable_deployment()->add_models()->set_model(
        "projects/default/models/m");
    EXPECT_THAT(manager_->Create(request).status(), IsOk());
    EXPECT_THAT(base::AtomicWriteFile(dir_ / "tokens",
                                      Entry("own", "user", "[default]") +
                                          Entry("other", "user", "[other]") +
                                          Entry("viewer", "viewer", "\"*\"")),
                IsOk());
    ::chmod((dir_ / "tokens").c_str(), 0600);
    tokens_ = *auth::TokenFile::Open(dir_ / "tokens");
    ClusterServiceDeps deps;
    deps.node = "fake";
    deps.clock = &clock_;
    deps.scheduler = scheduler_.get();
    deps.deployments = manager_.get();
    deps.metrics = &metrics_;
    cluster_ = std::make_unique<ClusterService>(deps);
    model_service_ =
        std::make_unique<ModelService>(models_.get(), jobs_.get(), &metrics_);
    job_service_ = std::make_unique<JobService>(jobs_.get(), scheduler_.get(),
                                                &resolver_, &metrics_);
    grpc::ServerBuilder builder;
    builder.RegisterService(cluster_.get());
    builder.RegisterService(model_service_.get());
    builder.RegisterService(job_service_.get());
    std::vector<
        std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>>
        guards;
    guards.push_back(MakeCallGuard(tokens_.get()));
    builder.experimental().SetInterceptorCreators(std::move(guards));
    server_ = builder.BuildAndStart();
    channel_ = server_->InProcessChannel(grpc::ChannelArguments());
  }
  ~CallGuardTest() override { Shutdown(); }

  static void Sign(const std::string& name, grpc::ClientContext* context) {
    if (name.empty()) return;
    context->AddMetadata("authorization", "Bearer " + name);
  }
  std::vector<std::string> Occupants(const std::string& name) {
    grpc::ClientContext context;
    Sign(name, &context);
    v1::Cluster cluster;
    EXPECT_TRUE(v1::ClusterService::NewStub(channel_)
                    ->GetCluster(&context, {}, &cluster)
                    .ok());
    return {cluster.nodes(0).occupants().begin(),
            cluster.nodes(0).occupants().end()};
  }
  absl::Status Import(const std::string& name,
                      const v1::ImportModelRequest& first) {
    grpc::ClientContext context;
    Sign(name, &context);
    v1::Model model;
    auto writer =
        v1::ModelService::NewStub(channel_)->ImportModel(&context, &model);
    writer->Write(first);
    writer->WritesDone();
    return FromGrpc(writer->Finish());
  }
  static v1::ImportModelRequest Header(const std::string& project) {
    v1::ImportModelRequest request;
    request.mutable_header()->set_parent("projects/" + project);
    return request;
  }

  std::unique_ptr<auth::TokenFile> tokens_;
  std::unique_ptr<ClusterService> cluster_;
  std::unique_ptr<ModelService> model_service_;
  const jobs::SpecResolver resolver_{{.cpu_slots = 2}, &lookup_};
  std::unique_ptr<JobService> job_service_;
  std::shared_ptr<grpc::Channel> channel_;
};

TEST_F(CallGuardTest, ShowsOccupantsToThoseWhoMaySeeThem) {
  EXPECT_THAT(Occupants("own"), ElementsAre("projects/default/deployments/d"));
  EXPECT_THAT(Occupants("viewer"),
              ElementsAre("projects/default/deployments/d"));
  EXPECT_THAT(Occupants("other"), IsEmpty());
}

TEST_F(CallGuardTest, JudgesAnUploadByItsFirstMessage) {
  EXPECT_THAT(Import("", Header("default")),
              StatusIs(absl::StatusCode::kUnauthenticated));
  EXPECT_THAT(Import("viewer", Header("default")),
              StatusIs(absl::StatusCode::kPermissionDenied));
  EXPECT_THAT(Import("other", Header("default")),
              StatusIs(absl::StatusCode::kPermissionDenied));
  EXPECT_THAT(Import("own", Header("default")),
              StatusIs(absl::StatusCode::kInvalidArgument));
  v1::ImportModelRequest chunk;
  chunk.set_chunk("bytes");
  EXPECT_THAT(Import("own", chunk), StatusIs(absl::StatusCode::kInvalidArgument,
                                             HasSubstr("header")));
}

TEST_F(CallGuardTest, TheAuditNamesWhatWasMade) {
  const testing::CapturedLog log;
  const auto stub = v1::JobService::NewStub(channel_);
  v1::CreateJobRequest request;
  request.set_parent("projects/default");
  request.mutable_job()
      ->mutable_spec()
      ->mutable_train_teacher()
      ->mutable_training()
      ->set_iterations(10);
  grpc::ClientContext created, cloned, validated, cancelled;
  for (auto* context : {&created, &cloned, &validated, &cancelled}) {
    Sign("own", context);
  }
  v1::Job job, clone, none;
  ASSERT_TRUE(stub->CreateJob(&created, request, &job).ok());
  EXPECT_THAT(log.text(),
              HasSubstr(absl::StrCat(
                  "audit: own called /retort.v1.JobService/CreateJob on "
                  "projects/default: OK, ",
                  job.name(), "\n")));
  v1::CloneJobRequest again;
  again.set_name(job.name());
  ASSERT_TRUE(stub->CloneJob(&cloned, again, &clone).ok());
  EXPECT_THAT(log.text(), HasSubstr(absl::StrCat(job.name(), ": OK, ",
                                                 clone.name(), "\n")));
  // What makes nothing names nothing more.
  request.set_validate_only(true);
  ASSERT_TRUE(stub->CreateJob(&validated, request, &none).ok());
  EXPECT_THAT(log.text(), HasSubstr("on projects/default: OK\n"));
  v1::CancelJobRequest cancel;
  cancel.set_name(job.name());
  ASSERT_TRUE(stub->CancelJob(&cancelled, cancel, &none).ok());
  EXPECT_THAT(log.text(),
              HasSubstr(absl::StrCat("CancelJob on ", job.name(), ": OK\n")));
}

TEST_F(CallGuardTest, RefusesADownload) {
  for (const auto& [name, code] :
       {std::pair("", absl::StatusCode::kUnauthenticated),
        std::pair("other", absl::StatusCode::kPermissionDenied),
        std::pair("own", absl::StatusCode::kOk)}) {
    grpc::ClientContext context;
    Sign(name, &context);
    v1::ExportModelRequest request;
    request.set_name("projects/default/models/m");
    auto reader =
        v1::ModelService::NewStub(channel_)->ExportModel(&context, request);
    v1::ExportModelResponse response;
    EXPECT_EQ(reader->Read(&response), code == absl::StatusCode::kOk) << name;
    while (reader->Read(&response)) {
    }
    EXPECT_EQ(FromGrpc(reader->Finish()).code(), code) << name;
  }
}

TEST_F(CallGuardTest, NamesWhoUsesAModelToThoseWhoMaySeeThem) {
  grpc::ClientContext context;
  Sign("own", &context);
  v1::DeleteModelRequest request;
  request.set_name("projects/default/models/m");
  google::protobuf::Empty response;
  EXPECT_THAT(FromGrpc(v1::ModelService::NewStub(channel_)->DeleteModel(
                  &context, request, &response)),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("projects/default/deployments/d")));
}

TEST(CallGuardWithoutTokensTest, AContextThatNobodyJudgesMayDoAll) {
  grpc::CallbackServerContext context;
  EXPECT_THAT(MayBegin(context), IsOk());
  EXPECT_THAT(MayCall(context), IsOk());
  EXPECT_TRUE(CallerOf(context)->OperatesAll());
}

}  // namespace
}  // namespace retort::rpc
