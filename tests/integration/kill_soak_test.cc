// kill -9 of server and workers at random points: the same run comes out.
//
// RETORT_SOAK_KILLS   kill points in all (default: a handful)
// RETORT_SOAK_SEED    of what is killed when; another seed, other points
// RETORT_SOAK_REPORT  file for the counts, as JSON
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "tests/support/service_process.h"
#include "tests/support/small_fashion_mnist.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tiny_specs.h"

namespace retort::testing {
namespace {

using nlohmann::json;

int FromEnvironment(const char* name, int otherwise) {
  int value = otherwise;
  const char* text = std::getenv(name);
  if (text != nullptr) {
    EXPECT_TRUE(absl::SimpleAtoi(text, &value)) << name;
  }
  return value;
}

enum class Victim { kServer, kRank0, kRank1, kGang, kServerAndRank, kAll };

constexpr const char* kNames[] = {"server",
                                  "rank 0",
                                  "rank 1",
                                  "all ranks",
                                  "server and one rank",
                                  "server and all ranks"};

class KillSoakTest : public ::testing::Test {
 protected:
  static constexpr int kIterations = 80;
  static constexpr int kCheckpointEvery = 5;
  // Losses in a row without a new checkpoint; with one more the job would be
  // given up, as it should be.
  static constexpr int kMaxFailures = 3;

  void SetUp() override {
    WriteSmallFashionMnist(data_.path());
    service_.SetOptions({"--cpu_slots=2"});
    service_.Start();
  }

  json Spec(int world) const {
    json spec = TinyTeacher(data_.path(), kIterations, kCheckpointEvery);
    spec["resources"]["world_size"] = world;
    return spec;
  }

  std::string Weights(const std::string& job) {
    return service_.Json({"models", "get", job})["weights_sha256"];
  }

  std::string Undisturbed(int world) {
    const std::string job = absl::StrCat("undisturbed-", world);
    service_.Submit(job, Spec(world));
    EXPECT_EQ(service_.AwaitEnd(job), "SUCCEEDED");
    return Weights(job);
  }

  // Kills what there is of the victim; false if there was nothing to kill.
  bool Strike(Victim victim, const std::string& job) {
    std::vector<pid_t> ranks = service_.RanksOf(job);
    const bool server = victim == Victim::kServer ||
                        victim == Victim::kServerAndRank ||
                        victim == Victim::kAll;
    if (victim == Victim::kServer) {
      ranks.clear();
    } else if (ranks.empty()) {
      return false;
    } else if (victim == Victim::kRank0) {
      ranks.resize(1);
    } else if (victim == Victim::kRank1 || victim == Victim::kServerAndRank) {
      ranks = {ranks.back()};
    }
    if (server) service_.Kill();
    for (const pid_t rank : ranks) kill(rank, SIGKILL);
    if (server) {
      absl::SleepFor(Between(0, 1500));
      service_.Start();
    }
    return true;
  }

  absl::Duration Between(int low_ms, int high_ms) {
    return absl::Milliseconds(
        std::uniform_int_distribution<int>(low_ms, high_ms)(random_));
  }

  // One job, killed up to `kills` times; returns how often it was.
  int Disturb(const std::string& job, int world, int kills) {
    service_.Submit(job, Spec(world));
    int done = 0, failures = 0;
    int64_t newest = 0;
    while (done < kills) {
      absl::SleepFor(Between(20, 4000));
      const std::string state = service_.State(job);
      if (state == "SUCCEEDED" || state == "FAILED") break;
      const std::vector<int64_t> steps = service_.CheckpointsOnDisk(job);
      if (!steps.empty() && steps.back() > newest) {
        newest = steps.back();
        failures = 0;
      }
      const Victim victim = static_cast<Victim>(
          std::uniform_int_distribution<int>(0, 5)(random_));
      if (world == 1 && victim == Victim::kRank1) continue;
      if (victim != Victim::kServer && failures + 1 > kMaxFailures - 1) {
        service_.AwaitCheckpoint(job, newest);
        continue;
      }
      if (!Strike(victim, job)) continue;
      if (victim != Victim::kServer) ++failures;
      ++struck_[kNames[static_cast<int>(victim)]];
      ++done;
    }
    return done;
  }

  TempDir data_;
  ServiceProcess service_;
  std::mt19937 random_{
      static_cast<uint32_t>(FromEnvironment("RETORT_SOAK_SEED", 1))};
  std::map<std::string, int> struck_;
};

TEST_F(KillSoakTest, WhateverIsKilledWhenTheWeightsAreTheSame) {
  const int wanted = FromEnvironment("RETORT_SOAK_KILLS", 6);
  const absl::Time start = absl::Now();
  const std::map<int, std::string> weights = {{1, Undisturbed(1)},
                                              {2, Undisturbed(2)}};
  int kills = 0, jobs = 0, succeeded = 0, equal = 0, attempts = 0;
  // A job may end before anything is killed.
  while (kills < wanted && jobs < 3 * wanted + 10) {
    const int world = 1 + (jobs + 1) % 2;
    const std::string job = absl::StrCat("disturbed-", ++jobs);
    kills += Disturb(job, world, std::min(3, wanted - kills));
    const std::string end = service_.AwaitEnd(job);
    EXPECT_EQ(end, "SUCCEEDED") << service_.Job(job).dump(1) << "\n"
                                << service_.Events(job);
    if (end != "SUCCEEDED") continue;
    ++succeeded;
    attempts += service_.Job(job)["attempts"].get<int>();
    const bool same = Weights(job) == weights.at(world);
    EXPECT_TRUE(same) << job << " of " << world << " rank(s)\n"
                      << Slurp(service_.job_dir(job) + "/worker.log");
    equal += same;
  }
  EXPECT_GE(kills, wanted) << "jobs end before they can be disturbed";
  const json report = {{"kill_points", kills},
                       {"killed", struck_},
                       {"jobs", jobs},
                       {"succeeded", succeeded},
                       {"weights_byte_equal", equal},
                       {"attempts", attempts},
                       {"seed", FromEnvironment("RETORT_SOAK_SEED", 1)},
                       {"seconds", absl::ToInt64Seconds(absl::Now() - start)}};
  std::printf("%s\n", report.dump(1).c_str());
  const char* file = std::getenv("RETORT_SOAK_REPORT");
  if (file != nullptr) std::ofstream(file) << report.dump(1) << "\n";
}

}  // namespace
}  // namespace retort::testing
