#ifndef RETORT_CLIENT_COMMANDS_NEW_JOB_H_
#define RETORT_CLIENT_COMMANDS_NEW_JOB_H_

#include <google/protobuf/field_mask.pb.h>

#include <CLI/CLI.hpp>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "client/context.h"
#include "retort/v1/job_service.pb.h"

// What the commands that make a job have in common.
namespace retort::client {

struct NewJobOptions {
  std::string id;
  std::vector<std::string> settings;  // of --set, for the command to apply
  std::optional<std::string> display_name;
  std::optional<int> priority;
  std::string priority_class;
  std::string request_id;
  bool watch = false;
  bool validate_only = false;
};

void AddNewJobOptions(CLI::App* command, NewJobOptions* options);

// Sets the fields of `job` that have flags of their own, and adds the paths of
// those given to `mask`.
absl::Status ApplyFlags(const NewJobOptions& options, v1::Job* job,
                        google::protobuf::FieldMask* mask);

// Sets what requests for new jobs have in common.
template <typename Request>
void FillRequest(const NewJobOptions& options, Request* request) {
  request->set_job_id(options.id);
  request->set_request_id(options.request_id.empty() ? NewRequestId()
                                                     : options.request_id);
  request->set_validate_only(options.validate_only);
}

// Tells of the server's answer, `made` ("submitted x") in words, or follows the
// job if that was asked for.
absl::Status TellNewJob(Context* context, const NewJobOptions& options,
                        const v1::Job& job, const std::string& made);

}  // namespace retort::client

#endif  // RETORT_CLIENT_COMMANDS_NEW_JOB_H_
