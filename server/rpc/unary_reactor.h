#ifndef RETORT_SERVER_RPC_UNARY_REACTOR_H_
#define RETORT_SERVER_RPC_UNARY_REACTOR_H_

#include <grpcpp/grpcpp.h>

#include <functional>
#include <memory>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "server/metrics/service_metrics.h"

// Helpers for callback methods. A unary method is one line:
//
//   grpc::ServerUnaryReactor* GetJob(grpc::CallbackServerContext* context,
//                                    const v1::GetJobRequest* request,
//                                    v1::Job* response) override {
//     return Answer(context, "JobService/GetJob", metrics_,
//                   [&] { return DoGetJob(*request, response); });
//   }
namespace retort::rpc {

// Returns the deadline of a call; InfiniteFuture if it has none.
absl::Time DeadlineOf(const grpc::ServerContextBase& context);

// Runs `method` at once and finishes the call with its status, unless the
// caller may not call it (call_guard.h), the call is cancelled or its deadline
// passed already. Counts call and latency.
// For methods that take milliseconds.
grpc::ServerUnaryReactor* Answer(grpc::CallbackServerContext* context,
                                 const char* method_name,
                                 metrics::ServiceMetrics* metrics,
                                 const std::function<absl::Status()>& method);

// Finishes the call with UNIMPLEMENTED and NOT_IMPLEMENTED.
grpc::ServerUnaryReactor* AnswerNotImplemented(
    grpc::CallbackServerContext* context, const char* method_name,
    metrics::ServiceMetrics* metrics);

// A unary call that is answered later, from any thread. Ask MayCall, make one
// with Create, return reactor() from the method, keep the shared pointer until
// Finish.
//
//   auto call = DeferredCall::Create(context, "SamplingService/Sample", m);
//   call->OnCancel([ticket] { ticket->Cancel(); });
//   Submit(..., [call](absl::Status s) { call->Finish(s); });
//   return call->reactor();
//
// Thread-safe.
class DeferredCall {
 public:
  static std::shared_ptr<DeferredCall> Create(
      grpc::CallbackServerContext* context, const char* method_name,
      metrics::ServiceMetrics* metrics);
  virtual ~DeferredCall() = default;

  // To be returned from the service's method, once.
  virtual grpc::ServerUnaryReactor* reactor() = 0;

  // Sets what to do when the caller gives up (cancel or deadline); called at
  // most once, at once if that has happened already, with no lock held. The
  // call must still be finished.
  virtual void OnCancel(std::function<void()> callback) = 0;

  // Ends the call. The first Finish counts, later ones do nothing.
  // The response must be written before, and not touched after it.
  virtual void Finish(const absl::Status& status) = 0;
};

}  // namespace retort::rpc

#endif  // RETORT_SERVER_RPC_UNARY_REACTOR_H_
