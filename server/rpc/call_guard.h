#ifndef RETORT_SERVER_RPC_CALL_GUARD_H_
#define RETORT_SERVER_RPC_CALL_GUARD_H_

#include <grpcpp/grpcpp.h>
#include <grpcpp/support/server_interceptor.h>

#include <memory>

#include "absl/status/status.h"
#include "server/auth/caller.h"
#include "server/auth/token_file.h"

// Who calls, and whether they may. An interceptor judges every call before its
// method sees it (server/auth/guard.h); the method asks for the verdict by the
// call's context. Answer() does so for unary methods; the others ask themselves
// before they do anything. On a server without the interceptor, that is without
// tokens, everybody may do everything. All is thread-safe.
namespace retort::rpc {

// For ServerBuilder::experimental().SetInterceptorCreators. `tokens` outlives
// the server. Who did what by methods that change something, with the name of
// what came of it, and who was refused what, is logged.
std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>
MakeCallGuard(auth::TokenFile* tokens);

// The verdict over the call and its request (the first one, of a stream).
// Errors: UNAUTHENTICATED, PERMISSION_DENIED, INVALID_ARGUMENT (it names no
// project).
absl::Status MayCall(const grpc::ServerContextBase& context);

// The verdict as far as it goes without a request, for methods that read their
// requests as a stream: they ask MayCall again once they have the first.
absl::Status MayBegin(const grpc::ServerContextBase& context);

// Who calls, for answers that differ by that. Never null; may do nothing if
// the call was refused.
std::shared_ptr<const auth::Caller> CallerOf(
    const grpc::ServerContextBase& context);

}  // namespace retort::rpc

#endif  // RETORT_SERVER_RPC_CALL_GUARD_H_
