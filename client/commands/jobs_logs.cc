#include <memory>

#include "absl/time/clock.h"
#include "client/commands/commands.h"
#include "client/flag_values.h"
#include "client/output.h"
#include "client/redial.h"
#include "core/base/status_macros.h"
#include "retort/v1/job_service.grpc.pb.h"

namespace retort::client {
namespace {

struct LogsOptions {
  std::string name;
  bool follow = false;
  int tail = 0;
};

// Prints one stream, and notes in `request` where the next one goes on.
absl::Status PrintStream(Context* context, v1::JobService::Stub* stub,
                         v1::StreamLogsRequest* request, Redial* redial) {
  auto call = context->NewCall(Context::CallKind::kLong);
  auto stream = stub->StreamLogs(call.get(), *request);
  v1::StreamLogsResponse response;
  while (stream->Read(&response)) {
    redial->Heard();
    request->clear_tail();
    request->set_from_byte(response.next_byte());
    if (response.lines().empty()) continue;
    if (context->options.json) {
      puts(ToJson(response, /*indented=*/false).c_str());
    } else {
      for (const std::string& line : response.lines()) puts(line.c_str());
    }
    fflush(stdout);
  }
  return context->Check(stream->Finish());
}

absl::Status PrintLogs(Context* context, const LogsOptions& options) {
  v1::StreamLogsRequest request;
  request.set_name(context->Job(options.name));
  request.set_follow(options.follow);
  request.set_tail(options.tail);
  auto stub = context->NewStub<v1::JobService>();
  Redial redial;
  while (true) {
    const absl::Status status =
        PrintStream(context, stub.get(), &request, &redial);
    if (status.ok() || !options.follow ||
        !redial.ShouldTry(status, absl::Now())) {
      return status;
    }
    absl::SleepFor(kRedialPause);
  }
}

}  // namespace

void AddJobsLogs(CLI::App* parent, Context* context) {
  auto options = std::make_shared<LogsOptions>();
  CLI::App* command =
      AddCommand(parent, context, "logs", "Print the log of a job's workers",
                 [=] { return PrintLogs(context, *options); });
  command->add_option("JOB", options->name, "Id or full name")->required();
  command->add_flag("-f,--follow", options->follow,
                    "Keep printing until the job ends, also when the server is "
                    "away for a while");
  command->add_option("--tail", options->tail, "Only the last so many lines")
      ->check(ZeroOrMore());
  command->footer(
      "Examples:\n  retort jobs logs my-teacher --tail 20\n"
      "  retort jobs logs my-teacher -f");
}

}  // namespace retort::client
