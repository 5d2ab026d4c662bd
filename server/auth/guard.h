#ifndef RETORT_SERVER_AUTH_GUARD_H_
#define RETORT_SERVER_AUTH_GUARD_H_

#include <google/protobuf/message.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/auth/caller.h"
#include "server/auth/method_policy.h"
#include "server/auth/token_file.h"

namespace retort::auth {

// What a caller shows.
struct Credentials {
  // Values of the metadata `authorization`.
  std::vector<std::string> authorization;
  // Common names of the client's certificate, which TLS has verified.
  std::vector<std::string> common_names;
};

// Finds out who calls. UNAUTHENTICATED with the remedy if that is not known. A
// token goes before a certificate: a wrong one is refused whatever the
// certificate says.
absl::StatusOr<std::shared_ptr<const Caller>> Identify(
    TokenFile* tokens, const Credentials& credentials);

// Whether `caller` may call the method at all, before its request is known.
// PERMISSION_DENIED if its role has not that right anywhere.
absl::Status MayCallMethod(const Caller& caller, const MethodPolicy& policy);

// Whether `caller` may make this very request: has the method's right in the
// project that the request is about, may read all projects that it refers to,
// and may ask for the priority class. PERMISSION_DENIED, which is the same
// whether what is named exists or not; INVALID_ARGUMENT for a name without a
// project. `target` becomes the name that the request is about.
absl::Status MaySend(const Caller& caller, const MethodPolicy& policy,
                     const google::protobuf::Message& request,
                     std::string* target);

// The second part of that: whether `caller` may use all that `message` names,
// and its priority class, for something in `project`. For methods that put
// together what they do from more than the request (CloneJob): they check the
// result.
absl::Status MayReferTo(const Caller& caller, absl::string_view project,
                        const google::protobuf::Message& message);

}  // namespace retort::auth

#endif  // RETORT_SERVER_AUTH_GUARD_H_
