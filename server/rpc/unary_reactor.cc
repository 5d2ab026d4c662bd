#include "server/rpc/unary_reactor.h"

#include <chrono>
#include <string>

#include "absl/strings/str_cat.h"
#include "server/base/error.h"
#include "server/rpc/call_guard.h"
#include "server/rpc/status.h"

namespace retort::rpc {
namespace {

// Counts one call from here to Done.
class CallTimer {
 public:
  CallTimer(const char* method_name, metrics::ServiceMetrics* metrics)
      : method_name_(method_name), metrics_(metrics), start_(absl::Now()) {}

  void Done(const absl::Status& status) const {
    metrics_->CountRpc(method_name_, absl::StatusCodeToString(status.code()),
                       absl::Now() - start_);
  }

 private:
  const char* const method_name_;
  metrics::ServiceMetrics* const metrics_;
  const absl::Time start_;
};

absl::Status MayAnswer(const grpc::CallbackServerContext& context) {
  if (context.IsCancelled()) return absl::CancelledError("cancelled");
  if (DeadlineOf(context) <= absl::Now()) {
    return absl::DeadlineExceededError("the deadline has passed");
  }
  return MayCall(context);
}

// DeferredCall's gRPC side: owned by itself until OnDone, by the call until
// Finish.
class DeferredCallImpl : public DeferredCall, public grpc::ServerUnaryReactor {
 public:
  DeferredCallImpl(const char* method_name, metrics::ServiceMetrics* metrics)
      : timer_(method_name, metrics) {}

  void KeepUntilDone(std::shared_ptr<DeferredCallImpl> self) {
    self_ = std::move(self);
  }

  grpc::ServerUnaryReactor* reactor() override { return this; }

  void OnCancel(std::function<void()> callback) override {
    bool now;
    {
      absl::MutexLock lock(&mutex_);
      now = cancelled_;
      if (!now) on_cancel_ = std::move(callback);
    }
    if (now) callback();
  }

  void Finish(const absl::Status& status) override {
    {
      absl::MutexLock lock(&mutex_);
      if (finished_) return;
      finished_ = true;
      on_cancel_ = nullptr;
    }
    timer_.Done(status);
    grpc::ServerUnaryReactor::Finish(ToGrpc(status));
  }

  void OnCancel() override {
    std::function<void()> callback;
    {
      absl::MutexLock lock(&mutex_);
      cancelled_ = true;
      callback.swap(on_cancel_);
    }
    if (callback) callback();
  }

  void OnDone() override {
    // Releases the last reference but those of the call.
    std::shared_ptr<DeferredCallImpl> self = std::move(self_);
  }

 private:
  const CallTimer timer_;
  std::shared_ptr<DeferredCallImpl> self_;

  absl::Mutex mutex_;
  std::function<void()> on_cancel_ ABSL_GUARDED_BY(mutex_);
  bool cancelled_ ABSL_GUARDED_BY(mutex_) = false;
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace

absl::Time DeadlineOf(const grpc::ServerContextBase& context) {
  const auto deadline = context.deadline();
  // gRPC's "none" is far beyond what absl can hold.
  if (deadline >
      std::chrono::system_clock::now() + std::chrono::hours(24 * 365 * 10)) {
    return absl::InfiniteFuture();
  }
  return absl::FromChrono(deadline);
}

grpc::ServerUnaryReactor* Answer(grpc::CallbackServerContext* context,
                                 const char* method_name,
                                 metrics::ServiceMetrics* metrics,
                                 const std::function<absl::Status()>& method) {
  const CallTimer timer(method_name, metrics);
  absl::Status status = MayAnswer(*context);
  if (status.ok()) status = method();
  timer.Done(status);
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  reactor->Finish(ToGrpc(status));
  return reactor;
}

grpc::ServerUnaryReactor* AnswerNotImplemented(
    grpc::CallbackServerContext* context, const char* method_name,
    metrics::ServiceMetrics* metrics) {
  return Answer(context, method_name, metrics, [method_name] {
    return service::NotImplemented(absl::StrCat("the method ", method_name));
  });
}

std::shared_ptr<DeferredCall> DeferredCall::Create(
    grpc::CallbackServerContext* context, const char* method_name,
    metrics::ServiceMetrics* metrics) {
  auto call = std::make_shared<DeferredCallImpl>(method_name, metrics);
  call->KeepUntilDone(call);
  return call;
}

}  // namespace retort::rpc
