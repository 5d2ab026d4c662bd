#ifndef RETORT_SERVER_AUTH_METHOD_POLICY_H_
#define RETORT_SERVER_AUTH_METHOD_POLICY_H_

#include <vector>

#include "absl/strings/string_view.h"
#include "server/auth/caller.h"

namespace retort::auth {

// What a method is about.
enum class Scope {
  // The project of the resource that a field of the request names.
  kProject,
  // No project: any caller; the answer must leave out what the caller may not
  // see (Caller::MayRead). The method does that itself.
  kFiltered,
  // The machines: operators of all projects.
  kMachines,
};

// What one method of the API needs of its caller.
struct MethodPolicy {
  // As gRPC spells it: "/retort.v1.JobService/GetJob".
  const char* method;
  Right right;
  Scope scope;
  // Where the name is ("name", "deployment.name"): of a project or of a
  // resource in it. Empty for the other scopes.
  const char* name_field;
};

// All methods that are served, and need a caller who is known. Whatever is
// served and not in it is open to everybody who can connect: gRPC's health
// service, for load balancers, and its reflection, which tells what proto/
// tells. A test compares the list with the services' descriptors.
const std::vector<MethodPolicy>& MethodPolicies();

// Null for a method that is not in the list.
const MethodPolicy* FindPolicy(absl::string_view method);

// Whether a method needs no caller at all: health and reflection.
bool IsOpen(absl::string_view method);

}  // namespace retort::auth

#endif  // RETORT_SERVER_AUTH_METHOD_POLICY_H_
