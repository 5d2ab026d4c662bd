// Who goes first, who makes room, and what is said about it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/integration/training_run.h"

namespace retort::testing {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class QueueTest : public TrainingRunTest {
 protected:
  void StartService(int slots) {
    service_.SetOptions({absl::StrCat("--cpu_slots=", slots), "--min_run=0"});
    service_.Start();
  }
  static json Brief(int threads) {
    json spec = TinyTeacher(data_->path(), 2);
    spec["resources"]["cpu_threads"] = threads;
    return spec;
  }
  std::string Explain(const std::string& job) {
    return service_.Json({"jobs", "explain", job})["explanation"];
  }
  bool AwaitExplanation(const std::string& job, const std::string& words) {
    return PollUntil(ServiceProcess::kPatience, [&] {
      return Explain(job).find(words) != std::string::npos;
    });
  }
};

TEST_F(QueueTest, ALowJobMakesRoomAndGoesOnBitForBit) {
  StartService(2);
  service_.Submit("run", Spec(), {"--priority-class", "low"});
  ASSERT_GT(service_.AwaitCheckpoint("run"), 0);
  const pid_t worker = service_.AwaitWorker("run");
  // It does not hear yet that it is to stop.
  kill(worker, SIGSTOP);
  service_.Submit("urgent", Brief(2), {"--priority-class", "high"});
  EXPECT_TRUE(AwaitExplanation("urgent",
                               "waits for 1 job of a lower class to write a "
                               "checkpoint and stop"))
      << Explain("urgent");
  EXPECT_EQ(service_.State("run"), "RUNNING");
  kill(worker, SIGCONT);
  ASSERT_EQ(service_.AwaitEnd("urgent"), "SUCCEEDED");
  ExpectSameResult(/*attempts=*/2);
  EXPECT_THAT(service_.Events("run"),
              HasSubstr("makes room for projects/default/jobs/urgent; goes on "
                        "from its checkpoint of step "));
  EXPECT_THAT(Explain("run"), HasSubstr("does not wait: it is SUCCEEDED"));
}

TEST_F(QueueTest, AServiceThatDiesWhileAJobStopsStillMakesRoom) {
  StartService(2);
  service_.Submit("run", Spec(), {"--priority-class", "low"});
  ASSERT_GT(service_.AwaitCheckpoint("run"), 0);
  const pid_t worker = service_.AwaitWorker("run");
  kill(worker, SIGSTOP);
  service_.Submit("urgent", Brief(2));
  ASSERT_TRUE(AwaitExplanation("urgent", "waits for 1 job of a lower class"))
      << Explain("urgent");
  service_.Kill();
  kill(worker, SIGCONT);
  service_.Start();
  ASSERT_EQ(service_.AwaitEnd("urgent"), "SUCCEEDED");
  ExpectSameResult(/*attempts=*/2);
}

TEST_F(QueueTest, AQuotaMakesJobsWaitAndIsSaidToBeWhy) {
  StartService(2);
  service_.Json({"quotas", "set", "default", "--max-jobs", "1"});
  service_.Submit("run", Spec());
  ASSERT_TRUE(service_.AwaitState("run", "RUNNING"));
  service_.Submit("second", Brief(1));
  const std::string why =
      "waits because project default is at its quota of 1 running job";
  EXPECT_TRUE(AwaitExplanation("second", why)) << Explain("second");
  EXPECT_EQ(service_.State("second"), "QUEUED");
  EXPECT_EQ(service_.Cli({"jobs", "explain", "second"}).out,
            absl::StrCat("second ", why, "\n"));
  const ProcessResult top = service_.Cli({"top", "--once"});
  EXPECT_EQ(top.code, 0) << top.err;
  EXPECT_THAT(top.out, AllOf(HasSubstr(why), HasSubstr("1/2"),
                             HasSubstr("\nPROJECTS\n")));
  const json quota = service_.Json({"quotas", "get", "default"});
  EXPECT_EQ(quota["running_jobs"], 1);
  EXPECT_EQ(quota["queued_jobs"], 1);
  EXPECT_EQ(service_.Error(6, {"quotas", "set", "default", "--weight", "2",
                               "--etag", "r0"})["reason"],
            "ETAG_MISMATCH");
  service_.Json({"quotas", "set", "default", "--max-jobs", "0"});
  EXPECT_EQ(service_.AwaitEnd("second"), "SUCCEEDED");
}

TEST_F(QueueTest, TwoProjectsShareByTheirWeights) {
  StartService(1);
  const std::string node = service_.Json({"nodes", "list"})["nodes"][0]["name"];
  service_.Json({"nodes", "drain", node, "--reason", "new disks"});
  service_.Json({"quotas", "set", "heavy", "--weight", "10"});
  for (const char* project : {"light", "heavy"}) {
    for (int i = 0; i < 3; ++i) {
      service_.Submit(absl::StrCat(project, i), Brief(1),
                      {"--project", project});
    }
  }
  const json queue = service_.Json({"queue"});
  std::vector<std::string> order;
  for (const json& entry : queue["entries"]) order.push_back(entry["job"]);
  EXPECT_THAT(
      order,
      ElementsAre("projects/light/jobs/light0", "projects/heavy/jobs/heavy0",
                  "projects/heavy/jobs/heavy1", "projects/heavy/jobs/heavy2",
                  "projects/light/jobs/light1", "projects/light/jobs/light2"));
  EXPECT_EQ(queue["entries"][0]["explanation"]["reason"], "REASON_NODES_DOWN");
  // Drained is drained, until somebody says otherwise.
  EXPECT_EQ(service_.Stop(), 0);
  service_.Start();
  EXPECT_THAT(service_.Cli({"nodes", "list"}).out,
              HasSubstr("drained by request: new disks"));
  service_.Json({"nodes", "undrain", node});
  std::map<std::string, std::string> started;  // to the job
  for (const std::string& job : order) {
    json seen;
    ASSERT_TRUE(PollUntil(ServiceProcess::kPatience, [&] {
      seen = service_.Json({"jobs", "get", job});
      return seen["state"] == "STATE_SUCCEEDED";
    })) << job;
    started[seen["start_time"]] = job;
  }
  std::vector<std::string> ran;
  for (const auto& [time, job] : started) ran.push_back(job);
  EXPECT_EQ(ran, order);
}

}  // namespace
}  // namespace retort::testing
