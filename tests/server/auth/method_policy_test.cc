#include "server/auth/method_policy.h"

#include <gmock/gmock.h>
#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>
#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "tests/support/api_methods.h"

namespace retort::auth {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::MethodDescriptor;

TEST(MethodPolicyTest, HasEveryMethodThatIsServedAndNoOther) {
  std::set<std::string> served, listed;
  for (const MethodDescriptor* method : testing::ApiMethods()) {
    served.insert(testing::MethodPath(*method));
  }
  for (const MethodPolicy& policy : MethodPolicies()) {
    EXPECT_TRUE(listed.insert(policy.method).second) << policy.method;
  }
  EXPECT_EQ(listed, served);
}

TEST(MethodPolicyTest, NamesFieldsThatTheRequestsHave) {
  for (const MethodDescriptor* method : testing::ApiMethods()) {
    const MethodPolicy* policy = FindPolicy(testing::MethodPath(*method));
    ASSERT_NE(policy, nullptr) << method->full_name();
    if (policy->scope != Scope::kProject) {
      EXPECT_STREQ(policy->name_field, "") << policy->method;
      continue;
    }
    const Descriptor* message = method->input_type();
    const FieldDescriptor* field = nullptr;
    const std::vector<std::string> names =
        absl::StrSplit(policy->name_field, '.');
    for (const std::string& name : names) {
      ASSERT_NE(message, nullptr) << policy->method;
      field = message->FindFieldByName(name);
      ASSERT_NE(field, nullptr) << policy->method << " " << name;
      message = field->message_type();
    }
    EXPECT_EQ(field->type(), FieldDescriptor::TYPE_STRING) << policy->method;
  }
}

TEST(MethodPolicyTest, LetsReadersCallNothingButGettersAndTheirLikes) {
  for (const MethodDescriptor* method : testing::ApiMethods()) {
    const MethodPolicy* policy = FindPolicy(testing::MethodPath(*method));
    ASSERT_NE(policy, nullptr);
    bool reads = false;
    for (const char* verb : {"Get", "List", "Watch", "StreamLogs", "Explain",
                             "Server", "ModelReady", "ModelMetadata"}) {
      reads = reads || method->name().rfind(verb, 0) == 0;
    }
    EXPECT_EQ(policy->right == Right::kRead, reads) << method->full_name();
  }
}

TEST(MethodPolicyTest, LeavesHealthAndReflectionOpen) {
  EXPECT_TRUE(IsOpen("/grpc.health.v1.Health/Check"));
  EXPECT_TRUE(
      IsOpen("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"));
  for (const MethodPolicy& policy : MethodPolicies()) {
    EXPECT_FALSE(IsOpen(policy.method));
  }
  EXPECT_EQ(FindPolicy("/grpc.health.v1.Health/Check"), nullptr);
  EXPECT_FALSE(IsOpen("/grpc.health.v1.Healthy/Check"));
}

}  // namespace
}  // namespace retort::auth
