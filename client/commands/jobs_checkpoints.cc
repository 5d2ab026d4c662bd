#include <memory>

#include "absl/strings/str_cat.h"
#include "client/commands/commands.h"
#include "client/output.h"
#include "client/table.h"
#include "core/base/status_macros.h"
#include "retort/v1/job_service.grpc.pb.h"

namespace retort::client {
namespace {

absl::Status PrintCheckpoints(Context* context, const std::string& name) {
  v1::ListCheckpointsRequest request;
  request.set_name(context->Job(name));
  auto stub = context->NewStub<v1::JobService>();
  v1::ListCheckpointsResponse response;
  RETORT_RETURN_IF_ERROR(context->Call(
      *stub, &v1::JobService::Stub::ListCheckpoints, request, &response));
  if (context->options.json) {
    PrintJson(response);
    return absl::OkStatus();
  }
  Table table({"STEP", "SIZE", "WRITTEN", "SHA256"});
  for (const v1::Checkpoint& c : response.checkpoints()) {
    table.Add({absl::StrCat(c.step()), Bytes(c.bytes()),
               LocalTime(c.create_time()), c.sha256().substr(0, 12)});
  }
  table.Print(absl::StrCat(
      ShortName(request.name()),
      " has no checkpoints (training writes them; estimates and evaluations do "
      "not)"));
  return absl::OkStatus();
}

}  // namespace

void AddJobsCheckpoints(CLI::App* parent, Context* context) {
  auto name = std::make_shared<std::string>();
  CLI::App* command =
      AddCommand(parent, context, "checkpoints", "List a job's checkpoints",
                 [=] { return PrintCheckpoints(context, *name); });
  command->add_option("JOB", *name, "Id or full name")->required();
  command->footer("Example:\n  retort jobs checkpoints my-teacher");
}

}  // namespace retort::client
