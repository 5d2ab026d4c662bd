// A request that is repeated, however often and whenever, makes one job.
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "retort/v1/job_service.grpc.pb.h"
#include "tests/support/service_process.h"

namespace retort::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::SizeIs;

constexpr int kCalls = 1000;
constexpr int kChannels = 16;

class RequestIdTest : public ::testing::Test {
 protected:
  RequestIdTest() { service_.Start(); }

  std::unique_ptr<v1::JobService::Stub> NewStub() {
    grpc::ChannelArguments args;
    args.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);  // one connection each
    return v1::JobService::NewStub(grpc::CreateCustomChannel(
        service_.grpc_address(), grpc::InsecureChannelCredentials(), args));
  }

  // A job that cannot run here and so stays in the queue, or fails: either way
  // it is one.
  static v1::CreateJobRequest CreateRequest() {
    v1::CreateJobRequest request;
    request.set_parent("projects/default");
    request.set_request_id("r-create");
    auto* task = request.mutable_job()->mutable_spec()->mutable_train_teacher();
    task->mutable_training()->set_iterations(10);
    task->mutable_data()->set_path("/nowhere");
    return request;
  }

  // Makes all calls before it reads the first answer, and returns the names of
  // the jobs that they were answered with.
  template <typename Request>
  std::set<std::string> CallAtOnce(
      std::unique_ptr<grpc::ClientAsyncResponseReader<v1::Job>> (
          v1::JobService::Stub::*method)(grpc::ClientContext*, const Request&,
                                         grpc::CompletionQueue*),
      const Request& request) {
    struct Call {
      grpc::ClientContext context;
      grpc::Status status;
      v1::Job job;
      std::unique_ptr<grpc::ClientAsyncResponseReader<v1::Job>> reader;
    };
    std::vector<std::unique_ptr<v1::JobService::Stub>> stubs;
    for (int i = 0; i < kChannels; ++i) stubs.push_back(NewStub());
    grpc::CompletionQueue queue;
    std::vector<Call> calls(kCalls);
    for (int i = 0; i < kCalls; ++i) {
      calls[i].reader = (stubs[i % kChannels].get()->*method)(&calls[i].context,
                                                              request, &queue);
      calls[i].reader->Finish(&calls[i].job, &calls[i].status, &calls[i]);
    }
    std::set<std::string> names;
    for (int i = 0; i < kCalls; ++i) {
      void* tag = nullptr;
      bool ok = false;
      EXPECT_TRUE(queue.Next(&tag, &ok) && ok);
      const Call& call = *static_cast<Call*>(tag);
      EXPECT_TRUE(call.status.ok()) << call.status.error_message();
      names.insert(call.job.name());
    }
    queue.Shutdown();
    void* tag = nullptr;
    bool ok = false;
    while (queue.Next(&tag, &ok)) {
    }
    return names;
  }

  std::vector<std::string> JobsListed() {
    grpc::ClientContext context;
    v1::ListJobsRequest request;
    request.set_parent("projects/default");
    v1::ListJobsResponse response;
    const grpc::Status status =
        NewStub()->ListJobs(&context, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    std::vector<std::string> names;
    for (const v1::Job& job : response.jobs()) names.push_back(job.name());
    return names;
  }

  ServiceProcess service_;
};

TEST_F(RequestIdTest, AThousandConcurrentRequestsOfOneIdMakeOneJob) {
  const auto names =
      CallAtOnce(&v1::JobService::Stub::AsyncCreateJob, CreateRequest());
  ASSERT_THAT(names, SizeIs(1));
  EXPECT_THAT(JobsListed(), ElementsAre(*names.begin()));
  // A server that was killed has not forgotten.
  service_.Kill();
  service_.Start();
  grpc::ClientContext context;
  v1::Job job;
  const grpc::Status status =
      NewStub()->CreateJob(&context, CreateRequest(), &job);
  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(job.name(), *names.begin());
  EXPECT_THAT(JobsListed(), SizeIs(1));
}

TEST_F(RequestIdTest, AJobIdOfTheCallersIsNotTakenByARepetition) {
  v1::CreateJobRequest request = CreateRequest();
  request.set_job_id("mine");
  EXPECT_THAT(CallAtOnce(&v1::JobService::Stub::AsyncCreateJob, request),
              ElementsAre("projects/default/jobs/mine"));
}

TEST_F(RequestIdTest, AThousandConcurrentClonesOfOneIdMakeOneJob) {
  v1::CreateJobRequest original = CreateRequest();
  original.set_job_id("original");
  grpc::ClientContext context;
  v1::Job job;
  ASSERT_TRUE(NewStub()->CreateJob(&context, original, &job).ok());
  v1::CloneJobRequest clone;
  clone.set_name(job.name());
  clone.set_request_id("r-clone");
  const auto names = CallAtOnce(&v1::JobService::Stub::AsyncCloneJob, clone);
  ASSERT_THAT(names, SizeIs(1));
  EXPECT_THAT(JobsListed(), ElementsAre(*names.begin(), job.name()));
  service_.Kill();
  service_.Start();
  grpc::ClientContext again;
  v1::Job repeated;
  ASSERT_TRUE(NewStub()->CloneJob(&again, clone, &repeated).ok());
  EXPECT_EQ(repeated.name(), *names.begin());
  // The same id for another kind of request is a mistake.
  v1::CreateJobRequest other = CreateRequest();
  other.set_request_id("r-clone");
  grpc::ClientContext third;
  EXPECT_EQ(NewStub()->CreateJob(&third, other, &repeated).error_code(),
            grpc::StatusCode::ALREADY_EXISTS);
}

}  // namespace
}  // namespace retort::testing
