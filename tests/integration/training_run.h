#ifndef RETORT_TESTS_INTEGRATION_TRAINING_RUN_H_
#define RETORT_TESTS_INTEGRATION_TRAINING_RUN_H_

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/support/service_process.h"
#include "tests/support/small_fashion_mnist.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tiny_specs.h"

namespace retort::testing {

// A job "run" of so many ranks that trains long enough to be disturbed, and the
// weights that it makes when nobody does: whatever happens in between, they
// must come out.
template <int kRanks>
class TrainingRun : public ::testing::Test {
 protected:
  static constexpr int kIterations = 120;
  static constexpr int kCheckpointEvery = 20;

  TrainingRun() { service_.SetOptions(Options()); }

  // Once for all the suites of a program.
  static void SetUpTestSuite() {
    if (undisturbed_ != nullptr) return;
    data_ = std::make_unique<TempDir>();
    WriteSmallFashionMnist(data_->path());
    ServiceProcess service;
    service.SetOptions(Options());
    service.Start();
    service.Submit("run", Spec());
    ASSERT_EQ(service.AwaitEnd("run"), "SUCCEEDED");
    undisturbed_ = std::make_unique<std::string>(Weights(service));
  }

  static std::vector<std::string> Options() {
    return {absl::StrCat("--cpu_slots=", kRanks)};
  }
  static nlohmann::json Spec() {
    nlohmann::json spec =
        TinyTeacher(data_->path(), kIterations, kCheckpointEvery);
    spec["resources"]["world_size"] = kRanks;
    return spec;
  }
  static std::string Weights(ServiceProcess& service) {
    return service.Json({"models", "get", "run"})["weights_sha256"];
  }

  // Submits the job and waits until it is in the middle; returns the step of
  // a checkpoint that it has.
  int64_t StartRun() {
    service_.Start();
    service_.Submit("run", Spec());
    const int64_t step = service_.AwaitCheckpoint("run");
    EXPECT_GT(step, 0) << service_.log();
    // On disk; the service may not have heard of it yet.
    EXPECT_TRUE(PollUntil(ServiceProcess::kPatience, [this] {
      return !service_.Json({"jobs", "checkpoints", "run"})["checkpoints"]
                  .empty();
    }));
    return step;
  }

  std::string WorkerLog() {
    return Slurp(service_.job_dir("run") + "/worker.log");
  }

  // The job succeeds, after `attempts` workers, with the very weights of an
  // undisturbed run.
  void ExpectSameResult(int attempts) {
    ASSERT_EQ(service_.AwaitEnd("run"), "SUCCEEDED")
        << service_.Job("run")["state_reason"] << "\n"
        << WorkerLog();
    EXPECT_EQ(service_.Job("run")["attempts"], attempts);
    EXPECT_EQ(service_.Job("run")["progress"]["step"],
              absl::StrCat(kIterations));
    EXPECT_EQ(Weights(service_), *undisturbed_)
        << "the run is not the same run\n"
        << WorkerLog();
  }

  inline static std::unique_ptr<TempDir> data_;
  inline static std::unique_ptr<std::string> undisturbed_;
  ServiceProcess service_;
};

using TrainingRunTest = TrainingRun<1>;

}  // namespace retort::testing

#endif  // RETORT_TESTS_INTEGRATION_TRAINING_RUN_H_
