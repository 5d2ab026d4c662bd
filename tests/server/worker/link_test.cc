#include "server/worker/link.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"

namespace retort::worker {
namespace {

using internal::v1::AttachRequest;
using internal::v1::AttachResponse;
using internal::v1::Control;

// A server that keeps what workers say and says what the test wants.
class FakeServer : public internal::v1::WorkerService::Service {
 public:
  using Stream = grpc::ServerReaderWriter<AttachResponse, AttachRequest>;

  grpc::Status Attach(grpc::ServerContext* context, Stream* stream) override {
    AttachRequest hello;
    if (!stream->Read(&hello)) return grpc::Status::OK;
    {
      absl::MutexLock lock(&mutex_);
      hellos_.push_back(hello.hello());
      if (!refusal_.ok()) return refusal_;
      // One write at a time: all are under the lock.
      AttachResponse assignment;
      assignment.mutable_assignment()->set_threads(1);
      stream->Write(assignment);
      stream_ = stream;
    }
    AttachRequest request;
    while (stream->Read(&request)) {
      if (!Keep(request, stream)) break;
    }
    absl::MutexLock lock(&mutex_);
    stream_ = nullptr;
    return grpc::Status::OK;
  }

  void Refuse(grpc::Status status) {
    absl::MutexLock lock(&mutex_);
    refusal_ = std::move(status);
  }

  // Ends the stream when it hears the next warning.
  void BreakAtWarning() {
    absl::MutexLock lock(&mutex_);
    break_at_warning_ = true;
  }

  // Answers a task's end only when it hears it for this time.
  void AcknowledgeEndNumber(int n) {
    absl::MutexLock lock(&mutex_);
    acknowledged_end_ = n;
  }

  void Say(const AttachResponse& response) {
    absl::MutexLock lock(&mutex_);
    auto there = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      return stream_ != nullptr;
    };
    mutex_.Await(absl::Condition(&there));
    stream_->Write(response);
  }

  // Waits until `n` messages of the kind have come; returns them all.
  std::vector<AttachRequest> Await(AttachRequest::MessageCase kind, size_t n) {
    absl::MutexLock lock(&mutex_);
    auto enough = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      return Heard(kind).size() >= n;
    };
    mutex_.AwaitWithTimeout(absl::Condition(&enough), absl::Seconds(20));
    return Heard(kind);
  }

  std::vector<internal::v1::Hello> hellos() {
    absl::MutexLock lock(&mutex_);
    return hellos_;
  }

 private:
  std::vector<AttachRequest> Heard(AttachRequest::MessageCase kind)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    std::vector<AttachRequest> heard;
    for (const AttachRequest& m : heard_) {
      if (m.message_case() == kind) heard.push_back(m);
    }
    return heard;
  }

  bool Keep(const AttachRequest& request, Stream* stream) {
    absl::MutexLock lock(&mutex_);
    heard_.push_back(request);
    if (request.has_warning() && break_at_warning_) {
      break_at_warning_ = false;
      return false;
    }
    if (request.has_ended() && ++ends_ == acknowledged_end_) {
      AttachResponse answer;
      answer.mutable_acknowledged();
      stream->Write(answer);
    }
    return true;
  }

  absl::Mutex mutex_;
  grpc::Status refusal_ ABSL_GUARDED_BY(mutex_);
  bool break_at_warning_ ABSL_GUARDED_BY(mutex_) = false;
  int acknowledged_end_ ABSL_GUARDED_BY(mutex_) = 1;
  int ends_ ABSL_GUARDED_BY(mutex_) = 0;
  std::vector<internal::v1::Hello> hellos_ ABSL_GUARDED_BY(mutex_);
  std::vector<AttachRequest> heard_ ABSL_GUARDED_BY(mutex_);
  Stream* stream_ ABSL_GUARDED_BY(mutex_) = nullptr;
};

class FakeHandler : public LinkHandler {
 public:
  void OnAssignment(const internal::v1::Assignment&) override {
    absl::MutexLock lock(&mutex_);
    ++assignments_;
  }
  void OnControl(const Control& control) override {
    absl::MutexLock lock(&mutex_);
    controls_.push_back(control.action());
  }
  void OnSample(const internal::v1::SampleTask&) override {}
  void OnDetached() override {
    absl::MutexLock lock(&mutex_);
    ++detached_;
  }
  void OnFenced(const std::string& reason) override {
    absl::MutexLock lock(&mutex_);
    fenced_ = reason;
  }
  void OnLeaseEnded() override {
    absl::MutexLock lock(&mutex_);
    lease_ended_ = true;
  }

  template <typename Predicate>
  bool Await(Predicate predicate) {
    absl::MutexLock lock(&mutex_);
    auto done = [&] { return predicate(*this); };
    return mutex_.AwaitWithTimeout(absl::Condition(&done), absl::Seconds(20));
  }

  absl::Mutex mutex_;
  int assignments_ = 0;
  int detached_ = 0;
  bool lease_ended_ = false;
  std::string fenced_;
  std::vector<Control::Action> controls_;
};

class LinkTest : public ::testing::Test {
 protected:
  LinkTest() {
    char name[] = "/tmp/retort-link-XXXXXX";
    dir_ = mkdtemp(name);
    options_.server = absl::StrCat("unix:", dir_, "/s");
    options_.subject = "projects/default/jobs/j";
    options_.epoch = 3;
    options_.token = "secret";
    options_.redial = absl::Milliseconds(5);
    options_.heartbeat = absl::Milliseconds(20);
    options_.lease = absl::Seconds(20);
  }
  ~LinkTest() override {
    link_.reset();
    StopServer();
    unlink(absl::StrCat(dir_, "/s").c_str());
    rmdir(dir_.c_str());
  }

  void StartServer() {
    grpc::ServerBuilder builder;
    builder.AddListeningPort(options_.server,
                             grpc::InsecureServerCredentials());
    builder.RegisterService(&server_);
    grpc_server_ = builder.BuildAndStart();
    ASSERT_NE(grpc_server_, nullptr);
  }
  void StopServer() {
    if (grpc_server_) grpc_server_->Shutdown(std::chrono::system_clock::now());
    grpc_server_.reset();
  }
  void StartLink() {
    link_ = std::make_unique<Link>(options_, &handler_);
    link_->Start();
  }

  std::string dir_;
  LinkOptions options_;
  FakeServer server_;
  FakeHandler handler_;
  std::unique_ptr<grpc::Server> grpc_server_;
  std::unique_ptr<Link> link_;
};

internal::v1::Progress ProgressAt(int64_t step) {
  internal::v1::Progress progress;
  progress.mutable_progress()->set_step(step);
  return progress;
}

TEST_F(LinkTest, SaysWhoItIsAndHandsTheAssignmentOn) {
  StartServer();
  StartLink();
  EXPECT_TRUE(handler_.Await([](auto& h) { return h.assignments_ == 1; }));
  ASSERT_EQ(server_.hellos().size(), 1);
  EXPECT_EQ(server_.hellos()[0].subject(), "projects/default/jobs/j");
  EXPECT_EQ(server_.hellos()[0].epoch(), 3);
  EXPECT_EQ(server_.hellos()[0].token(), "secret");
  EXPECT_FALSE(server_.hellos()[0].resumed());
}

TEST_F(LinkTest, BeatsWithTheCurrentStep) {
  StartServer();
  StartLink();
  link_->SetStep(41);
  auto beats = server_.Await(AttachRequest::kHeartbeat, 3);
  ASSERT_GE(beats.size(), 3);
  EXPECT_EQ(beats.back().heartbeat().step(), 41);
}

TEST_F(LinkTest, BeatsWithWhatTheTaskIsAt) {
  StartServer();
  StartLink();
  link_->SetActivity("training", false);
  link_->SetActivity("all-reduce", true);
  const auto beat =
      server_.Await(AttachRequest::kHeartbeat, 5).back().heartbeat();
  EXPECT_EQ(beat.activity(), "all-reduce");
  EXPECT_TRUE(beat.waiting());
  EXPECT_GE(beat.activity_ms(), 0);
}

TEST_F(LinkTest, SaysWhichRankItIsAndRepeatsWhereToMeet) {
  options_.rank = 2;
  StartServer();
  StartLink();
  ASSERT_TRUE(handler_.Await([](auto& h) { return h.assignments_ == 1; }));
  internal::v1::Rendezvous rendezvous;
  rendezvous.set_port(4711);
  link_->SendRendezvous(rendezvous);
  server_.Await(AttachRequest::kRendezvous, 1);
  server_.BreakAtWarning();
  link_->SendWarning("break now");
  const auto said = server_.Await(AttachRequest::kRendezvous, 2);
  ASSERT_EQ(said.size(), 2);
  EXPECT_EQ(said[1].rendezvous().port(), 4711);
  EXPECT_EQ(server_.hellos()[1].rank(), 2);
}

TEST_F(LinkTest, KeepsProgressUntilThereIsAServer) {
  StartLink();
  for (int i = 1; i <= 5; ++i) link_->SendProgress(ProgressAt(i));
  StartServer();
  auto progress = server_.Await(AttachRequest::kProgress, 5);
  ASSERT_EQ(progress.size(), 5);
  EXPECT_EQ(progress[4].progress().progress().step(), 5);
}

TEST_F(LinkTest, ThinsProgressThatWaitsButKeepsTheNewest) {
  options_.max_waiting_progress = 8;
  StartLink();
  for (int i = 1; i <= 21; ++i) link_->SendProgress(ProgressAt(i));
  StartServer();
  ASSERT_FALSE(server_.Await(AttachRequest::kProgress, 4).empty());
  ASSERT_TRUE(link_->Flush(absl::Seconds(20)));
  link_->SendWarning("last");
  server_.Await(AttachRequest::kWarning, 1);
  auto progress = server_.Await(AttachRequest::kProgress, 1);
  EXPECT_LE(progress.size(), 9);
  EXPECT_EQ(progress.back().progress().progress().step(), 21);
}

TEST_F(LinkTest, AttachesAgainAndRepeatsCheckpoints) {
  StartServer();
  StartLink();
  internal::v1::CheckpointWritten written;
  written.mutable_checkpoint()->set_step(500);
  ASSERT_TRUE(handler_.Await([](auto& h) { return h.assignments_ == 1; }));
  link_->SendCheckpoint(written);
  server_.Await(AttachRequest::kCheckpoint, 1);
  server_.BreakAtWarning();
  link_->SendWarning("break now");
  auto checkpoints = server_.Await(AttachRequest::kCheckpoint, 2);
  ASSERT_EQ(checkpoints.size(), 2);
  EXPECT_EQ(checkpoints[1].checkpoint().checkpoint().step(), 500);
  EXPECT_TRUE(server_.hellos()[1].resumed());
  EXPECT_TRUE(handler_.Await([](auto& h) { return h.detached_ == 1; }));
}

TEST_F(LinkTest, RepeatsTheLastProgressBeforeWhatIsNew) {
  StartServer();
  StartLink();
  for (int i = 1; i <= 20; ++i) link_->SendProgress(ProgressAt(i));
  server_.Await(AttachRequest::kProgress, 20);
  server_.BreakAtWarning();
  link_->SendWarning("break now");
  ASSERT_TRUE(handler_.Await([](auto& h) { return h.detached_ == 1; }));
  link_->SendProgress(ProgressAt(21));
  const auto heard = server_.Await(AttachRequest::kProgress, 20 + 16 + 1);
  ASSERT_EQ(heard.size(), 20u + 16 + 1);
  for (int i = 0; i <= 16; ++i) {
    EXPECT_EQ(heard[20 + i].progress().progress().step(), 5 + i);
  }
}

TEST_F(LinkTest, HandsOnlyTheFirstAssignmentOn) {
  StartServer();
  StartLink();
  server_.BreakAtWarning();
  link_->SendWarning("break now");
  ASSERT_TRUE(handler_.Await([](auto& h) { return h.detached_ == 1; }));
  link_->SendWarning("after");
  server_.Await(AttachRequest::kWarning, 2);
  EXPECT_TRUE(handler_.Await([](auto& h) { return h.assignments_ == 1; }));
}

TEST_F(LinkTest, RepeatsTheEndUntilItIsAcknowledged) {
  StartServer();
  StartLink();
  server_.AcknowledgeEndNumber(3);
  internal::v1::TaskEnded ended;
  ended.set_outcome(internal::v1::TaskEnded::OUTCOME_SUCCEEDED);
  EXPECT_TRUE(link_->End(ended, absl::Seconds(20)));
  EXPECT_GE(server_.Await(AttachRequest::kEnded, 3).size(), 3);
}

TEST_F(LinkTest, GivesTheEndUpWhenNobodyListens) {
  StartLink();
  EXPECT_FALSE(link_->End(internal::v1::TaskEnded(), absl::Milliseconds(10)));
}

TEST_F(LinkTest, ReportsThatItIsFencedOff) {
  StartServer();
  StartLink();
  AttachResponse response;
  response.mutable_control()->set_action(Control::ACTION_FENCED);
  response.mutable_control()->set_reason("epoch 4 runs");
  server_.Say(response);
  EXPECT_TRUE(
      handler_.Await([](auto& h) { return h.fenced_ == "epoch 4 runs"; }));
}

TEST_F(LinkTest, TreatsARefusedTokenAsFenced) {
  server_.Refuse(
      grpc::Status(grpc::StatusCode::PERMISSION_DENIED, "wrong token"));
  StartServer();
  StartLink();
  EXPECT_TRUE(
      handler_.Await([](auto& h) { return h.fenced_ == "wrong token"; }));
}

TEST_F(LinkTest, HandsControlsOn) {
  StartServer();
  StartLink();
  AttachResponse response;
  response.mutable_control()->set_action(Control::ACTION_CANCEL);
  server_.Say(response);
  EXPECT_TRUE(handler_.Await([](auto& h) {
    return h.controls_ == std::vector<Control::Action>{Control::ACTION_CANCEL};
  }));
}

TEST_F(LinkTest, SaysWhenTheLeaseEnds) {
  options_.lease = absl::Milliseconds(20);
  StartLink();
  EXPECT_TRUE(handler_.Await([](auto& h) { return h.lease_ended_; }));
  EXPECT_TRUE(link_->lease_over());
}

TEST_F(LinkTest, DropsAnswersThatNobodyWaitsForAnyMore) {
  StartLink();
  internal::v1::SampleAnswer answer;
  answer.set_id(7);
  link_->SendAnswer(answer);
  link_->SendWarning("after");
  StartServer();
  server_.Await(AttachRequest::kWarning, 1);
  EXPECT_TRUE(server_.Await(AttachRequest::kSample, 0).empty());
}

}  // namespace
}  // namespace retort::worker
