#include "tests/support/slurm_cluster.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <random>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace retort::testing {
namespace {

namespace fs = std::filesystem;

constexpr absl::Duration kPatience = absl::Minutes(1);
constexpr char kController[] = "controller";
constexpr char kPlace[] = "RETORT_TEST_SLURM_PLACE";

// The path of a program; empty if there is none.
std::string Find(const std::string& program) {
  for (const char* folder : {"/usr/bin/", "/usr/sbin/", "/bin/", "/sbin/",
                             "/usr/local/bin/", "/usr/local/sbin/"}) {
    const std::string path = folder + program;
    if (access(path.c_str(), X_OK) == 0) return path;
  }
  return "";
}

std::string UserName() {
  const passwd* user = getpwuid(getuid());
  return user == nullptr ? "root" : user->pw_name;
}

void WriteMungeKey(const std::string& path) {
  std::random_device random;
  {
    std::ofstream file(path, std::ios::binary);
    for (int i = 0; i < 256; ++i) {
      const unsigned word = random();
      file.write(reinterpret_cast<const char*>(&word), sizeof(word));
    }
  }
  fs::permissions(path, fs::perms::owner_read | fs::perms::owner_write);
}

// Variables that a process was started with.
std::vector<std::string> EnvironmentOf(const std::string& pid) {
  return absl::StrSplit(Slurp("/proc/" + pid + "/environ"), '\0');
}

bool Has(const std::vector<std::string>& list, const std::string& entry) {
  return std::find(list.begin(), list.end(), entry) != list.end();
}

// Processes of this cluster (its SLURM_CONF) for which `is_one` holds of their
// environment.
template <typename IsOne>
std::vector<pid_t> Processes(const std::string& conf, IsOne is_one) {
  std::vector<pid_t> found;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator("/proc", error)) {
    const std::string name = entry.path().filename();
    pid_t pid = 0;
    if (!absl::SimpleAtoi(name, &pid)) continue;
    const std::vector<std::string> environment = EnvironmentOf(name);
    if (Has(environment, "SLURM_CONF=" + conf) && is_one(environment)) {
      found.push_back(pid);
    }
  }
  return found;
}

}  // namespace

SlurmCluster::SlurmCluster(int nodes) {
  for (int i = 0; i <= nodes; ++i) ports_.push_back(FreePort());
  for (int i = 1; i <= nodes; ++i) nodes_.push_back(absl::StrCat("n", i));
  // Of a folder that only its owner may enter munge wants no socket.
  fs::permissions(dir_.path(), fs::perms::group_exec | fs::perms::others_exec,
                  fs::perm_options::add);
  for (const char* folder : {"munge", "state", "log", "work"}) {
    fs::create_directory(dir_ / folder);
  }
  for (const std::string& node : nodes_) {
    fs::create_directory(dir_ / absl::StrCat("spool-", node));
  }
  fs::permissions(dir_ / "munge", fs::perms::owner_all);
  WriteMungeKey(dir_ / "munge/key");
  std::ofstream(dir_ / "slurm.conf") << Config();
  setenv("SLURM_CONF", (dir_ / "slurm.conf").c_str(), 1);
}

SlurmCluster::~SlurmCluster() {
  if (::testing::Test::HasFailure()) {
    std::fprintf(stderr, "Slurm's logs:\n%s\n", Logs().c_str());
  }
  controller_.reset();  // before it can see nodes go, and start jobs anew
  for (const std::string& node : nodes_) KillNode(node);
  for (const pid_t pid : ProcessesOn(kController)) kill(pid, SIGKILL);
  munged_.reset();
  unsetenv("SLURM_CONF");
}

std::string SlurmCluster::WhyNot() {
  for (const char* program : {"munged", "slurmctld", "slurmd", "sbatch"}) {
    if (Find(program).empty()) {
      return absl::StrCat("there is no ", program,
                          "; scripts/bootstrap.sh --tests installs it");
    }
  }
  return "";
}

std::string SlurmCluster::Config() const {
  std::string text = absl::StrCat(
      "ClusterName=retort\nSlurmctldHost=localhost(127.0.0.1)\n",
      "SlurmctldPort=", ports_[0], "\nSlurmUser=", UserName(),
      "\nSlurmdUser=", UserName(),
      "\nAuthType=auth/munge\nAuthInfo=socket=", dir_.path(),
      "/munge.sock\nCredType=cred/munge\nMpiDefault=none\n",
      "ProctrackType=proctrack/linuxproc\nTaskPlugin=task/none\n",
      "SwitchType=switch/none\n",
      "AccountingStorageType=accounting_storage/none\n",
      "JobAcctGatherType=jobacct_gather/none\nJobCompType=jobcomp/none\n",
      "SelectType=select/cons_tres\nSelectTypeParameters=CR_Core\n",
      // The nodes' CPUs are not really there.
      "SlurmdParameters=config_overrides\nReturnToService=2\n",
      "SchedulerType=sched/backfill\n",
      "SchedulerParameters=batch_sched_delay=0,bf_interval=1,sched_interval=1",
      "\nCommunicationParameters=NoInAddrAny\n",
      "SlurmdTimeout=20\nSlurmctldTimeout=20\nKillWait=5\nInactiveLimit=0\n",
      "UnkillableStepTimeout=30\nMinJobAge=300\nMessageTimeout=10\n",
      "JobRequeue=1\n");
  const std::string d = dir_.path();
  absl::StrAppend(&text, "StateSaveLocation=", d, "/state\n",
                  "SlurmctldPidFile=", d, "/slurmctld.pid\n",
                  "SlurmdPidFile=", d, "/slurmd-%n.pid\n", "SlurmdSpoolDir=", d,
                  "/spool-%n\n");
  for (size_t i = 0; i < nodes_.size(); ++i) {
    absl::StrAppend(&text, "NodeName=", nodes_[i],
                    " NodeHostname=localhost NodeAddr=127.0.0.1 Port=",
                    ports_[i + 1], " CPUs=4 RealMemory=1000 State=UNKNOWN\n");
  }
  absl::StrAppend(&text,
                  "PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE\n",
                  "PartitionName=short Nodes=ALL MaxTime=1 DefaultTime=1\n");
  return text;
}

std::unique_ptr<ChildProcess> SlurmCluster::Daemon(
    const std::string& place, const std::vector<std::string>& argv) {
  std::vector<std::string> full = argv;
  full[0] = Find(argv[0]);
  const std::string log = dir_ / absl::StrCat("log/", place, ".log");
  return std::make_unique<ChildProcess>(
      full, log, log, ChildProcess::Environment{{kPlace, place}});
}

bool SlurmCluster::Start() {
  const std::string munge = dir_ / "munge";
  munged_ = Daemon("munged", {"munged", "--foreground", "--num-threads=2",
                              absl::StrCat("--key-file=", munge, "/key"),
                              absl::StrCat("--socket=", dir_ / "munge.sock"),
                              absl::StrCat("--pid-file=", munge, "/pid"),
                              absl::StrCat("--log-file=", munge, "/log"),
                              absl::StrCat("--seed-file=", munge, "/seed")});
  bool up = PollUntil(kPatience, [this] {
    return fs::exists(dir_ / "munge.sock") || munged_->TryWait().has_value();
  });
  up = up && !munged_->TryWait().has_value();
  if (up) {
    StartController();
    for (const std::string& node : nodes_) StartNode(node);
    for (const std::string& node : nodes_) up = up && AwaitNode(node, "idle");
  }
  EXPECT_TRUE(up) << "Slurm did not start\n" << Logs();
  return up;
}

void SlurmCluster::StartController() {
  controller_ = Daemon(kController, {"slurmctld", "-D"});
}

void SlurmCluster::StopController() {
  controller_->Signal(SIGTERM);
  EXPECT_TRUE(controller_->Wait(kPatience).has_value());
  controller_.reset();
}

void SlurmCluster::StartNode(const std::string& node) {
  slurmds_[node] = Daemon(node, {"slurmd", "-D", "-N", node});
}

void SlurmCluster::KillSlurmd(const std::string& node) { slurmds_.erase(node); }

void SlurmCluster::KillNode(const std::string& node) {
  KillSlurmd(node);
  // Until nothing is left: what is being killed may just be starting more.
  PollUntil(kPatience, [&] {
    const std::vector<pid_t> left = ProcessesOn(node);
    for (const pid_t pid : left) kill(pid, SIGKILL);
    return left.empty();
  });
}

bool SlurmCluster::AwaitNode(const std::string& node,
                             const std::string& state) {
  return PollUntil(kPatience, [&] {
    return absl::StartsWith(
        Run({"sinfo", "--noheader", "--nodes=" + node, "--format=%T"}).out,
        state);
  });
}

ProcessResult SlurmCluster::Run(const std::vector<std::string>& argv) {
  std::vector<std::string> full = argv;
  full[0] = Find(argv[0]);
  return RunProgram(full, dir_ / "work", kPatience);
}

std::string SlurmCluster::JobState(int64_t id) {
  const ProcessResult result =
      Run({"squeue", "--noheader", "--states=all", "--format=%T",
           absl::StrCat("--jobs=", id)});
  return std::string(absl::StripAsciiWhitespace(result.out));
}

std::vector<std::string> SlurmCluster::NodesOf(int64_t id) {
  const ProcessResult nodes =
      Run({"squeue", "--noheader", "--format=%N", absl::StrCat("--jobs=", id)});
  const std::string list(absl::StripAsciiWhitespace(nodes.out));
  if (list.empty()) return {};
  return absl::StrSplit(Run({"scontrol", "show", "hostnames", list}).out, '\n',
                        absl::SkipEmpty());
}

std::vector<pid_t> SlurmCluster::ProcessesOn(const std::string& node) const {
  // What slurmd starts as itself has its environment; what belongs to jobs
  // has the job's, and the node's name.
  return Processes(dir_ / "slurm.conf", [&](const auto& environment) {
    return Has(environment, absl::StrCat(kPlace, "=", node)) ||
           Has(environment, "SLURMD_NODENAME=" + node);
  });
}

std::vector<pid_t> SlurmCluster::Workers(const std::string& subject) const {
  std::vector<pid_t> found;
  // srun has the same arguments.
  for (const pid_t pid : FindProcesses({"--subject=" + subject})) {
    const std::string proc = absl::StrCat("/proc/", pid);
    std::error_code error;
    if (fs::read_symlink(proc + "/exe", error).filename() == "retort-worker" &&
        Has(EnvironmentOf(absl::StrCat(pid)),
            "SLURM_CONF=" + (dir_ / "slurm.conf"))) {
      found.push_back(pid);
    }
  }
  return found;
}

std::string SlurmCluster::Logs() const {
  std::string text;
  std::vector<std::string> names = nodes_;
  names.insert(names.begin(), {"munged", kController});
  for (const std::string& name : names) {
    const std::string log = Slurp(dir_ / absl::StrCat("log/", name, ".log"));
    absl::StrAppend(&text, "== ", name, "\n",
                    log.substr(log.size() > 3000 ? log.size() - 3000 : 0));
  }
  return text;
}

int FreePort() {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const absl::Cleanup close_fd = [fd] { close(fd); };
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  EXPECT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&address), size), 0);
  EXPECT_EQ(getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size), 0);
  return ntohs(address.sin_port);
}

}  // namespace retort::testing
