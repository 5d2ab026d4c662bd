#ifndef RETORT_TESTS_SUPPORT_SERVICE_PROCESS_H_
#define RETORT_TESTS_SUPPORT_SERVICE_PROCESS_H_

#include <signal.h>
#include <sys/types.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "tests/support/child_process.h"
#include "tests/support/temp_dir.h"

namespace retort::testing {

// The real programs: a retortd on free loopback ports over a data directory
// of its own, its worker processes, and the command line to talk to it.
// Whatever of them still lives is killed when the object dies.
//
//   ServiceProcess service;
//   service.Start();
//   service.Submit("a", TeacherSpec(20));
//   EXPECT_EQ(service.AwaitEnd("a"), "SUCCEEDED");
class ServiceProcess {
 public:
  // For whatever is to happen soon. Far more than it takes: the machine may
  // be busy.
  static constexpr absl::Duration kPatience = absl::Minutes(2);

  ServiceProcess();
  ~ServiceProcess();
  ServiceProcess(const ServiceProcess&) = delete;
  ServiceProcess& operator=(const ServiceProcess&) = delete;

  // Options of retortd from the next Start on: instead of the default (one CPU
  // slot), or beside what there is.
  void SetOptions(std::vector<std::string> options) {
    options_ = std::move(options);
  }
  void AddServerOptions(const std::vector<std::string>& options);
  // Options of the command line from the next call on.
  void AddCliOptions(const std::vector<std::string>& options);

  // Starts retortd, and waits until it answers. Start after Kill or Stop
  // works on the same data.
  void Start(const std::string& listen = "127.0.0.1:0");
  // kill -9 of retortd alone; its workers live on.
  void Kill();
  // Asks retortd to end; returns its exit code, -1 if it did not end in time.
  int Stop(int signal = SIGTERM);

  // Runs `retort` with these arguments.
  ProcessResult Cli(const std::vector<std::string>& arguments);
  // Runs `retort --json`, which must succeed, and parses what it prints.
  nlohmann::json Json(const std::vector<std::string>& arguments);
  // Runs `retort --json`, which must fail with `code`, and returns its error.
  nlohmann::json Error(int code, const std::vector<std::string>& arguments);

  // Submits a job. `spec` is what stands below `spec:` of a job file.
  void Submit(const std::string& id, const nlohmann::json& spec,
              const std::vector<std::string>& options = {});
  // Writes a job file, and returns its path.
  std::string JobFile(const nlohmann::json& spec);
  nlohmann::json Job(const std::string& id);
  // State without its prefix.
  std::string State(const std::string& id);
  // Waits for a state; false if another end or no end comes.
  bool AwaitState(const std::string& id, const std::string& state);
  // Waits for the job's end, and returns how it ended.
  std::string AwaitEnd(const std::string& id);
  // Waits until the job has trained that far.
  bool AwaitStep(const std::string& id, int64_t step);
  // Waits until the job has a checkpoint of a step above `step`; returns the
  // newest one's step, -1 if none comes.
  int64_t AwaitCheckpoint(const std::string& id, int64_t step = 0);
  // The job's stored events, as text.
  std::string Events(const std::string& id);
  // Steps of the checkpoints on disk.
  std::vector<int64_t> CheckpointsOnDisk(const std::string& id) const;

  // The process that works for a job or deployment; 0 if there is none.
  pid_t WorkerOf(const std::string& collection, const std::string& id) const;
  // All processes of a job, by rank.
  std::vector<pid_t> RanksOf(const std::string& job) const;
  // The process of a job; waits for it.
  pid_t AwaitWorker(const std::string& job);

  // Body of an answer to GET.
  std::string HttpGet(const std::string& path) const;

  const TempDir& dir() const { return dir_; }
  std::string data_dir() const { return dir_ / "data"; }
  std::string job_dir(const std::string& id) const;
  std::string model_dir(const std::string& id) const;
  std::string log() const { return Slurp(dir_ / "retortd.log"); }
  const std::string& grpc_address() const { return grpc_; }
  pid_t pid() const { return server_ == nullptr ? 0 : server_->pid(); }

 private:
  std::vector<std::string> CliArguments(
      const std::vector<std::string>& arguments, bool json) const;
  void KillWorkers();

  TempDir dir_;
  std::vector<std::string> options_ = {"--cpu_slots=1"};
  std::unique_ptr<ChildProcess> server_;
  std::string grpc_, http_, socket_;
  std::vector<std::string> cli_options_;
  int files_ = 0;
};

// True once the process is gone.
bool AwaitGone(pid_t pid);

}  // namespace retort::testing

#endif  // RETORT_TESTS_SUPPORT_SERVICE_PROCESS_H_
