#include "server/executor/worker_links.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/sha256.h"
#include "tests/support/fake_worker_session.h"
#include "tests/support/status_matchers.h"

namespace retort::executor {
namespace {

using ::retort::testing::FakeWorkerSession;
using ::retort::testing::IsOk;
using ::retort::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr char kLinkedJob[] = "projects/p/jobs/j";

// Writes down what it hears.
class Recorder : public WorkerListener {
 public:
  void OnAttached(const std::string&, int64_t, const internal::v1::Hello&,
                  std::shared_ptr<WorkerSession>) override {
    heard.push_back("attached");
  }
  void OnMessage(const std::string&, int64_t, int,
                 const internal::v1::AttachRequest&) override {
    heard.push_back("message");
  }
  void OnDetached(const std::string&, int64_t, int) override {
    heard.push_back("detached");
  }
  void OnExited(const std::string&, int64_t, const ExitStatus& exit) override {
    heard.push_back(exit.ToString());
  }
  std::vector<std::string> heard;
};

class WorkerLinksTest : public ::testing::Test {
 protected:
  WorkerLinksTest() {
    links_.SetListener("jobs", &jobs_);
    links_.SetListener("deployments", &deployments_);
  }
  static internal::v1::Hello Hello(const std::string& token,
                                   int64_t epoch = 1) {
    internal::v1::Hello hello;
    hello.set_subject(kLinkedJob);
    hello.set_epoch(epoch);
    hello.set_token(token);
    return hello;
  }

  Recorder jobs_, deployments_;
  WorkerLinks links_;
};

TEST_F(WorkerLinksTest, AdmitsOnlyWhoIsExpectedWithTheRightToken) {
  links_.Expect(kLinkedJob, 1, base::Sha256Hex("secret"));
  EXPECT_THAT(links_.Admit(Hello("secret")), IsOk());
  EXPECT_THAT(links_.Admit(Hello("guess")),
              StatusIs(absl::StatusCode::kPermissionDenied));
  EXPECT_THAT(links_.Admit(Hello("secret", 2)),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  links_.Forget(kLinkedJob, 1);
  EXPECT_THAT(links_.Admit(Hello("secret")),
              StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST_F(WorkerLinksTest, TellsTheListenerOfTheSubjectsCollection) {
  links_.Attached(Hello("x"), std::make_shared<FakeWorkerSession>());
  links_.Exited(kLinkedJob, 1, {.signal = 9});
  EXPECT_THAT(jobs_.heard,
              ElementsAre("attached", "killed by signal 9 (Killed)"));
  EXPECT_THAT(deployments_.heard, IsEmpty());
}

TEST_F(WorkerLinksTest, LetsANewStreamTakeTheOldOnesPlace) {
  auto first = std::make_shared<FakeWorkerSession>();
  auto second = std::make_shared<FakeWorkerSession>();
  links_.Attached(Hello("x"), first);
  links_.Attached(Hello("x"), second);
  // The break of the first stream is noticed only now.
  links_.Message(kLinkedJob, 1, 0, first.get(), {});
  links_.Detached(kLinkedJob, 1, 0, first.get());
  links_.Message(kLinkedJob, 1, 0, second.get(), {});
  links_.Detached(kLinkedJob, 1, 0, second.get());
  EXPECT_THAT(jobs_.heard, ElementsAre("attached", "detached", "attached",
                                       "message", "detached"));
}

TEST_F(WorkerLinksTest, KeepsTheStreamsOfRanksApart) {
  auto first = std::make_shared<FakeWorkerSession>();
  auto second = std::make_shared<FakeWorkerSession>();
  links_.Attached(Hello("x"), first);
  internal::v1::Hello other = Hello("x");
  other.set_rank(1);
  links_.Attached(other, second);
  links_.Message(kLinkedJob, 1, 0, first.get(), {});
  links_.Detached(kLinkedJob, 1, 1, second.get());
  EXPECT_THAT(jobs_.heard,
              ElementsAre("attached", "attached", "message", "detached"));
}

TEST_F(WorkerLinksTest, AdmitsNoRankBelowZero) {
  links_.Expect(kLinkedJob, 1, base::Sha256Hex("secret"));
  internal::v1::Hello hello = Hello("secret");
  hello.set_rank(-1);
  EXPECT_THAT(links_.Admit(hello),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace retort::executor
