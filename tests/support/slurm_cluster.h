#ifndef RETORT_TESTS_SUPPORT_SLURM_CLUSTER_H_
#define RETORT_TESTS_SUPPORT_SLURM_CLUSTER_H_

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tests/support/child_process.h"
#include "tests/support/temp_dir.h"

namespace retort::testing {

// A real Slurm on this machine: munged, slurmctld and some slurmd, "n1", "n2",
// ..., each a node of four CPUs that it does not have, all on free loopback
// ports and in a folder of their own, as the user who runs the test. Everything
// of it is killed when the object dies. While it lives the environment variable
// SLURM_CONF names it, so Slurm's commands, and a retortd that the test starts,
// talk to it; there can be one at a time.
//
// Partitions: "main" (default), and "short" with a time limit of one minute.
// A node that is killed is noticed after some 20 s, one that asks to end its
// ranks waits 5 s for them.
//
//   if (!SlurmCluster::WhyNot().empty()) GTEST_SKIP() << ...;
//   SlurmCluster cluster;
//   ASSERT_TRUE(cluster.Start());
//   cluster.Run({"scontrol", "requeue", "7"});
//   cluster.KillNode("n2");
class SlurmCluster {
 public:
  explicit SlurmCluster(int nodes = 2);
  ~SlurmCluster();
  SlurmCluster(const SlurmCluster&) = delete;
  SlurmCluster& operator=(const SlurmCluster&) = delete;

  // What is missing to start one; empty if nothing is.
  static std::string WhyNot();

  // Starts it all and waits until every node is idle. False with failures of
  // the test if that does not come.
  bool Start();

  // Runs a command of Slurm's and returns what it printed.
  ProcessResult Run(const std::vector<std::string>& argv);
  // The state of a job, "RUNNING"; empty if Slurm does not know it.
  std::string JobState(int64_t id);
  // Nodes of a job that runs, one by one.
  std::vector<std::string> NodesOf(int64_t id);

  // The power goes off: slurmd and everything that it started.
  void KillNode(const std::string& node);
  // slurmd alone dies: what it started runs on, and Slurm loses sight of it.
  void KillSlurmd(const std::string& node);
  void StartNode(const std::string& node);
  // Waits until Slurm has this node in a state that begins so ("idle").
  bool AwaitNode(const std::string& node, const std::string& state);
  void StopController();
  void StartController();

  // Processes that Slurm started on a node, slurmd and its helpers included.
  std::vector<pid_t> ProcessesOn(const std::string& node) const;
  // The workers of a job or deployment, on any node.
  std::vector<pid_t> Workers(const std::string& subject) const;

  // slurmctld's log and those of the nodes.
  std::string Logs() const;

 private:
  std::string Config() const;
  std::unique_ptr<ChildProcess> Daemon(const std::string& place,
                                       const std::vector<std::string>& argv);

  TempDir dir_;
  std::vector<std::string> nodes_;
  std::vector<int> ports_;  // slurmctld's, then the nodes'
  std::unique_ptr<ChildProcess> munged_, controller_;
  std::map<std::string, std::unique_ptr<ChildProcess>> slurmds_;
};

// A TCP port of the loopback that nobody listens on.
int FreePort();

}  // namespace retort::testing

#endif  // RETORT_TESTS_SUPPORT_SLURM_CLUSTER_H_
