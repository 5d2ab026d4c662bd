#ifndef RETORT_SERVER_AUTH_REQUEST_SCOPE_H_
#define RETORT_SERVER_AUTH_REQUEST_SCOPE_H_

#include <google/protobuf/message.h>

#include <set>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace retort::auth {

// What a request, or a part of one, is about, found by reflection, so that a
// new field of a spec counts without being listed here.
struct References {
  // Projects of everything that is named in full ("projects/p/models/m"),
  // whatever the field. Free text (display_name, labels, reason, filter) and
  // files (path, manifests) name nothing.
  std::set<std::string> projects;
  // It asks for PRIORITY_CLASS_HIGH.
  bool high_priority = false;
};

References ReferencesOf(const google::protobuf::Message& message);

// The name in a field ("deployment.name") of a request, and its project.
struct NamedProject {
  std::string name;
  std::string project;
};

// InvalidArgument, naming the field, for one that is empty or has another form
// than projects/{project} or projects/{project}/{collection}/{id}.
absl::StatusOr<NamedProject> ProjectOf(const google::protobuf::Message& request,
                                       absl::string_view field);

}  // namespace retort::auth

#endif  // RETORT_SERVER_AUTH_REQUEST_SCOPE_H_
