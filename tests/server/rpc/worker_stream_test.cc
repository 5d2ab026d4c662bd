#include "server/rpc/worker_stream.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>

#include "core/base/sha256.h"
#include "server/rpc/status.h"
#include "server/rpc/worker_service.h"
#include "tests/support/status_matchers.h"

namespace retort::rpc {
namespace {

using internal::v1::AttachRequest;
using internal::v1::AttachResponse;
using ::retort::testing::StatusIs;

constexpr char kJob[] = "projects/p/jobs/j";

// Answers each heartbeat with a control message, and lets a test wait for the
// end of the stream.
class EchoListener : public executor::WorkerListener {
 public:
  void OnAttached(const std::string&, int64_t, const internal::v1::Hello&,
                  std::shared_ptr<executor::WorkerSession> session) override {
    absl::MutexLock lock(&mutex_);
    session_ = std::move(session);
  }
  void OnMessage(const std::string&, int64_t, int,
                 const AttachRequest& message) override {
    AttachResponse response;
    response.mutable_control()->set_reason(
        std::to_string(message.heartbeat().step()));
    session()->Send(response);
  }
  void OnDetached(const std::string&, int64_t, int) override {
    absl::MutexLock lock(&mutex_);
    session_.reset();
    detached_ = true;
  }
  void OnExited(const std::string&, int64_t,
                const executor::ExitStatus&) override {}

  std::shared_ptr<executor::WorkerSession> session() {
    absl::MutexLock lock(&mutex_);
    return session_;
  }
  void AwaitDetached() {
    absl::MutexLock lock(&mutex_);
    mutex_.Await(absl::Condition(&detached_));
  }

 private:
  absl::Mutex mutex_;
  std::shared_ptr<executor::WorkerSession> session_ ABSL_GUARDED_BY(mutex_);
  bool detached_ ABSL_GUARDED_BY(mutex_) = false;
};

class WorkerStreamTest : public ::testing::Test {
 protected:
  WorkerStreamTest() {
    links_.SetListener("jobs", &listener_);
    links_.Expect(kJob, 1, base::Sha256Hex("secret"));
    grpc::ServerBuilder builder;
    builder.RegisterService(&service_);
    server_ = builder.BuildAndStart();
    stub_ = internal::v1::WorkerService::NewStub(
        server_->InProcessChannel(grpc::ChannelArguments()));
    stream_ = stub_->Attach(&context_);
  }
  ~WorkerStreamTest() override {
    server_->Shutdown(std::chrono::system_clock::now());
    server_->Wait();
  }

  void SayHello(const std::string& token) {
    AttachRequest message;
    message.mutable_hello()->set_subject(kJob);
    message.mutable_hello()->set_epoch(1);
    message.mutable_hello()->set_token(token);
    ASSERT_TRUE(stream_->Write(message));
  }
  void Beat(int64_t step) {
    AttachRequest message;
    message.mutable_heartbeat()->set_step(step);
    ASSERT_TRUE(stream_->Write(message));
  }
  std::string ReadReason() {
    AttachResponse response;
    return stream_->Read(&response) ? response.control().reason() : "end";
  }

  EchoListener listener_;
  executor::WorkerLinks links_;
  WorkerService service_{&links_};
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<internal::v1::WorkerService::Stub> stub_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<AttachRequest, AttachResponse>>
      stream_;
};

TEST_F(WorkerStreamTest, CarriesMessagesBothWaysInOrder) {
  SayHello("secret");
  for (int64_t step : {1, 2, 3}) Beat(step);
  EXPECT_EQ(ReadReason(), "1");
  EXPECT_EQ(ReadReason(), "2");
  EXPECT_EQ(ReadReason(), "3");
  stream_->WritesDone();
  EXPECT_EQ(ReadReason(), "end");
  EXPECT_TRUE(stream_->Finish().ok());
  listener_.AwaitDetached();
}

TEST_F(WorkerStreamTest, RefusesAWrongToken) {
  SayHello("guess");
  EXPECT_EQ(ReadReason(), "end");
  EXPECT_THAT(FromGrpc(stream_->Finish()),
              StatusIs(absl::StatusCode::kPermissionDenied));
  EXPECT_EQ(listener_.session(), nullptr);
}

TEST_F(WorkerStreamTest, AsksForAHelloFirst) {
  Beat(1);
  EXPECT_EQ(ReadReason(), "end");
  EXPECT_THAT(FromGrpc(stream_->Finish()),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(WorkerStreamTest, SendsWhatIsQueuedBeforeItCloses) {
  SayHello("secret");
  Beat(1);
  EXPECT_EQ(ReadReason(), "1");
  auto session = listener_.session();
  for (const char* reason : {"a", "b"}) {
    AttachResponse response;
    response.mutable_control()->set_reason(reason);
    session->Send(response);
  }
  session->Close(absl::UnavailableError("come again"));
  EXPECT_EQ(ReadReason(), "a");
  EXPECT_EQ(ReadReason(), "b");
  EXPECT_EQ(ReadReason(), "end");
  EXPECT_THAT(FromGrpc(stream_->Finish()),
              StatusIs(absl::StatusCode::kUnavailable));
  session->Send(AttachResponse());  // nobody is there: dropped
}

TEST_F(WorkerStreamTest, TellsWhenTheWorkerIsGone) {
  SayHello("secret");
  Beat(1);
  EXPECT_EQ(ReadReason(), "1");
  context_.TryCancel();
  listener_.AwaitDetached();
  EXPECT_FALSE(stream_->Finish().ok());
}

}  // namespace
}  // namespace retort::rpc
