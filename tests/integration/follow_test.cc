// Commands that follow a job while retortd is killed and started again.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "tests/integration/training_run.h"

namespace retort::testing {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

class FollowTest : public TrainingRunTest {
 protected:
  static constexpr int kRestarts = 2;
  static constexpr int kSteps = 600;

  static void SetUpTestSuite() {
    data_ = std::make_unique<TempDir>();
    WriteSmallFashionMnist(data_->path());
  }

  // Starts `retort` with these arguments, its output in `out`.
  std::unique_ptr<ChildProcess> Follow(
      const std::vector<std::string>& arguments) {
    std::vector<std::string> argv = {absl::StrCat(RETORT_BIN_DIR, "/retort"),
                                     "--server", service_.grpc_address()};
    argv.insert(argv.end(), arguments.begin(), arguments.end());
    return std::make_unique<ChildProcess>(argv, out_, errors_);
  }

  // A run of some seconds.
  static json LongSpec() {
    return TinyTeacher(data_->path(), kSteps, /*checkpoint_every=*/50);
  }

  // Kills the server and starts it again on the same port, each time once the
  // follower has heard something new.
  void KillAndStartWhileItFollows(ChildProcess* follower) {
    const std::string address = service_.grpc_address();
    for (int i = 0; i < kRestarts; ++i) {
      const size_t heard = Slurp(out_).size();
      ASSERT_TRUE(PollUntil(ServiceProcess::kPatience, [&] {
        return Slurp(out_).size() > heard || follower->TryWait().has_value();
      })) << Slurp(errors_);
      // On a machine that stood still for long the run may be over by now.
      if (follower->TryWait().has_value()) {
        ASSERT_GT(i, 0) << Slurp(errors_);
        return;
      }
      service_.Kill();
      service_.Start(address);
    }
  }

  // Numbers of the stored events in what a watcher printed, one a line.
  static std::vector<int> EventsIn(const std::string& text) {
    std::vector<int> numbers;
    for (absl::string_view line : absl::StrSplit(text, '\n')) {
      if (line.empty()) continue;
      const json update = json::parse(std::string(line), nullptr, false);
      EXPECT_FALSE(update.is_discarded()) << std::string(line);
      if (update["event"]["kind"] == "KIND_PROGRESS") continue;
      numbers.push_back(
          std::stoi(update["event"]["number"].get<std::string>()));
    }
    return numbers;
  }

  std::string out_ = service_.dir() / "followed";
  std::string errors_ = service_.dir() / "follower.log";
};

TEST_F(FollowTest, AWatcherSeesEachEventOnceThoughTheServerIsKilled) {
  service_.Start();
  service_.Submit("run", LongSpec());
  const auto watcher = Follow({"--json", "jobs", "watch", "run"});
  KillAndStartWhileItFollows(watcher.get());
  EXPECT_EQ(watcher->Wait(ServiceProcess::kPatience), 0) << Slurp(errors_);
  ASSERT_EQ(service_.State("run"), "SUCCEEDED");
  const std::vector<int> seen = EventsIn(Slurp(out_));
  const ProcessResult whole = service_.Cli({"--json", "jobs", "watch", "run"});
  EXPECT_EQ(seen, EventsIn(whole.out));
  ASSERT_FALSE(seen.empty());
  for (size_t i = 0; i < seen.size(); ++i) {
    EXPECT_EQ(seen[i], static_cast<int>(i) + 1);
  }
}

TEST_F(FollowTest, AWatcherOfAJobItSubmittedEndsWithTheJob) {
  service_.Start();
  const auto watcher = Follow({"jobs", "submit", "--id", "run", "--watch", "-f",
                               service_.JobFile(LongSpec())});
  KillAndStartWhileItFollows(watcher.get());
  EXPECT_EQ(watcher->Wait(ServiceProcess::kPatience), 0) << Slurp(errors_);
  EXPECT_THAT(Slurp(out_), HasSubstr("model: run"));
}

TEST_F(FollowTest, ALogIsFollowedOverARestartLineByLine) {
  service_.Start();
  service_.Submit("run", LongSpec());
  const auto follower = Follow({"jobs", "logs", "run", "-f"});
  KillAndStartWhileItFollows(follower.get());
  EXPECT_EQ(follower->Wait(ServiceProcess::kPatience), 0) << Slurp(errors_);
  ASSERT_EQ(service_.State("run"), "SUCCEEDED");
  EXPECT_EQ(Slurp(out_), service_.Cli({"jobs", "logs", "run"}).out);
  EXPECT_THAT(Slurp(out_),
              HasSubstr(absl::StrCat("step ", kSteps, "/", kSteps)));
}

TEST_F(FollowTest, AServerThatWasNeverThereIsNotWaitedFor) {
  service_.Start();
  service_.Kill();
  const ProcessResult result = service_.Cli({"jobs", "logs", "run", "-f"});
  EXPECT_EQ(result.code, 5);
  EXPECT_THAT(result.err, HasSubstr("no answer from"));
}

}  // namespace
}  // namespace retort::testing
