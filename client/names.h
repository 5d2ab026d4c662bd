#ifndef RETORT_CLIENT_NAMES_H_
#define RETORT_CLIENT_NAMES_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "retort/v1/job_service.pb.h"

namespace retort::client {

// Returns the full resource name of what a person wrote: "x" of collection
// "models" in project "p" is "projects/p/models/x"; a full name stays.
std::string FullName(absl::string_view project, absl::string_view collection,
                     absl::string_view name);

// Returns the last part of a resource name: "x" of "projects/p/models/x".
std::string ShortName(absl::string_view name);

// Returns what a person can write for a resource name, whatever project is set
// where it is read: the short name in the project "default", else all of it.
std::string WrittenName(absl::string_view name);

// Makes the names of models in a spec full.
void ExpandModelNames(absl::string_view project, v1::JobSpec* spec);

}  // namespace retort::client

#endif  // RETORT_CLIENT_NAMES_H_
