#ifndef RETORT_CLIENT_COMMANDS_JOB_CALL_H_
#define RETORT_CLIENT_COMMANDS_JOB_CALL_H_

#include <string>

#include "absl/functional/function_ref.h"
#include "client/context.h"
#include "client/output.h"
#include "core/base/status_macros.h"
#include "retort/v1/job_service.grpc.pb.h"

namespace retort::client {

// Prints a job: as JSON, or as the line that `say` makes of it.
inline void SayJob(const Context& context, const v1::Job& job,
                   absl::FunctionRef<std::string(const v1::Job&)> say) {
  if (context.options.json) {
    PrintJson(job);
  } else {
    puts(say(job).c_str());
  }
}

// Makes a call that answers with a job, and prints that.
template <typename Request>
absl::Status CallForJob(Context* context,
                        grpc::Status (v1::JobService::Stub::*method)(
                            grpc::ClientContext*, const Request&, v1::Job*),
                        const Request& request,
                        absl::FunctionRef<std::string(const v1::Job&)> say) {
  const auto stub = context->NewStub<v1::JobService>();
  v1::Job job;
  RETORT_RETURN_IF_ERROR(context->Call(*stub, method, request, &job));
  SayJob(*context, job, say);
  return absl::OkStatus();
}

}  // namespace retort::client

#endif  // RETORT_CLIENT_COMMANDS_JOB_CALL_H_
