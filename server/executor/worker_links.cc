#include "server/executor/worker_links.h"

#include <openssl/crypto.h>

#include "absl/strings/str_cat.h"
#include "core/base/log.h"
#include "core/base/sha256.h"
#include "server/base/resource_name.h"

namespace retort::executor {

void WorkerLinks::SetListener(absl::string_view collection,
                              WorkerListener* listener) {
  absl::MutexLock lock(&mutex_);
  listeners_[std::string(collection)] = listener;
}

void WorkerLinks::Expect(const std::string& subject, int64_t epoch,
                         const std::string& token_sha256) {
  absl::MutexLock lock(&mutex_);
  token_hashes_[{subject, epoch}] = token_sha256;
}

void WorkerLinks::Forget(const std::string& subject, int64_t epoch) {
  absl::MutexLock lock(&mutex_);
  token_hashes_.erase({subject, epoch});
}

absl::Status WorkerLinks::Admit(const internal::v1::Hello& hello) const {
  const std::string hash = base::Sha256Hex(hello.token());
  absl::MutexLock lock(&mutex_);
  const auto found = token_hashes_.find({hello.subject(), hello.epoch()});
  if (found == token_hashes_.end()) {
    return absl::FailedPreconditionError(
        absl::StrCat("no worker of ", hello.subject(), " with epoch ",
                     hello.epoch(), " is expected; stop"));
  }
  const std::string& expected = found->second;
  // In constant time: how much of a guess was right is nobody's business.
  if (expected.size() != hash.size() ||
      CRYPTO_memcmp(expected.data(), hash.data(), hash.size()) != 0) {
    return absl::PermissionDeniedError(
        absl::StrCat("wrong token for ", hello.subject()));
  }
  if (hello.rank() < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("there is no rank ", hello.rank()));
  }
  return absl::OkStatus();
}

WorkerListener* WorkerLinks::ListenerOf(const std::string& subject) const {
  const auto name = service::ParseAnyName(subject);
  if (!name.ok()) return nullptr;
  absl::MutexLock lock(&mutex_);
  const auto found = listeners_.find(name->collection);
  return found == listeners_.end() ? nullptr : found->second;
}

void WorkerLinks::Attached(const internal::v1::Hello& hello,
                           std::shared_ptr<WorkerSession> session) {
  WorkerListener* listener = ListenerOf(hello.subject());
  if (listener == nullptr) return;
  bool replaces;
  {
    absl::MutexLock lock(&mutex_);
    const WorkerSession*& current =
        current_[{{hello.subject(), hello.epoch()}, hello.rank()}];
    replaces = current != nullptr;
    current = session.get();
  }
  if (replaces) {
    listener->OnDetached(hello.subject(), hello.epoch(), hello.rank());
  }
  listener->OnAttached(hello.subject(), hello.epoch(), hello,
                       std::move(session));
}

void WorkerLinks::Message(const std::string& subject, int64_t epoch, int rank,
                          const WorkerSession* session,
                          const internal::v1::AttachRequest& message) {
  WorkerListener* listener = ListenerOf(subject);
  if (listener == nullptr) return;
  {
    absl::MutexLock lock(&mutex_);
    const auto found = current_.find({{subject, epoch}, rank});
    if (found == current_.end() || found->second != session) return;
  }
  listener->OnMessage(subject, epoch, rank, message);
}

void WorkerLinks::Detached(const std::string& subject, int64_t epoch, int rank,
                           const WorkerSession* session) {
  WorkerListener* listener = ListenerOf(subject);
  if (listener == nullptr) return;
  {
    absl::MutexLock lock(&mutex_);
    const auto found = current_.find({{subject, epoch}, rank});
    if (found == current_.end() || found->second != session) return;
    current_.erase(found);
  }
  listener->OnDetached(subject, epoch, rank);
}

void WorkerLinks::Placed(const std::string& subject, int64_t epoch,
                         const GangPlacement& placement) {
  if (WorkerListener* listener = ListenerOf(subject)) {
    listener->OnPlacement(subject, epoch, placement);
  }
}

void WorkerLinks::Exited(const std::string& subject, int64_t epoch,
                         const ExitStatus& exit) {
  Forget(subject, epoch);
  if (WorkerListener* listener = ListenerOf(subject)) {
    listener->OnExited(subject, epoch, exit);
  }
}

}  // namespace retort::executor
