#ifndef RETORT_CLIENT_SPEC_FILE_H_
#define RETORT_CLIENT_SPEC_FILE_H_

#include <google/protobuf/descriptor.h>
#include <google/protobuf/field_mask.pb.h>
#include <google/protobuf/message.h>

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "retort/v1/job_service.pb.h"

// Job specifications as people write them: YAML (or JSON, which is YAML) with
// the field names of the API. Enum values may be short and in lower case:
// "fitted-state" or "fitted_state" for PRECONDITIONING_KIND_FITTED_STATE.
//
//   display_name: My student
//   spec:
//     distill: {teacher: my-teacher, preconditioning: fitted-denoiser}
namespace retort::client {

// Merges YAML text into `message`. `source` (a file's name) begins every
// error, followed by the line and the path of the field: an unknown or
// repeated field, a value of the wrong type or out of range, an unknown enum
// value, two members of one alternative. InvalidArgument.
absl::Status MergeYaml(absl::string_view text, const std::string& source,
                       google::protobuf::Message* message);

// Applies "spec.distill.training.seed=7": the value is YAML. A list replaces
// what was there. InvalidArgument as above; a malformed assignment too.
absl::Status ApplySetting(absl::string_view setting,
                          google::protobuf::Message* message);

// The same for a change of a job that is: also adds the paths of the fields set
// to `mask`; of a group of fields those within it.
absl::Status ApplyChange(absl::string_view setting, v1::Job* changes,
                         google::protobuf::FieldMask* mask);

// Reads a job's file ("-": standard input), applies the settings in order and
// makes model names full. Fields that the server sets are refused.
absl::StatusOr<v1::Job> ReadJobFile(const std::string& path,
                                    const std::vector<std::string>& settings,
                                    absl::string_view project);

// The same of a text; `source` begins every error.
absl::StatusOr<v1::Job> ParseJob(absl::string_view text,
                                 const std::string& source,
                                 const std::vector<std::string>& settings,
                                 absl::string_view project);

// "ctm" for PRECONDITIONING_KIND_CTM: the value without its enum's prefix, in
// lower case, with dashes.
std::string ShortEnumName(const google::protobuf::EnumValueDescriptor& value);

// Those of all values but the first, which stands for none.
std::vector<std::string> ShortNames(
    const google::protobuf::EnumDescriptor& type);

// The other way round: the value of a short or a full name, nullptr if there is
// none.
const google::protobuf::EnumValueDescriptor* FindEnumValue(
    const google::protobuf::EnumDescriptor& type, absl::string_view text);

}  // namespace retort::client

#endif  // RETORT_CLIENT_SPEC_FILE_H_
