#include "server/auth/guard.h"

#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "core/base/file.h"
#include "core/base/sha256.h"
#include "server/base/error.h"
#include "tests/support/api_methods.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace retort::auth {
namespace {

using ::retort::testing::IsOk;
using ::retort::testing::StatusIs;
using ::testing::HasSubstr;

const Caller kUser(Grant{.name = "alice",
                         .right = Right::kUse,
                         .projects = {"a"},
                         .reads = {"shared"}});
const Caller kOperator(Grant{
    .name = "olga", .right = Right::kOperate, .projects = {"a"}});

template <typename Request>
absl::Status Send(const Caller& caller, const std::string& method,
                  const std::string& text) {
  Request request;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &request));
  std::string target;
  return MaySend(caller, *FindPolicy(method), request, &target);
}

absl::Status Create(const Caller& caller, const std::string& text) {
  return Send<v1::CreateJobRequest>(caller, "/retort.v1.JobService/CreateJob",
                                    text);
}

auto IsDenied(const std::string& text) {
  return StatusIs(absl::StatusCode::kPermissionDenied, HasSubstr(text));
}

TEST(GuardTest, LetsAUserWorkInItsProjectOnly) {
  EXPECT_THAT(Create(kUser, "parent: 'projects/a'"), IsOk());
  EXPECT_THAT(Create(kUser, "parent: 'projects/b'"),
              IsDenied("alice may not use project b"));
  EXPECT_THAT(Create(kUser, "parent: 'projects/shared'"),
              IsDenied("may not use"));
  EXPECT_EQ(service::ReasonOf(Create(kUser, "parent: 'projects/b'")),
            v1::ERROR_REASON_PERMISSION_DENIED);
}

TEST(GuardTest, WantsTheRightToReadEveryModelThatASpecNames) {
  for (const char* spec :
       {"distill { teacher: '$' }", "distill { preconditioning_artifact: '$' }",
        "distill { lpips { backbone: '$' } }",
        "distill { lpips { heads: '$' } }", "evaluate { model: '$' }",
        "evaluate { feature_extractor: '$' }",
        "estimate_preconditioning { teacher: '$' }",
        "train_teacher { training { validation { feature_extractor: '$' } } "
        "}"}) {
    for (const auto& [project, fine] :
         {std::pair("a", true), std::pair("shared", true),
          std::pair("b", false)}) {
      std::string text =
          std::string("parent: 'projects/a' job { spec { ") + spec + " } }";
      text.replace(text.find('$'), 1,
                   std::string("projects/") + project + "/models/m");
      EXPECT_EQ(Create(kUser, text).ok(), fine) << text;
    }
  }
}

TEST(GuardTest, TakesFreeTextForText) {
  EXPECT_THAT(
      Create(kUser,
             "parent: 'projects/a' request_id: 'projects/b' job { "
             "display_name: 'projects/b/jobs/x' labels { key: 'projects/b' "
             "value: 'projects/b' } spec { distill { data { path: "
             "'projects/b' } } } }"),
      IsOk());
}

TEST(GuardTest, LetsADeploymentServeReadableModelsOnly) {
  const auto deploy = [](const std::string& model) {
    return Send<v1::CreateDeploymentRequest>(
        kUser, "/retort.v1.DeploymentService/CreateDeployment",
        "parent: 'projects/a' deployment { models { model: 'projects/a/models/"
        "m' } models { model: '" +
            model + "' } }");
  };
  EXPECT_THAT(deploy("projects/shared/models/m"), IsOk());
  EXPECT_THAT(deploy("projects/b/models/m"), IsDenied("read project b"));
}

TEST(GuardTest, KeepsTheHighestClassForOperators) {
  const std::string high =
      "parent: 'projects/a' job { priority_class: PRIORITY_CLASS_HIGH }";
  EXPECT_THAT(Create(kUser, high), IsDenied("PRIORITY_CLASS_HIGH"));
  EXPECT_THAT(Create(kOperator, high), IsOk());
  EXPECT_THAT(
      Create(kUser,
             "parent: 'projects/a' job { priority_class: PRIORITY_CLASS_LOW }"),
      IsOk());
  EXPECT_THAT(Send<v1::CloneJobRequest>(
                  kUser, "/retort.v1.JobService/CloneJob",
                  "name: 'projects/a/jobs/j' changes { priority_class: "
                  "PRIORITY_CLASS_HIGH }"),
              IsDenied("PRIORITY_CLASS_HIGH"));
}

TEST(GuardTest, LetsOperatorsSetTheQuotaOfTheirProject) {
  const auto update = [](const Caller& caller, const std::string& project) {
    return Send<v1::UpdateQuotaRequest>(
        caller, "/retort.v1.ClusterService/UpdateQuota",
        "quota { project: 'projects/" + project + "' }");
  };
  EXPECT_THAT(update(kOperator, "a"), IsOk());
  EXPECT_THAT(update(kOperator, "b"), IsDenied("operate project b"));
  EXPECT_THAT(update(kUser, "a"), IsDenied("right to operate"));
}

TEST(GuardTest, LeavesTheMachinesToOperatorsOfAll) {
  const char* method = "/retort.v1.ClusterService/DrainNode";
  EXPECT_THAT(Send<v1::DrainNodeRequest>(kOperator, method, "node: 'n'"),
              IsDenied("operators of all projects"));
  EXPECT_THAT(
      Send<v1::DrainNodeRequest>(*Caller::Anyone(), method, "node: 'n'"),
      IsOk());
}

TEST(GuardTest, RefusesARequestWithoutAProject) {
  for (const char* text :
       {"", "parent: 'projects'", "parent: 'a'", "parent: 'projects/a/jobs'"}) {
    EXPECT_THAT(
        Create(kUser, text),
        StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("parent")))
        << text;
  }
}

TEST(GuardTest, AsksForTheHeaderOfAnImport) {
  const char* method = "/retort.v1.ModelService/ImportModel";
  EXPECT_THAT(Send<v1::ImportModelRequest>(kUser, method,
                                           "header { parent: 'projects/a' }"),
              IsOk());
  EXPECT_THAT(Send<v1::ImportModelRequest>(kUser, method,
                                           "header { parent: 'projects/b' }"),
              IsDenied("project b"));
  EXPECT_THAT(
      Send<v1::ImportModelRequest>(kUser, method, "chunk: 'x'"),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("header.parent")));
}

class IdentifyTest : public ::testing::Test {
 protected:
  IdentifyTest() {
    EXPECT_THAT(
        base::AtomicWriteFile(
            dir_ / "tokens",
            "- {name: alice, role: user, projects: [a], sha256: \"" +
                base::Sha256Hex("secret") +
                "\"}\n- {name: ci, role: user, projects: [a], certificate: "
                "ci}\n"),
        IsOk());
    ::chmod((dir_ / "tokens").c_str(), 0600);
    tokens_ = *TokenFile::Open(dir_ / "tokens");
  }

  testing::TempDir dir_;
  std::unique_ptr<TokenFile> tokens_;
};

TEST_F(IdentifyTest, KnowsTheBearerOfAToken) {
  for (const char* value : {"Bearer secret", "bearer secret"}) {
    const auto caller = Identify(tokens_.get(), {{value}, {}});
    ASSERT_THAT(caller.status(), IsOk());
    EXPECT_EQ((*caller)->name(), "alice");
  }
}

TEST_F(IdentifyTest, KnowsTheOwnerOfACertificate) {
  const auto caller = Identify(tokens_.get(), {{}, {"other", "ci"}});
  ASSERT_THAT(caller.status(), IsOk());
  EXPECT_EQ((*caller)->name(), "ci");
}

TEST_F(IdentifyTest, RefusesEverybodyElse) {
  const Credentials wrong[] = {{},
                               {{}, {"other"}},
                               {{""}, {}},
                               {{"secret"}, {}},
                               {{"Bearer "}, {}},
                               {{"Bearer wrong"}, {}},
                               {{"Basic secret"}, {}},
                               {{"Bearer secret", "Bearer secret"}, {}},
                               // A wrong token, whatever the certificate.
                               {{"Bearer wrong"}, {"ci"}}};
  for (const Credentials& credentials : wrong) {
    const absl::Status status = Identify(tokens_.get(), credentials).status();
    EXPECT_TRUE(absl::IsUnauthenticated(status)) << status;
    EXPECT_EQ(service::ReasonOf(status), v1::ERROR_REASON_UNAUTHENTICATED);
  }
}

}  // namespace
}  // namespace retort::auth
