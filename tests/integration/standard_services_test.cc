// What a gRPC tool expects of any server: health and reflection.
#include <gmock/gmock.h>
#include <google/protobuf/descriptor.pb.h>
#include <google/protobuf/unknown_field_set.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "tests/support/call_by_name.h"
#include "tests/support/service_process.h"

namespace retort::testing {
namespace {

using google::protobuf::Empty;
using google::protobuf::UnknownField;
using google::protobuf::UnknownFieldSet;
using ::testing::ElementsAre;
using ::testing::IsSupersetOf;
using ::testing::Not;

// The numbers of the fields are those of grpc/health/v1/health.proto and
// grpc/reflection/v1alpha/reflection.proto, which no package installs.
class StandardServicesTest : public ::testing::Test {
 protected:
  // One service: a second one would be forked with gRPC's threads running.
  static void SetUpTestSuite() {
    service_ = new ServiceProcess();
    service_->Start();
    channel_ = grpc::CreateChannel(service_->grpc_address(),
                                   grpc::InsecureChannelCredentials());
  }
  static void TearDownTestSuite() {
    channel_.reset();
    delete service_;
    service_ = nullptr;
  }

  static const UnknownFieldSet& Fields(const Empty& message) {
    return message.GetReflection()->GetUnknownFields(message);
  }
  static Empty Call(const std::string& method, const Empty& request) {
    Empty response;
    const grpc::Status status =
        CallByName(channel_, method, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response;
  }
  // Asks the reflection about `value` in the request's field `number`.
  static Empty Reflect(int number, const std::string& value) {
    Empty request;
    request.GetReflection()->MutableUnknownFields(&request)->AddLengthDelimited(
        number, value);
    return Call(
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        request);
  }
  // The texts or messages in the fields of this number.
  static std::vector<std::string> Values(const Empty& message, int number) {
    const UnknownFieldSet& fields = Fields(message);
    std::vector<std::string> values;
    for (int i = 0; i < fields.field_count(); ++i) {
      const UnknownField& field = fields.field(i);
      if (field.number() == number &&
          field.type() == UnknownField::TYPE_LENGTH_DELIMITED) {
        values.push_back(field.length_delimited());
      }
    }
    return values;
  }
  static Empty Parsed(const std::string& bytes) {
    Empty message;
    EXPECT_TRUE(message.ParseFromString(bytes));
    return message;
  }

  static ServiceProcess* service_;
  static std::shared_ptr<grpc::Channel> channel_;
};

ServiceProcess* StandardServicesTest::service_ = nullptr;
std::shared_ptr<grpc::Channel> StandardServicesTest::channel_;

TEST_F(StandardServicesTest, HealthOfTheWholeServerIsServing) {
  // No service is named, which means the whole server.
  const Empty answer = Call("/grpc.health.v1.Health/Check", Empty());
  const UnknownFieldSet& fields = Fields(answer);
  ASSERT_EQ(fields.field_count(), 1);
  EXPECT_EQ(fields.field(0).number(), 1);
  EXPECT_EQ(fields.field(0).varint(), 1u) << "1 is SERVING";
}

TEST_F(StandardServicesTest, ReflectionNamesTheServicesAndNotTheWorkersOne) {
  const auto lists = Values(Reflect(/*list_services*/ 7, "*"), 6);
  ASSERT_EQ(lists.size(), 1u);
  std::vector<std::string> names;
  for (const std::string& service : Values(Parsed(lists[0]), 1)) {
    for (std::string& name : Values(Parsed(service), 1)) names.push_back(name);
  }
  EXPECT_THAT(
      names,
      IsSupersetOf({"retort.v1.JobService", "retort.v1.ModelService",
                    "retort.v1.DeploymentService", "retort.v1.SamplingService",
                    "retort.v1.ClusterService"}));
  EXPECT_THAT(
      names, Not(::testing::Contains(::testing::HasSubstr("retort.internal"))));
}

TEST_F(StandardServicesTest, ReflectionDescribesAService) {
  const auto answers =
      Values(Reflect(/*file_containing_symbol*/ 4, "retort.v1.JobService"), 4);
  ASSERT_EQ(answers.size(), 1u);
  std::vector<std::string> described;
  for (const std::string& bytes : Values(Parsed(answers[0]), 1)) {
    google::protobuf::FileDescriptorProto file;
    ASSERT_TRUE(file.ParseFromString(bytes));
    for (const auto& service : file.service()) {
      described.push_back(file.package() + "." + service.name());
    }
  }
  EXPECT_THAT(described, ElementsAre("retort.v1.JobService"));
}

}  // namespace
}  // namespace retort::testing
