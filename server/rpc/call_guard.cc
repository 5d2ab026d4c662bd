#include "server/rpc/call_guard.h"

#include <google/protobuf/message.h>
#include <grpc/grpc_security_constants.h>

#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "core/base/log.h"
#include "server/auth/guard.h"
#include "server/base/error.h"

namespace retort::rpc {
namespace {

using grpc::experimental::InterceptionHookPoints;
using grpc::experimental::InterceptorBatchMethods;

struct Verdict {
  absl::Status status;
  std::shared_ptr<const auth::Caller> caller;  // null if that is not known
  bool heard_request = false;
};

// The verdicts over the calls that are under way in this process, by context.
class Verdicts {
 public:
  static Verdicts& Get() {
    static auto* const verdicts = new Verdicts;
    return *verdicts;
  }

  void Set(const grpc::ServerContextBase* context, const void* owner,
           Verdict verdict) ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    verdicts_[context] = {owner, std::move(verdict)};
  }
  // A context at the same address may belong to another call by now.
  void Erase(const grpc::ServerContextBase* context, const void* owner)
      ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    const auto found = verdicts_.find(context);
    if (found != verdicts_.end() && found->second.owner == owner) {
      verdicts_.erase(found);
    }
  }
  // False if nobody judges calls here.
  bool Find(const grpc::ServerContextBase* context, Verdict* verdict) const
      ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    const auto found = verdicts_.find(context);
    if (found == verdicts_.end()) return false;
    *verdict = found->second.verdict;
    return true;
  }

 private:
  struct Entry {
    const void* owner = nullptr;
    Verdict verdict;
  };
  mutable absl::Mutex mutex_;
  absl::flat_hash_map<const grpc::ServerContextBase*, Entry> verdicts_
      ABSL_GUARDED_BY(mutex_);
};

auth::Credentials CredentialsOf(const grpc::ServerContextBase& context) {
  auth::Credentials credentials;
  const auto [begin, end] =
      context.client_metadata().equal_range("authorization");
  for (auto it = begin; it != end; ++it) {
    credentials.authorization.emplace_back(it->second.data(),
                                           it->second.size());
  }
  const auto peer = context.auth_context();
  if (peer != nullptr && peer->IsPeerAuthenticated()) {
    for (const auto& name :
         peer->FindPropertyValues(GRPC_X509_CN_PROPERTY_NAME)) {
      credentials.common_names.emplace_back(name.data(), name.size());
    }
  }
  return credentials;
}

// One call. gRPC runs Intercept before the method for what has come, and
// before anything is sent; it may do so from two threads at once only for a
// stream's reads and writes, of which the first request is judged alone.
class CallGuard : public grpc::experimental::Interceptor {
 public:
  CallGuard(const auth::MethodPolicy& policy, auth::TokenFile* tokens,
            const grpc::ServerContextBase* context)
      : policy_(policy), tokens_(tokens), context_(context) {}
  ~CallGuard() override { Verdicts::Get().Erase(context_, this); }

  void Intercept(InterceptorBatchMethods* methods) override {
    if (methods->QueryInterceptionHookPoint(
            InterceptionHookPoints::POST_RECV_INITIAL_METADATA)) {
      OnCall();
    }
    if (methods->QueryInterceptionHookPoint(
            InterceptionHookPoints::POST_RECV_MESSAGE) &&
        !verdict_.heard_request) {
      OnRequest(static_cast<const google::protobuf::Message*>(
          methods->GetRecvMessage()));
    }
    // Together with the status, or before it.
    if (methods->QueryInterceptionHookPoint(
            InterceptionHookPoints::PRE_SEND_MESSAGE) &&
        policy_.right != auth::Right::kRead) {
      OnResponse(static_cast<const google::protobuf::Message*>(
          methods->GetSendMessage()));
    }
    if (methods->QueryInterceptionHookPoint(
            InterceptionHookPoints::PRE_SEND_STATUS)) {
      OnStatus(methods->GetSendStatus());
    }
    methods->Proceed();
  }

 private:
  void OnCall() {
    auto caller = auth::Identify(tokens_, CredentialsOf(*context_));
    verdict_.status = caller.status();
    if (caller.ok()) {
      verdict_.caller = *caller;
      verdict_.status = auth::MayCallMethod(**caller, policy_);
    }
    Verdicts::Get().Set(context_, this, verdict_);
  }

  void OnRequest(const google::protobuf::Message* request) {
    // Null at the end of a stream, or if it could not be read: then no method
    // sees it.
    if (request == nullptr) return;
    verdict_.heard_request = true;
    if (verdict_.status.ok()) {
      verdict_.status =
          auth::MaySend(*verdict_.caller, policy_, *request, &target_);
    }
    Verdicts::Get().Set(context_, this, verdict_);
  }

  // What was made has a name of its own, which nobody else may know yet.
  void OnResponse(const google::protobuf::Message* response) {
    if (response == nullptr) return;
    const google::protobuf::FieldDescriptor* field =
        response->GetDescriptor()->FindFieldByName("name");
    if (field == nullptr || field->is_repeated() ||
        field->cpp_type() !=
            google::protobuf::FieldDescriptor::CPPTYPE_STRING) {
      return;
    }
    const std::string name =
        response->GetReflection()->GetString(*response, field);
    if (name != target_) made_ = name;
  }

  void OnStatus(const grpc::Status& status) const {
    if (!verdict_.status.ok()) {
      RETORT_LOG(warn, "refused: {} from {} by {}: {}", policy_.method,
                 context_->peer(), Name(),
                 std::string(verdict_.status.message()));
    } else if (policy_.right != auth::Right::kRead) {
      RETORT_LOG(info, "audit: {} called {} on {}: {}{}", Name(),
                 policy_.method,
                 target_.empty() ? std::string("the machines") : target_,
                 absl::StatusCodeToString(
                     static_cast<absl::StatusCode>(status.error_code())),
                 made_.empty() ? "" : absl::StrCat(", ", made_));
    }
  }

  std::string Name() const {
    return verdict_.caller == nullptr ? "nobody known"
                                      : verdict_.caller->name();
  }

  const auth::MethodPolicy& policy_;
  auth::TokenFile* const tokens_;
  const grpc::ServerContextBase* const context_;
  Verdict verdict_;
  std::string target_;
  std::string made_;  // what the answer names, if that is another name
};

class CallGuardFactory
    : public grpc::experimental::ServerInterceptorFactoryInterface {
 public:
  explicit CallGuardFactory(auth::TokenFile* tokens) : tokens_(tokens) {}

  grpc::experimental::Interceptor* CreateServerInterceptor(
      grpc::experimental::ServerRpcInfo* info) override {
    const auth::MethodPolicy* policy = auth::FindPolicy(info->method());
    if (policy != nullptr) {
      return new CallGuard(*policy, tokens_, info->server_context());
    }
    if (auth::IsOpen(info->method())) return nullptr;
    // Nobody has said who may call it: nobody may.
    static const auth::MethodPolicy kUnknown = {"a method without a policy",
                                                auth::Right::kOperate,
                                                auth::Scope::kMachines, ""};
    return new CallGuard(kUnknown, tokens_, info->server_context());
  }

 private:
  auth::TokenFile* const tokens_;
};

}  // namespace

std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>
MakeCallGuard(auth::TokenFile* tokens) {
  return std::make_unique<CallGuardFactory>(tokens);
}

absl::Status MayBegin(const grpc::ServerContextBase& context) {
  Verdict verdict;
  return Verdicts::Get().Find(&context, &verdict) ? verdict.status
                                                  : absl::OkStatus();
}

absl::Status MayCall(const grpc::ServerContextBase& context) {
  Verdict verdict;
  if (!Verdicts::Get().Find(&context, &verdict)) return absl::OkStatus();
  if (verdict.status.ok() && !verdict.heard_request) {
    return service::Error(absl::StatusCode::kPermissionDenied,
                          v1::ERROR_REASON_PERMISSION_DENIED,
                          "the call has no request to be judged by");
  }
  return verdict.status;
}

std::shared_ptr<const auth::Caller> CallerOf(
    const grpc::ServerContextBase& context) {
  Verdict verdict;
  if (!Verdicts::Get().Find(&context, &verdict)) return auth::Caller::Anyone();
  if (verdict.caller != nullptr) return verdict.caller;
  static const auto* const nobody = new std::shared_ptr<const auth::Caller>(
      std::make_shared<auth::Caller>(auth::Grant{.name = "nobody known"}));
  return *nobody;
}

}  // namespace retort::rpc
