// One project cannot see or touch another's: every method of the API, against
// a real retortd with TLS and tokens.
#include <gmock/gmock.h>
#include <google/protobuf/message.h>
#include <google/protobuf/text_format.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <map>
#include <memory>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "core/base/file.h"
#include "core/base/sha256.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "tests/support/api_methods.h"
#include "tests/support/call_by_name.h"
#include "tests/support/service_process.h"
#include "tests/support/test_ca.h"

namespace retort::testing {
namespace {

using google::protobuf::Empty;
using google::protobuf::MethodDescriptor;
using ::testing::HasSubstr;
using ::testing::Not;

// Which role a method needs in the project, and whether that is in its request.
enum class Needs { kViewer, kUser, kOperator, kAnyCaller, kOperatorOfAll };

struct Case {
  Needs needs;
  const char* request;  // as text, $P for the project, $J for a job's id
};

// Written down here once more on purpose: what the service's own table says
// must agree with it.
const std::map<std::string, Case>& Cases() {
  static const auto* const cases = new std::map<std::string, Case>{
      {"retort.v1.JobService.CreateJob",
       {Needs::kUser, "parent: 'projects/$P' job { spec { evaluate {} } }"}},
      {"retort.v1.JobService.GetJob",
       {Needs::kViewer, "name: 'projects/$P/jobs/$J'"}},
      {"retort.v1.JobService.ListJobs",
       {Needs::kViewer, "parent: 'projects/$P'"}},
      {"retort.v1.JobService.CancelJob",
       {Needs::kUser, "name: 'projects/$P/jobs/$J'"}},
      {"retort.v1.JobService.DeleteJob",
       {Needs::kUser, "name: 'projects/$P/jobs/$J'"}},
      {"retort.v1.JobService.PauseJob",
       {Needs::kUser, "name: 'projects/$P/jobs/$J'"}},
      {"retort.v1.JobService.ResumeJob",
       {Needs::kUser, "name: 'projects/$P/jobs/$J'"}},
      {"retort.v1.JobService.WatchJob",
       {Needs::kViewer, "name: 'projects/$P/jobs/$J'"}},
      {"retort.v1.JobService.StreamLogs",
       {Needs::kViewer, "name: 'projects/$P/jobs/$J'"}},
      {"retort.v1.JobService.ListMetrics",
       {Needs::kViewer, "name: 'projects/$P/jobs/$J'"}},
      {"retort.v1.JobService.ListCheckpoints",
       {Needs::kViewer, "name: 'projects/$P/jobs/$J'"}},
      {"retort.v1.JobService.CloneJob",
       {Needs::kUser, "name: 'projects/$P/jobs/$J'"}},
      {"retort.v1.JobService.ExplainQueue",
       {Needs::kViewer, "name: 'projects/$P/jobs/$J'"}},
      {"retort.v1.ModelService.ImportModel",
       {Needs::kUser, "header { parent: 'projects/$P' model_id: 'm' }"}},
      {"retort.v1.ModelService.GetModel",
       {Needs::kViewer, "name: 'projects/$P/models/m'"}},
      {"retort.v1.ModelService.ListModels",
       {Needs::kViewer, "parent: 'projects/$P'"}},
      {"retort.v1.ModelService.DeleteModel",
       {Needs::kUser, "name: 'projects/$P/models/m'"}},
      {"retort.v1.ModelService.ExportModel",
       {Needs::kUser, "name: 'projects/$P/models/m'"}},
      {"retort.v1.DeploymentService.CreateDeployment",
       {Needs::kUser, "parent: 'projects/$P'"}},
      {"retort.v1.DeploymentService.GetDeployment",
       {Needs::kViewer, "name: 'projects/$P/deployments/d'"}},
      {"retort.v1.DeploymentService.ListDeployments",
       {Needs::kViewer, "parent: 'projects/$P'"}},
      {"retort.v1.DeploymentService.DeleteDeployment",
       {Needs::kUser, "name: 'projects/$P/deployments/d'"}},
      {"retort.v1.DeploymentService.UpdateDeployment",
       {Needs::kUser, "deployment { name: 'projects/$P/deployments/d' }"}},
      {"retort.v1.DeploymentService.RollbackDeployment",
       {Needs::kUser, "name: 'projects/$P/deployments/d'"}},
      {"retort.v1.SamplingService.Sample",
       {Needs::kUser, "deployment: 'projects/$P/deployments/d' samples: 1"}},
      {"retort.v1.SamplingService.StreamSample",
       {Needs::kUser,
        "request { deployment: 'projects/$P/deployments/d' samples: 1 }"}},
      {"retort.v1.ClusterService.GetCluster", {Needs::kAnyCaller, ""}},
      {"retort.v1.ClusterService.ListQueue", {Needs::kAnyCaller, ""}},
      {"retort.v1.ClusterService.GetQuota",
       {Needs::kViewer, "project: 'projects/$P'"}},
      {"retort.v1.ClusterService.ListQuotas", {Needs::kAnyCaller, ""}},
      {"retort.v1.ClusterService.UpdateQuota",
       {Needs::kOperator, "quota { project: 'projects/$P' max_jobs: 3 }"}},
      {"retort.v1.ClusterService.DrainNode",
       {Needs::kOperatorOfAll, "node: 'no-such-node'"}},
      {"inference.GRPCInferenceService.ServerLive", {Needs::kAnyCaller, ""}},
      {"inference.GRPCInferenceService.ServerReady", {Needs::kAnyCaller, ""}},
      {"inference.GRPCInferenceService.ServerMetadata",
       {Needs::kAnyCaller, ""}},
      {"inference.GRPCInferenceService.ModelReady",
       {Needs::kViewer, "name: 'projects/$P/deployments/d'"}},
      {"inference.GRPCInferenceService.ModelMetadata",
       {Needs::kViewer, "name: 'projects/$P/deployments/d'"}},
      {"inference.GRPCInferenceService.ModelInfer",
       {Needs::kUser, "model_name: 'projects/$P/deployments/d'"}},
  };
  return *cases;
}

std::string Token(const std::string& name, const std::string& role,
                  const std::string& projects) {
  return absl::StrCat("- {name: ", name, ", role: ", role,
                      ", projects: ", projects, ", sha256: \"",
                      base::Sha256Hex("token-of-" + name), "\"}\n");
}

bool IsRefused(const grpc::Status& status) {
  return status.error_code() == grpc::StatusCode::PERMISSION_DENIED ||
         status.error_code() == grpc::StatusCode::UNAUTHENTICATED;
}

std::string ReasonOf(const grpc::Status& status) {
  google::rpc::Status details;
  details.ParseFromString(status.error_details());
  google::rpc::ErrorInfo info;
  for (const auto& any : details.details()) {
    if (any.UnpackTo(&info)) return info.reason();
  }
  return "";
}

class SecurityTest : public ::testing::Test {
 protected:
  // Both services once: later ones would be forked with gRPC's threads
  // running.
  static void SetUpTestSuite() {
    dir_ = new TempDir;
    ca_ = new TestCa(dir_->path(), "ca");
    const TestCertificate server = ca_->Issue("server");
    WriteTokens("tokens.yaml", Token("viewer", "viewer", "[a]") +
                                   Token("user", "user", "[a]") +
                                   Token("operator", "operator", "[a]") +
                                   Token("root", "operator", "\"*\""));
    tls_ = new ServiceProcess;
    // Jobs need not run here.
    tls_->AddServerOptions(
        {"--worker_binary=/bin/false", "--tls_cert=" + server.cert,
         "--tls_key=" + server.key, "--tokens_file=" + *dir_ / "tokens.yaml"});
    tls_->Start();
    mutual_cert_ = ca_->Issue("mutual");
    WriteTokens("certificates.yaml",
                "- {name: ci, role: viewer, projects: [a], certificate: "
                "ci.example.org}\n" +
                    Token("user", "user", "[a]"));
    mutual_ = new ServiceProcess;
    mutual_->AddServerOptions(
        {"--worker_binary=/bin/false", "--tls_cert=" + mutual_cert_.cert,
         "--tls_key=" + mutual_cert_.key, "--tls_client_ca=" + ca_->path(),
         "--tokens_file=" + *dir_ / "certificates.yaml"});
    mutual_->Start();
    channel_ = Connect(*tls_, *ca_);
    AddJob("a");
    AddJob("b");
  }
  static void TearDownTestSuite() {
    channel_.reset();
    delete mutual_;
    delete tls_;
    delete ca_;
    delete dir_;
  }

  static void WriteTokens(const std::string& name, const std::string& yaml) {
    ASSERT_TRUE(base::AtomicWriteFile(*dir_ / name, yaml).ok());
    ::chmod((*dir_ / name).c_str(), 0600);
  }

  static std::shared_ptr<grpc::Channel> Connect(
      const ServiceProcess& service, const TestCa& trusted,
      const TestCertificate& own = {}) {
    grpc::SslCredentialsOptions ssl;
    ssl.pem_root_certs = Slurp(trusted.path());
    if (!own.cert.empty()) {
      ssl.pem_cert_chain = Slurp(own.cert);
      ssl.pem_private_key = Slurp(own.key);
    }
    return grpc::CreateChannel(service.grpc_address(),
                               grpc::SslCredentials(ssl));
  }

  // A job "j" in the project. Whatever becomes of it: it is there.
  static void AddJob(const std::string& project) {
    const grpc::Status status = CallText(
        channel_, *v1::Job::descriptor()->file()->service(0)->method(0),
        absl::StrReplaceAll("parent: 'projects/$P' job_id: 'j' job { spec { "
                            "train_teacher { training { iterations: 9 } } } }",
                            {{"$P", project}}),
        "root");
    ASSERT_TRUE(status.ok()) << status.error_message();
  }

  // Calls as the owner of the token ("": without one).
  static grpc::Status CallText(const std::shared_ptr<grpc::Channel>& channel,
                               const MethodDescriptor& method,
                               const std::string& text, const std::string& name,
                               std::string* answer = nullptr) {
    std::unique_ptr<google::protobuf::Message> message(
        google::protobuf::MessageFactory::generated_factory()
            ->GetPrototype(method.input_type())
            ->New());
    EXPECT_TRUE(
        google::protobuf::TextFormat::ParseFromString(text, message.get()));
    Empty request, response;
    EXPECT_TRUE(request.ParseFromString(message->SerializeAsString()));
    const grpc::Status status =
        CallByName(channel, MethodPath(method), request, &response,
                   name.empty() ? "" : "Bearer token-of-" + name);
    if (answer != nullptr) *answer = response.SerializeAsString();
    return status;
  }
  static grpc::Status Call(const MethodDescriptor& method, const Case& one,
                           const std::string& project, const std::string& name,
                           const std::string& job = "j") {
    return CallText(
        channel_, method,
        absl::StrReplaceAll(one.request, {{"$P", project}, {"$J", job}}), name);
  }

  static TempDir* dir_;
  static TestCa* ca_;
  static TestCertificate mutual_cert_;
  static ServiceProcess* tls_;
  static ServiceProcess* mutual_;
  static std::shared_ptr<grpc::Channel> channel_;
};

TempDir* SecurityTest::dir_;
TestCa* SecurityTest::ca_;
TestCertificate SecurityTest::mutual_cert_;
ServiceProcess* SecurityTest::tls_;
ServiceProcess* SecurityTest::mutual_;
std::shared_ptr<grpc::Channel> SecurityTest::channel_;

TEST_F(SecurityTest, TheTableHasEveryMethod) {
  for (const MethodDescriptor* method : ApiMethods()) {
    EXPECT_EQ(Cases().count(method->full_name()), 1u) << method->full_name();
  }
  EXPECT_EQ(Cases().size(), ApiMethods().size());
}

TEST_F(SecurityTest, NoMethodAnswersWithoutAToken) {
  for (const MethodDescriptor* method : ApiMethods()) {
    const Case& one = Cases().at(method->full_name());
    for (const char* project : {"a", "b"}) {
      const grpc::Status status = Call(*method, one, project, "");
      EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAUTHENTICATED)
          << method->full_name() << ": " << status.error_message();
      EXPECT_EQ(ReasonOf(status), "UNAUTHENTICATED");
    }
  }
}

TEST_F(SecurityTest, NoMethodAnswersToATokenThatNobodyHas) {
  for (const MethodDescriptor* method : ApiMethods()) {
    const grpc::Status status =
        Call(*method, Cases().at(method->full_name()), "a", "nobody");
    EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAUTHENTICATED)
        << method->full_name();
  }
}

TEST_F(SecurityTest, NoMethodTouchesAnotherProject) {
  for (const MethodDescriptor* method : ApiMethods()) {
    const Case& one = Cases().at(method->full_name());
    if (one.needs == Needs::kAnyCaller) continue;
    for (const char* name : {"viewer", "user", "operator"}) {
      const grpc::Status there = Call(*method, one, "b", name, "j");
      EXPECT_EQ(there.error_code(), grpc::StatusCode::PERMISSION_DENIED)
          << method->full_name() << " as " << name << ": "
          << there.error_message();
      EXPECT_EQ(ReasonOf(there), "PERMISSION_DENIED");
      // Whether it exists is not told.
      const grpc::Status missing = Call(*method, one, "b", name, "missing");
      EXPECT_EQ(missing.error_message(), there.error_message());
      EXPECT_EQ(missing.error_details(), there.error_details());
    }
  }
}

TEST_F(SecurityTest, NoAnswerAboutAllProjectsNamesAnotherOne) {
  // A job of b waits, and a quota of it is known.
  const auto method = [](const std::string& full_name) {
    return google::protobuf::DescriptorPool::generated_pool()->FindMethodByName(
        full_name);
  };
  const std::string service = "retort.v1.ClusterService.";
  ASSERT_TRUE(CallText(channel_, *method(service + "UpdateQuota"),
                       "quota { project: 'projects/b' max_jobs: 1 } "
                       "update_mask { paths: 'max_jobs' }",
                       "root")
                  .ok());
  std::string answer;
  ASSERT_TRUE(
      CallText(channel_, *method(service + "GetCluster"), "", "root", &answer)
          .ok());
  v1::Cluster cluster;
  ASSERT_TRUE(cluster.ParseFromString(answer));
  const std::string node = cluster.nodes(0).name();
  const auto drain = [&](const std::string& undo) {
    return CallText(channel_, *method(service + "DrainNode"),
                    absl::StrCat("node: '", node, "' ", undo), "root");
  };
  ASSERT_TRUE(drain("").ok());
  ASSERT_TRUE(CallText(channel_, *method("retort.v1.JobService.CreateJob"),
                       "parent: 'projects/b' job_id: 'secret' job { spec { "
                       "train_teacher { training { iterations: 9 } } } }",
                       "root")
                  .ok());
  std::string seen_by_root;
  for (const MethodDescriptor* one : ApiMethods()) {
    const Case& how = Cases().at(one->full_name());
    if (how.needs != Needs::kAnyCaller) continue;
    CallText(channel_, *one, how.request, "root", &answer);
    absl::StrAppend(&seen_by_root, answer);
    for (const char* name : {"viewer", "user", "operator"}) {
      CallText(channel_, *one, how.request, name, &answer);
      EXPECT_THAT(answer, Not(HasSubstr("projects/b")))
          << one->full_name() << " as " << name;
      EXPECT_THAT(answer, Not(HasSubstr("project b")))
          << one->full_name() << " as " << name;
    }
  }
  EXPECT_THAT(seen_by_root, HasSubstr("projects/b/jobs/secret"));
  EXPECT_TRUE(drain("undo: true").ok());
}

TEST_F(SecurityTest, ARoleAllowsItsMethodsAndNoMore) {
  const auto allowed = [](Needs needs, const std::string& role) {
    switch (needs) {
      case Needs::kAnyCaller:
      case Needs::kViewer:
        return true;
      case Needs::kUser:
        return role != "viewer";
      case Needs::kOperator:
        return role == "operator" || role == "root";
      case Needs::kOperatorOfAll:
        return role == "root";
    }
    return false;
  };
  for (const MethodDescriptor* method : ApiMethods()) {
    const Case& one = Cases().at(method->full_name());
    for (const char* name : {"viewer", "user", "operator", "root"}) {
      // One that is not there, so that watching it ends.
      const grpc::Status status = Call(*method, one, "a", name, "missing");
      EXPECT_EQ(!IsRefused(status), allowed(one.needs, name))
          << method->full_name() << " as " << name << ": "
          << status.error_message();
    }
  }
}

TEST_F(SecurityTest, AnOperatorOfAllReachesEveryProject) {
  for (const MethodDescriptor* method : ApiMethods()) {
    const grpc::Status status =
        Call(*method, Cases().at(method->full_name()), "b", "root", "missing");
    EXPECT_FALSE(IsRefused(status))
        << method->full_name() << ": " << status.error_message();
  }
}

TEST_F(SecurityTest, AModelOfAnotherProjectCannotBeReferredTo) {
  const auto* jobs = v1::Job::descriptor()->file()->service(0);
  const MethodDescriptor& create = *jobs->FindMethodByName("CreateJob");
  const std::string spec =
      "parent: 'projects/a' job { spec { evaluate { model: "
      "'projects/b/models/m' } } } validate_only: ";
  for (const char* validate_only : {"true", "false"}) {
    const grpc::Status status =
        CallText(channel_, create, spec + validate_only, "user");
    EXPECT_EQ(status.error_code(), grpc::StatusCode::PERMISSION_DENIED);
    EXPECT_THAT(status.error_message(), HasSubstr("read project b"));
  }
  EXPECT_FALSE(IsRefused(CallText(channel_, create, spec + "false", "root")));
}

TEST_F(SecurityTest, ACloneNeedsTheRightsThatItsJobNeeded) {
  const auto* jobs = v1::Job::descriptor()->file()->service(0);
  const MethodDescriptor& create = *jobs->FindMethodByName("CreateJob");
  const MethodDescriptor& clone = *jobs->FindMethodByName("CloneJob");
  const std::string urgent =
      "parent: 'projects/a' job_id: 'urgent' job { priority_class: "
      "PRIORITY_CLASS_HIGH spec { train_teacher { training { iterations: 9 } } "
      "} }";
  EXPECT_TRUE(IsRefused(CallText(channel_, create, urgent, "user")));
  ASSERT_TRUE(CallText(channel_, create, urgent, "operator").ok());
  const grpc::Status as_is =
      CallText(channel_, clone, "name: 'projects/a/jobs/urgent'", "user");
  EXPECT_EQ(as_is.error_code(), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_THAT(as_is.error_message(), HasSubstr("PRIORITY_CLASS_HIGH"));
  EXPECT_TRUE(CallText(channel_, clone,
                       "name: 'projects/a/jobs/urgent' changes { "
                       "priority_class: PRIORITY_CLASS_LOW } update_mask { "
                       "paths: 'priority_class' }",
                       "user")
                  .ok());
}

TEST_F(SecurityTest, ATokenThatIsTakenOutOfTheFileLetsNobodyIn) {
  const auto* jobs = v1::Job::descriptor()->file()->service(0);
  const MethodDescriptor& list = *jobs->FindMethodByName("ListJobs");
  const std::string before = Slurp(*dir_ / "tokens.yaml");
  WriteTokens("tokens.yaml", before + Token("guest", "viewer", "[a]"));
  const char* request = "parent: 'projects/a'";
  EXPECT_TRUE(CallText(channel_, list, request, "guest").ok());
  WriteTokens("tokens.yaml", before);
  EXPECT_EQ(CallText(channel_, list, request, "guest").error_code(),
            grpc::StatusCode::UNAUTHENTICATED);
}

TEST_F(SecurityTest, HealthAnswersEverybody) {
  Empty response;
  EXPECT_TRUE(
      CallByName(channel_, "/grpc.health.v1.Health/Check", Empty(), &response)
          .ok());
}

TEST_F(SecurityTest, TheLogSaysWhoDidWhatAndWhoWasRefused) {
  const auto* jobs = v1::Job::descriptor()->file()->service(0);
  const MethodDescriptor& cancel = *jobs->FindMethodByName("CancelJob");
  CallText(channel_, cancel, "name: 'projects/a/jobs/none'", "user");
  CallText(channel_, cancel, "name: 'projects/b/jobs/none'", "user");
  EXPECT_TRUE(PollUntil(ServiceProcess::kPatience, [] {
    return absl::StrContains(
               tls_->log(),
               "audit: user called /retort.v1.JobService/CancelJob on "
               "projects/a/jobs/none: NOT_FOUND") &&
           absl::StrContains(tls_->log(), "user may not use project b");
  }));
  EXPECT_FALSE(absl::StrContains(tls_->log(), "token-of-"))
      << "tokens have no place in the log";
}

TEST_F(SecurityTest, APlainConnectionGetsNoAnswer) {
  Empty response;
  const auto plain = grpc::CreateChannel(tls_->grpc_address(),
                                         grpc::InsecureChannelCredentials());
  EXPECT_EQ(
      CallByName(plain, "/grpc.health.v1.Health/Check", Empty(), &response)
          .error_code(),
      grpc::StatusCode::UNAVAILABLE);
}

TEST_F(SecurityTest, MutualTlsLetsNobodyInWithoutACertificateOfItsCa) {
  TestCa other(dir_->path(), "other-ca");
  Empty response;
  for (const TestCertificate& own :
       {TestCertificate{}, other.Issue("stranger")}) {
    EXPECT_EQ(CallByName(Connect(*mutual_, *ca_, own),
                         "/grpc.health.v1.Health/Check", Empty(), &response)
                  .error_code(),
              grpc::StatusCode::UNAVAILABLE);
  }
}

TEST_F(SecurityTest, ACertificateCanStandForAToken) {
  const auto* jobs = v1::Job::descriptor()->file()->service(0);
  const MethodDescriptor& list = *jobs->FindMethodByName("ListJobs");
  const auto ci = Connect(*mutual_, *ca_, ca_->Issue("ci.example.org"));
  EXPECT_TRUE(CallText(ci, list, "parent: 'projects/a'", "").ok());
  EXPECT_EQ(CallText(ci, list, "parent: 'projects/b'", "").error_code(),
            grpc::StatusCode::PERMISSION_DENIED);
  // A certificate of the CA alone is no name in the file.
  const auto unknown = Connect(*mutual_, *ca_, ca_->Issue("unknown"));
  EXPECT_EQ(CallText(unknown, list, "parent: 'projects/a'", "").error_code(),
            grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_TRUE(CallText(unknown, list, "parent: 'projects/a'", "user").ok());
}

TEST_F(SecurityTest, ANewCertificateIsServedWithoutARestart) {
  TestCa next(dir_->path(), "next-ca");
  const TestCertificate client = ca_->Issue("client");
  const TestCertificate renewed = next.Issue("renewed");
  ASSERT_TRUE(base::AtomicWriteFile(mutual_cert_.key, Slurp(renewed.key)).ok());
  ASSERT_TRUE(
      base::AtomicWriteFile(mutual_cert_.cert, Slurp(renewed.cert)).ok());
  EXPECT_TRUE(PollUntil(ServiceProcess::kPatience, [&] {
    Empty response;
    return CallByName(Connect(*mutual_, next, client),
                      "/grpc.health.v1.Health/Check", Empty(), &response)
        .ok();
  }));
}

}  // namespace
}  // namespace retort::testing
