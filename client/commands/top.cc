#include <unistd.h>

#include <limits>
#include <memory>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "client/commands/commands.h"
#include "client/output.h"
#include "client/table.h"
#include "client/terminal.h"
#include "client/top_frame.h"
#include "core/base/status_macros.h"
#include "retort/v1/cluster_service.grpc.pb.h"
#include "retort/v1/job_service.grpc.pb.h"

namespace retort::client {
namespace {

constexpr absl::Duration kRefresh = absl::Seconds(2);
constexpr double kPatience = 5;  // seconds that a call may take, once it runs
constexpr int kQueueLines = 20;
constexpr size_t kRunningLines = 50;

class Top {
 public:
  explicit Top(Context* context)
      : context_(context),
        cluster_(context->NewStub<v1::ClusterService>()),
        jobs_(context->NewStub<v1::JobService>()) {}

  absl::StatusOr<TopData> Ask() {
    using Cluster = v1::ClusterService::Stub;
    TopData data;
    RETORT_RETURN_IF_ERROR(context_->Call(*cluster_, &Cluster::GetCluster,
                                          v1::GetClusterRequest(),
                                          &data.cluster));
    v1::ListQueueRequest queue;
    queue.set_page_size(kQueueLines);
    RETORT_RETURN_IF_ERROR(
        context_->Call(*cluster_, &Cluster::ListQueue, queue, &data.queue));
    RETORT_RETURN_IF_ERROR(context_->Call(*cluster_, &Cluster::ListQuotas,
                                          v1::ListQuotasRequest(),
                                          &data.quotas));
    std::set<std::string> names;
    for (const v1::Node& node : data.cluster.nodes()) {
      for (const std::string& name : node.occupants()) {
        if (absl::StrContains(name, "/jobs/")) names.insert(name);
      }
    }
    for (const std::string& name : names) {
      if (data.running.size() == kRunningLines) break;
      v1::GetJobRequest request;
      request.set_name(name);
      v1::Job job;
      // One that has gone meanwhile, or is not ours to see, is left out.
      if (context_->Call(*jobs_, &v1::JobService::Stub::GetJob, request, &job)
              .ok()) {
        data.running.push_back(std::move(job));
      }
    }
    return data;
  }

  absl::Status PrintOnce() {
    RETORT_ASSIGN_OR_RETURN(const TopData data, Ask());
    if (!context_->options.json) {
      const int columns = isatty(STDOUT_FILENO)
                              ? TerminalSizeOf(STDOUT_FILENO).columns
                              : std::numeric_limits<int>::max();
      fputs(Frame(data, columns).c_str(), stdout);
      return absl::OkStatus();
    }
    const auto json = [](const google::protobuf::Message& message) {
      return ToJson(message);
    };
    std::vector<std::string> running;
    for (const v1::Job& job : data.running) running.push_back(json(job));
    puts(absl::StrCat("{\"cluster\": ", json(data.cluster), ",\n\"running\": [",
                      absl::StrJoin(running, ",\n"),
                      "],\n\"queue\": ", json(data.queue),
                      ",\n\"quotas\": ", json(data.quotas), "}")
             .c_str());
    return absl::OkStatus();
  }

  absl::Status Run() {
    // What is wrong from the start is an error; later the server may be away
    // for a while.
    RETORT_ASSIGN_OR_RETURN(TopData data, Ask());
    // Keys and Ctrl-C are heard between the calls.
    if (context_->options.timeout < 0) context_->options.timeout = kPatience;
    absl::Status status;
    Terminal terminal;
    do {
      const int columns = TerminalSizeOf(STDOUT_FILENO).columns;
      terminal.Draw(
          absl::StrCat(Trouble(status, columns), Frame(data, columns)));
      if (!terminal.Wait(kRefresh)) return absl::OkStatus();
      absl::StatusOr<TopData> asked = Ask();
      status = asked.status();
      if (asked.ok()) data = *std::move(asked);
    } while (true);
  }

 private:
  static std::string Trouble(const absl::Status& status, int columns) {
    if (status.ok()) return "";
    return absl::StrCat(
        absl::StrJoin(Wrapped(absl::StrCat(status.message(),
                                           "; trying again. As it was last:"),
                              columns),
                      "\n"),
        "\n\n");
  }

  std::string Frame(const TopData& data, int columns) const {
    return TopFrame(data, context_->options.project, absl::Now(), columns);
  }

  Context* const context_;
  const std::unique_ptr<v1::ClusterService::Stub> cluster_;
  const std::unique_ptr<v1::JobService::Stub> jobs_;
};

}  // namespace

void AddTop(CLI::App* parent, Context* context) {
  auto once = std::make_shared<bool>(false);
  CLI::App* command = AddCommand(
      parent, context, "top",
      "Watch machines, running jobs, the queue and the projects", [=] {
        Top top(context);
        const bool live =
            !*once && !context->options.json && isatty(STDOUT_FILENO);
        return live ? top.Run() : top.PrintOnce();
      });
  command->add_flag("--once", *once,
                    "Print it once; so it is if the output is no terminal");
  command->footer(
      "Anew every two seconds; q or Ctrl-C ends it. What a narrow terminal has "
      "no room for\nis left out: --once into a file or pipe, and `retort "
      "queue`, show it.\n"
      "Example:\n  retort top");
}

}  // namespace retort::client
