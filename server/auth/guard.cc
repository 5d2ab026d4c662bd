#include "server/auth/guard.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/status_macros.h"
#include "server/auth/request_scope.h"
#include "server/base/error.h"

namespace retort::auth {
namespace {

constexpr char kScheme[] = "bearer ";

absl::Status Unauthenticated(absl::string_view message) {
  return service::Error(absl::StatusCode::kUnauthenticated,
                        v1::ERROR_REASON_UNAUTHENTICATED, message);
}

absl::Status Denied(absl::string_view message,
                    const std::map<std::string, std::string>& metadata = {}) {
  return service::Error(absl::StatusCode::kPermissionDenied,
                        v1::ERROR_REASON_PERMISSION_DENIED, message, metadata);
}

absl::Status DeniedIn(const Caller& caller, Right right,
                      absl::string_view project) {
  return Denied(
      absl::StrCat(caller.name(), " may not ", RightName(right), " project ",
                   project, caller.projects().empty() ? "" : ", but ",
                   absl::StrJoin(caller.projects(), " and "),
                   caller.projects().empty() ? "" : " (--project)",
                   "; ask an operator for a token that may"),
      {{"project", std::string(project)}});
}

}  // namespace

absl::StatusOr<std::shared_ptr<const Caller>> Identify(
    TokenFile* tokens, const Credentials& credentials) {
  if (credentials.authorization.size() > 1) {
    return Unauthenticated("more than one authorization was sent; send one");
  }
  if (credentials.authorization.size() == 1) {
    const std::string& value = credentials.authorization[0];
    if (!absl::StartsWithIgnoreCase(value, kScheme)) {
      return Unauthenticated(
          "the authorization is no bearer token; send \"Bearer TOKEN\"");
    }
    auto caller =
        tokens->FindToken(absl::string_view(value).substr(sizeof(kScheme) - 1));
    if (caller != nullptr) return caller;
    return Unauthenticated(
        "the token is not known (any more); ask an operator for a new one");
  }
  for (const std::string& name : credentials.common_names) {
    auto caller = tokens->FindCertificate(name);
    if (caller != nullptr) return caller;
  }
  return Unauthenticated(
      "the server wants a token, and none was sent (metadata "
      "\"authorization: Bearer TOKEN\")");
}

absl::Status MayCallMethod(const Caller& caller, const MethodPolicy& policy) {
  if (policy.scope == Scope::kMachines && !caller.OperatesAll()) {
    return Denied(absl::StrCat(policy.method,
                               " is for operators of all projects, and ",
                               caller.name(), " is none; ask one of them"));
  }
  if (policy.right <= caller.right()) return absl::OkStatus();
  return Denied(absl::StrCat(caller.name(), " may only ",
                             RightName(caller.right()), ", and ", policy.method,
                             " needs the right to ", RightName(policy.right),
                             "; ask an operator for a token of another role"));
}

absl::Status MayReferTo(const Caller& caller, absl::string_view project,
                        const google::protobuf::Message& message) {
  const References references = ReferencesOf(message);
  for (const std::string& referred : references.projects) {
    if (!caller.MayRead(referred)) {
      return DeniedIn(caller, Right::kRead, referred);
    }
  }
  if (references.high_priority && !caller.MayOperate(project)) {
    return Denied(
        absl::StrCat("PRIORITY_CLASS_HIGH is for operators of project ",
                     project, ", and ", caller.name(),
                     " is none; take PRIORITY_CLASS_NORMAL"),
        {{"project", std::string(project)}});
  }
  return absl::OkStatus();
}

absl::Status MaySend(const Caller& caller, const MethodPolicy& policy,
                     const google::protobuf::Message& request,
                     std::string* target) {
  RETORT_RETURN_IF_ERROR(MayCallMethod(caller, policy));
  std::string project;
  if (policy.scope == Scope::kProject) {
    RETORT_ASSIGN_OR_RETURN(const NamedProject named,
                            ProjectOf(request, policy.name_field));
    *target = named.name;
    project = named.project;
    if (!caller.May(policy.right, project)) {
      return DeniedIn(caller, policy.right, project);
    }
  }
  return MayReferTo(caller, project, request);
}

}  // namespace retort::auth
