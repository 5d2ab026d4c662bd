#include "server/rpc/worker_stream.h"

#include <utility>

#include "core/base/log.h"
#include "server/rpc/status.h"

namespace retort::rpc {

WorkerStream* WorkerStream::Create(executor::WorkerLinks* links) {
  std::shared_ptr<WorkerStream> stream(new WorkerStream(links));
  WorkerStream* raw = stream.get();
  raw->self_ = std::move(stream);
  raw->StartRead(&raw->incoming_);
  return raw;
}

void WorkerStream::Send(internal::v1::AttachResponse response) {
  {
    absl::MutexLock lock(&mutex_);
    if (broken_ || end_.has_value()) return;
    outgoing_.push_back(std::move(response));
  }
  Advance();
}

void WorkerStream::Close(const absl::Status& status) {
  {
    absl::MutexLock lock(&mutex_);
    if (end_.has_value()) return;
    end_ = status;
  }
  Advance();
}

void WorkerStream::Advance() {
  std::optional<absl::Status> end;
  {
    absl::MutexLock lock(&mutex_);
    if (writing_ || finished_) return;
    if (!outgoing_.empty() && !broken_) {
      current_ = std::move(outgoing_.front());
      outgoing_.pop_front();
      writing_ = true;
    } else if (end_.has_value()) {
      finished_ = true;
      end = end_;
    } else {
      return;
    }
  }
  // Without the lock; the two cannot meet, since the end is only begun when no
  // write is under way, and no write after it.
  if (end.has_value()) {
    Finish(ToGrpc(*end));
  } else {
    StartWrite(&current_);
  }
}

void WorkerStream::Greet() {
  const internal::v1::Hello& hello = incoming_.hello();
  if (!incoming_.has_hello()) {
    Close(absl::InvalidArgumentError("the first message must be a hello"));
    return;
  }
  const absl::Status admitted = links_->Admit(hello);
  if (!admitted.ok()) {
    RETORT_LOG(warn, "a worker is refused: {}",
               std::string(admitted.message()));
    Close(admitted);
    return;
  }
  attached_ = true;
  subject_ = hello.subject();
  epoch_ = hello.epoch();
  rank_ = hello.rank();
  links_->Attached(hello, self_);
}

void WorkerStream::OnReadDone(bool ok) {
  if (!ok) {
    if (attached_) links_->Detached(subject_, epoch_, rank_, this);
    {
      absl::MutexLock lock(&mutex_);
      broken_ = true;
    }
    Close(absl::OkStatus());
    return;
  }
  if (attached_) {
    links_->Message(subject_, epoch_, rank_, this, incoming_);
  } else {
    Greet();
  }
  // Also when refused: the stream is read to its end.
  StartRead(&incoming_);
}

void WorkerStream::OnWriteDone(bool ok) {
  {
    absl::MutexLock lock(&mutex_);
    writing_ = false;
    if (!ok) broken_ = true;
  }
  Advance();
}

void WorkerStream::OnCancel() {
  absl::MutexLock lock(&mutex_);
  broken_ = true;
}

void WorkerStream::OnDone() {
  // Ends here unless someone still holds it as a session.
  std::shared_ptr<WorkerStream> self = std::move(self_);
}

}  // namespace retort::rpc
