#ifndef RETORT_CLIENT_FLAG_VALUES_H_
#define RETORT_CLIENT_FLAG_VALUES_H_

#include <google/protobuf/descriptor.h>

#include <CLI/CLI.hpp>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

// Values of flags. Whoever gives a wrong one is told what it was, what may
// stand there, and an example. Errors are usage errors (exit code 2).
namespace retort::client {

// A value of the enum, by its short or its full name.
absl::StatusOr<int> ParseEnumFlag(absl::string_view flag,
                                  const std::string& text,
                                  const google::protobuf::EnumDescriptor& type);

// Of --task: the field of JobSpec, "train_teacher" or so.
absl::StatusOr<std::string> ParseTask(const std::string& text);

// Of --project: what the server takes for a project's id.
CLI::Validator ProjectId();

// Of numbers of things.
CLI::Validator ZeroOrMore();

// Of --priority of a job.
CLI::Validator Priority();

}  // namespace retort::client

#endif  // RETORT_CLIENT_FLAG_VALUES_H_
