#include "tests/support/service_process.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <system_error>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace retort::testing {
namespace {

using nlohmann::json;

std::string Binary(const std::string& name) {
  return absl::StrCat(RETORT_BIN_DIR, "/", name);
}

int64_t Number(const json& value) {
  // proto3's JSON has 64-bit numbers as text.
  return value.is_string() ? std::stoll(value.get<std::string>())
                           : value.get<int64_t>();
}

bool IsEnd(const std::string& state) {
  return state == "SUCCEEDED" || state == "FAILED" || state == "CANCELLED";
}

}  // namespace

ServiceProcess::ServiceProcess() = default;

ServiceProcess::~ServiceProcess() {
  if (::testing::Test::HasFailure()) {
    const std::string text = log();
    const size_t from = text.size() > 4000 ? text.size() - 4000 : 0;
    std::fprintf(stderr, "retortd's log:\n%s\n", text.substr(from).c_str());
  }
  server_.reset();
  KillWorkers();
}

void ServiceProcess::AddServerOptions(const std::vector<std::string>& options) {
  options_.insert(options_.end(), options.begin(), options.end());
}

void ServiceProcess::AddCliOptions(const std::vector<std::string>& options) {
  cli_options_.insert(cli_options_.end(), options.begin(), options.end());
}

void ServiceProcess::Start(const std::string& listen) {
  const std::string addresses = data_dir() + "/retortd.json";
  std::error_code ignored;
  std::filesystem::remove(addresses, ignored);  // a killed one's
  std::vector<std::string> argv = {
      Binary("retortd"), "--data_dir=" + data_dir(), "--listen=" + listen,
      "--http_listen=127.0.0.1:0"};
  argv.insert(argv.end(), options_.begin(), options_.end());
  server_ = std::make_unique<ChildProcess>(argv, dir_ / "retortd.log",
                                           dir_ / "retortd.log");
  const bool ready = PollUntil(kPatience, [&] {
    return server_->TryWait().has_value() || std::filesystem::exists(addresses);
  });
  ASSERT_TRUE(ready && !server_->TryWait().has_value())
      << "retortd did not start:\n"
      << log();
  const json found = json::parse(Slurp(addresses));
  grpc_ = found["grpc"];
  http_ = found["http"];
  socket_ = found["socket"];
}

void ServiceProcess::Kill() {
  server_->Signal(SIGKILL);
  ASSERT_TRUE(server_->Wait(kPatience).has_value());
}

int ServiceProcess::Stop(int signal) {
  server_->Signal(signal);
  return server_->Wait(kPatience).value_or(-1);
}

std::vector<std::string> ServiceProcess::CliArguments(
    const std::vector<std::string>& arguments, bool as_json) const {
  std::vector<std::string> argv = {Binary("retort"), "--server", grpc_};
  if (as_json) argv.push_back("--json");
  argv.insert(argv.end(), cli_options_.begin(), cli_options_.end());
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  return argv;
}

ProcessResult ServiceProcess::Cli(const std::vector<std::string>& arguments) {
  return RunProgram(CliArguments(arguments, false), dir_.path(), kPatience);
}

json ServiceProcess::Json(const std::vector<std::string>& arguments) {
  const ProcessResult result =
      RunProgram(CliArguments(arguments, true), dir_.path(), kPatience);
  EXPECT_EQ(result.code, 0) << absl::StrJoin(arguments, " ") << "\n"
                            << result.err;
  const json value = json::parse(result.out, nullptr, false);
  EXPECT_FALSE(value.is_discarded())
      << absl::StrJoin(arguments, " ") << " printed\n"
      << result.out;
  return value;
}

json ServiceProcess::Error(int code,
                           const std::vector<std::string>& arguments) {
  const ProcessResult result =
      RunProgram(CliArguments(arguments, true), dir_.path(), kPatience);
  EXPECT_EQ(result.code, code) << absl::StrJoin(arguments, " ") << "\n"
                               << result.out << result.err;
  const json value = json::parse(result.err, nullptr, false);
  if (!value.is_object() || !value.contains("error")) {
    ADD_FAILURE() << absl::StrJoin(arguments, " ") << " printed\n"
                  << result.err;
    return {{"code", ""}, {"message", ""}, {"reason", ""}};
  }
  return value["error"];
}

std::string ServiceProcess::JobFile(const json& spec) {
  // JSON is YAML.
  const std::string path = dir_ / absl::StrCat("job-", ++files_, ".yaml");
  std::ofstream(path) << json{{"spec", spec}}.dump(1);
  return path;
}

void ServiceProcess::Submit(const std::string& id, const json& spec,
                            const std::vector<std::string>& options) {
  std::vector<std::string> arguments = {"jobs", "submit", "--id",
                                        id,     "-f",     JobFile(spec)};
  arguments.insert(arguments.end(), options.begin(), options.end());
  const ProcessResult result = Cli(arguments);
  ASSERT_EQ(result.code, 0) << result.err;
}

json ServiceProcess::Job(const std::string& id) {
  return Json({"jobs", "get", id});
}

std::string ServiceProcess::State(const std::string& id) {
  const std::string state = Job(id).value("state", "STATE_NONE");
  return std::string(absl::StripPrefix(state, "STATE_"));
}

bool ServiceProcess::AwaitState(const std::string& id,
                                const std::string& state) {
  std::string now;
  PollUntil(kPatience, [&] {
    now = State(id);
    return now == state || IsEnd(now) || ::testing::Test::HasFatalFailure();
  });
  return now == state;
}

std::string ServiceProcess::AwaitEnd(const std::string& id) {
  std::string now;
  PollUntil(kPatience, [&] { return IsEnd(now = State(id)); });
  return now;
}

bool ServiceProcess::AwaitStep(const std::string& id, int64_t step) {
  int64_t now = 0;
  PollUntil(kPatience, [&] {
    const json job = Job(id);
    if (job.contains("progress") && job["progress"].contains("step")) {
      now = Number(job["progress"]["step"]);
    }
    return now >= step || IsEnd(State(id));
  });
  return now >= step;
}

int64_t ServiceProcess::AwaitCheckpoint(const std::string& id, int64_t step) {
  int64_t newest = -1;
  PollUntil(kPatience, [&] {
    const std::vector<int64_t> steps = CheckpointsOnDisk(id);
    if (!steps.empty() && steps.back() > step) newest = steps.back();
    return newest >= 0;
  });
  return newest;
}

std::string ServiceProcess::Events(const std::string& id) {
  // For an ended job the stream ends by itself.
  return Cli({"jobs", "watch", id}).out;
}

std::vector<int64_t> ServiceProcess::CheckpointsOnDisk(
    const std::string& id) const {
  std::vector<int64_t> steps;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(
           job_dir(id) + "/checkpoints", error)) {
    int64_t step = 0;
    if (absl::SimpleAtoi(entry.path().filename().string(), &step)) {
      steps.push_back(step);
    }
  }
  std::sort(steps.begin(), steps.end());
  return steps;
}

std::string ServiceProcess::job_dir(const std::string& id) const {
  return data_dir() + "/jobs/" + id;
}

std::string ServiceProcess::model_dir(const std::string& id) const {
  return data_dir() + "/models/" + id;
}

pid_t ServiceProcess::WorkerOf(const std::string& collection,
                               const std::string& id) const {
  const std::vector<pid_t> found = FindProcesses(
      {absl::StrCat("--server=unix:", socket_),
       absl::StrCat("--subject=projects/default/", collection, "/", id)});
  return found.empty() ? 0 : found.front();
}

std::vector<pid_t> ServiceProcess::RanksOf(const std::string& job) const {
  std::vector<pid_t> ranks;
  while (true) {
    const std::vector<pid_t> found =
        FindProcesses({absl::StrCat("--server=unix:", socket_),
                       absl::StrCat("--subject=projects/default/jobs/", job),
                       absl::StrCat("--rank=", ranks.size())});
    if (found.empty()) return ranks;
    ranks.push_back(found.front());
  }
}

pid_t ServiceProcess::AwaitWorker(const std::string& job) {
  pid_t pid = 0;
  PollUntil(kPatience, [&] { return (pid = WorkerOf("jobs", job)) != 0; });
  EXPECT_NE(pid, 0) << "no worker for " << job;
  return pid;
}

void ServiceProcess::KillWorkers() {
  if (socket_.empty()) return;
  for (const pid_t pid :
       FindProcesses({absl::StrCat("--server=unix:", socket_)})) {
    kill(pid, SIGKILL);
    AwaitGone(pid);
  }
}

std::string ServiceProcess::HttpGet(const std::string& path) const {
  const std::pair<std::string, std::string> host_port =
      absl::StrSplit(http_, ':');
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(std::stoi(host_port.second));
  inet_pton(AF_INET, host_port.first.c_str(), &address.sin_addr);
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const absl::Cleanup close_fd = [fd] { close(fd); };
  timeval patience = {60, 0};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
  const std::string request =
      absl::StrCat("GET ", path, " HTTP/1.1\r\nHost: ", http_,
                   "\r\nConnection: close\r\n\r\n");
  std::string answer;
  if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) !=
          0 ||
      send(fd, request.data(), request.size(), 0) !=
          static_cast<ssize_t>(request.size())) {
    return answer;
  }
  char buffer[4096];
  for (ssize_t got; (got = recv(fd, buffer, sizeof(buffer), 0)) > 0;) {
    answer.append(buffer, got);
  }
  return answer;
}

bool AwaitGone(pid_t pid) {
  return PollUntil(ServiceProcess::kPatience, [pid] {
    return Slurp(absl::StrCat("/proc/", pid, "/cmdline")).empty();
  });
}

}  // namespace retort::testing
