#include "server/worker/link.h"

#include <unistd.h>

#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/log.h"
#include "server/worker/dial_credentials.h"

namespace retort::worker {
namespace {

using internal::v1::AttachRequest;
using internal::v1::AttachResponse;

// How many checkpoints a new attachment hears of again.
constexpr size_t kRepeatedCheckpoints = 8;
// And of how many reports of progress: those that a server which was killed may
// have had in its hands. One that has stored them replaces equal by equal. Few:
// each costs the server a commit, and after a restart all workers come at once.
constexpr size_t kRepeatedProgress = 16;

// A sampled batch of float images passes gRPC's default of 4 MiB easily.
constexpr int kMaxMessageBytes = 256 << 20;
constexpr int kKeepaliveMs = 10'000;

std::shared_ptr<grpc::Channel> Dial(const LinkOptions& options) {
  grpc::ChannelArguments args;
  const int redial_ms =
      static_cast<int>(absl::ToInt64Milliseconds(options.redial));
  // The link itself decides when to dial; gRPC must not wait longer. (Its
  // MIN_RECONNECT_BACKOFF is left alone: it limits how long an attempt takes.)
  args.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, redial_ms);
  args.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, redial_ms);
  // A server whose machine is gone closes no stream. The server lets workers
  // ask so often (server.cc).
  args.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveMs);
  args.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveMs);
  args.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  args.SetMaxReceiveMessageSize(kMaxMessageBytes);
  args.SetMaxSendMessageSize(kMaxMessageBytes);
  return grpc::CreateCustomChannel(options.server,
                                   DialCredentials(options.server), args);
}

// Of a clock that does not run while the machine sleeps.
int64_t SteadyMs() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

// Codes with which a server refuses this worker for good, whatever it may be
// doing; all others may pass.
bool IsRefusal(grpc::StatusCode code) {
  switch (code) {
    case grpc::StatusCode::PERMISSION_DENIED:
    case grpc::StatusCode::UNAUTHENTICATED:
    case grpc::StatusCode::FAILED_PRECONDITION:
    case grpc::StatusCode::NOT_FOUND:
    case grpc::StatusCode::INVALID_ARGUMENT:
    case grpc::StatusCode::UNIMPLEMENTED:
      return true;
    default:
      return false;
  }
}

}  // namespace

Link::Link(const LinkOptions& options, LinkHandler* handler)
    : options_(options),
      handler_(handler),
      last_contact_(absl::Now()),
      lease_(options.lease) {}

Link::~Link() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
    if (context_ != nullptr) context_->TryCancel();
  }
  if (writer_.joinable()) writer_.join();
  if (reader_.joinable()) reader_.join();
}

void Link::Start() {
  {
    absl::MutexLock lock(&mutex_);
    last_contact_ = absl::Now();
  }
  reader_ = std::thread([this] { ReadLoop(); });
  writer_ = std::thread([this] { WriteLoop(); });
}

void Link::SetLease(absl::Duration lease) {
  absl::MutexLock lock(&mutex_);
  lease_ = lease;
}

void Link::SendProgress(const internal::v1::Progress& progress) {
  AttachRequest message;
  *message.mutable_progress() = progress;
  absl::MutexLock lock(&mutex_);
  progress_.push_back(std::move(message));
  if (static_cast<int64_t>(progress_.size()) <= options_.max_waiting_progress) {
    return;
  }
  std::deque<AttachRequest> thinned;
  for (size_t i = 1; i < progress_.size(); i += 2) {
    thinned.push_back(std::move(progress_[i]));
  }
  // The newest report always stays.
  if (progress_.size() % 2 == 1) thinned.push_back(std::move(progress_.back()));
  progress_ = std::move(thinned);
}

void Link::SetActivity(const char* activity, bool waiting) {
  active_since_ms_ = SteadyMs();
  activity_waits_ = waiting;
  activity_ = activity;
}

void Link::SendRendezvous(const internal::v1::Rendezvous& rendezvous) {
  AttachRequest message;
  *message.mutable_rendezvous() = rendezvous;
  absl::MutexLock lock(&mutex_);
  rendezvous_ = message;
  if (attached_) waiting_.push_back(std::move(message));
}

void Link::SendCheckpoint(const internal::v1::CheckpointWritten& checkpoint) {
  AttachRequest message;
  *message.mutable_checkpoint() = checkpoint;
  absl::MutexLock lock(&mutex_);
  checkpoints_.push_back(message);
  if (checkpoints_.size() > kRepeatedCheckpoints) checkpoints_.pop_front();
  // Without a server it is enough that the attachment repeats it.
  if (attached_) waiting_.push_back(std::move(message));
}

void Link::SendWarning(const std::string& text) {
  AttachRequest message;
  message.mutable_warning()->set_message(text);
  Enqueue(std::move(message));
}

void Link::SendReady(const internal::v1::ReplicaReady& ready) {
  AttachRequest message;
  *message.mutable_ready() = ready;
  absl::MutexLock lock(&mutex_);
  ready_ = message;
  if (attached_) waiting_.push_back(std::move(message));
}

void Link::SendAnswer(internal::v1::SampleAnswer answer) {
  AttachRequest message;
  *message.mutable_sample() = std::move(answer);
  absl::MutexLock lock(&mutex_);
  if (attached_) waiting_.push_back(std::move(message));
}

bool Link::End(const internal::v1::TaskEnded& ended, absl::Duration timeout) {
  AttachRequest message;
  *message.mutable_ended() = ended;
  absl::MutexLock lock(&mutex_);
  if (!ended_) {
    ended_ = std::move(message);
  }
  auto done = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return acknowledged_ || over_;
  };
  mutex_.AwaitWithTimeout(absl::Condition(&done), timeout);
  return acknowledged_;
}

bool Link::Flush(absl::Duration timeout) {
  absl::MutexLock lock(&mutex_);
  auto idle = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return over_ ||
           (waiting_.empty() && progress_.empty() && !EndIsDue() && !writing_);
  };
  return mutex_.AwaitWithTimeout(absl::Condition(&idle), timeout) && !over_;
}

void Link::Enqueue(AttachRequest message) {
  absl::MutexLock lock(&mutex_);
  waiting_.push_back(std::move(message));
  if (static_cast<int64_t>(waiting_.size()) > options_.max_waiting_messages) {
    waiting_.pop_front();
  }
}

AttachRequest Link::HelloMessage() const {
  AttachRequest message;
  internal::v1::Hello* hello = message.mutable_hello();
  hello->set_subject(options_.subject);
  hello->set_epoch(options_.epoch);
  hello->set_token(options_.token);
  hello->set_rank(options_.rank);
  hello->set_pid(getpid());
  char host[256] = {};
  if (gethostname(host, sizeof(host) - 1) == 0) hello->set_host(host);
  absl::MutexLock lock(&mutex_);
  hello->set_resumed(assigned_);
  return message;
}

AttachRequest Link::HeartbeatMessage() const {
  AttachRequest message;
  internal::v1::Heartbeat* beat = message.mutable_heartbeat();
  beat->set_step(step_);
  if (const char* activity = activity_) {
    beat->set_activity(activity);
    beat->set_waiting(activity_waits_);
    beat->set_activity_ms(SteadyMs() - active_since_ms_);
  }
  return message;
}

bool Link::EndIsDue() const { return ended_ && !acknowledged_ && !end_said_; }

void Link::RepeatSticky() {
  end_said_ = false;
  for (auto it = checkpoints_.rbegin(); it != checkpoints_.rend(); ++it) {
    waiting_.push_front(*it);
  }
  // In their order, before those that wait: the newest is heard last.
  progress_.insert(progress_.begin(), sent_progress_.begin(),
                   sent_progress_.end());
  sent_progress_.clear();
  if (ready_) waiting_.push_front(*ready_);
  if (rendezvous_) waiting_.push_front(*rendezvous_);
}

void Link::ReadLoop() {
  while (true) {
    const grpc::Status status = ReadOneStream();
    {
      absl::MutexLock lock(&mutex_);
      if (stopping_ || over_) return;
    }
    if (!MayRedial(status)) return;
    absl::MutexLock lock(&mutex_);
    mutex_.AwaitWithTimeout(absl::Condition(&stopping_), options_.redial);
    if (stopping_) return;
  }
}

bool Link::MayRedial(const grpc::Status& status) {
  bool lease_ended = false;
  absl::Duration lease;
  {
    absl::MutexLock lock(&mutex_);
    lease = lease_;
    lease_ended = absl::Now() - last_contact_ >= lease;
    over_ = lease_ended || IsRefusal(status.error_code());
    if (!over_) return true;
  }
  if (IsRefusal(status.error_code())) {
    handler_->OnFenced(status.error_message());
  } else {
    RETORT_LOG(warn, "no server for {}: giving up",
               absl::FormatDuration(lease));
    handler_->OnLeaseEnded();
  }
  return false;
}

grpc::Status Link::ReadOneStream() {
  // A channel of its own each time: it knows no back-off from the last one.
  auto stub = internal::v1::WorkerService::NewStub(Dial(options_));
  grpc::ClientContext context;
  {
    absl::MutexLock lock(&mutex_);
    if (stopping_) return grpc::Status::CANCELLED;
    context_ = &context;
  }
  std::unique_ptr<Stream> stream = stub->Attach(&context);
  bool attached = stream->Write(HelloMessage());
  if (attached) {
    absl::MutexLock write_lock(&write_mutex_);
    absl::MutexLock lock(&mutex_);
    stream_ = stream.get();
    attached_ = true;
    ++attachment_;
    heartbeat_due_ = absl::InfinitePast();
    RepeatSticky();
  }
  AttachResponse response;
  bool spoke = false;
  while (attached && stream->Read(&response)) {
    if (!spoke) RETORT_LOG(info, "attached to {}", options_.server);
    spoke = true;
    Dispatch(response);
  }
  {
    absl::MutexLock lock(&mutex_);
    attached_ = false;
    if (spoke) last_contact_ = absl::Now();
  }
  {
    absl::MutexLock write_lock(&write_mutex_);
    stream_ = nullptr;
  }
  const grpc::Status status = stream->Finish();
  bool wanted = false;  // ended by us: nothing was lost
  {
    absl::MutexLock lock(&mutex_);
    wanted = stopping_;
    context_ = nullptr;
    // What a new attachment repeats, or what has lost its meaning, goes.
    std::deque<AttachRequest> kept;
    for (AttachRequest& m : waiting_) {
      if (m.has_warning()) kept.push_back(std::move(m));
    }
    waiting_ = std::move(kept);
  }
  if (spoke && !wanted) {
    RETORT_LOG(warn, "lost the server ({}); working on, dialling again",
               status.error_message());
    handler_->OnDetached();
  } else if (!spoke && !wanted && status.error_message() != last_failure_) {
    RETORT_LOG(warn, "cannot reach {} ({}); dialling again", options_.server,
               status.error_message());
  }
  last_failure_ = spoke ? "" : status.error_message();
  return status;
}

void Link::Dispatch(const AttachResponse& response) {
  switch (response.message_case()) {
    case AttachResponse::kAssignment: {
      bool first = false;
      {
        absl::MutexLock lock(&mutex_);
        first = !std::exchange(assigned_, true);
      }
      if (first) handler_->OnAssignment(response.assignment());
      break;
    }
    case AttachResponse::kControl:
      if (response.control().action() == internal::v1::Control::ACTION_FENCED) {
        {
          absl::MutexLock lock(&mutex_);
          over_ = true;
        }
        handler_->OnFenced(response.control().reason());
      } else {
        handler_->OnControl(response.control());
      }
      break;
    case AttachResponse::kSample:
      handler_->OnSample(response.sample());
      break;
    case AttachResponse::kAcknowledged: {
      absl::MutexLock lock(&mutex_);
      acknowledged_ = ended_.has_value();
      break;
    }
    case AttachResponse::MESSAGE_NOT_SET:
      break;  // of a newer server; nothing this build could do
  }
}

std::optional<AttachRequest> Link::NextMessage() {
  for (auto* queue : {&waiting_, &progress_}) {
    if (queue->empty()) continue;
    AttachRequest message = std::move(queue->front());
    queue->pop_front();
    return message;
  }
  if (EndIsDue()) {
    // After all else: the server listens to nothing that follows the end.
    end_said_ = true;
    heartbeat_due_ = absl::Now() + options_.heartbeat;
    return ended_;
  }
  if (absl::Now() < heartbeat_due_) return std::nullopt;
  heartbeat_due_ = absl::Now() + options_.heartbeat;
  // The end is said with every beat until it is acknowledged.
  if (ended_ && !acknowledged_) return *ended_;
  return HeartbeatMessage();
}

void Link::PutBack(AttachRequest message) {
  if (message.has_progress()) {
    progress_.push_front(std::move(message));
  } else if (message.has_warning()) {
    waiting_.push_front(std::move(message));
  }
}

void Link::NoteWritten(AttachRequest message) {
  if (!message.has_progress()) return;
  sent_progress_.push_back(std::move(message));
  if (sent_progress_.size() > kRepeatedProgress) sent_progress_.pop_front();
}

void Link::WriteLoop() {
  auto has_work = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return stopping_ || (attached_ && (!waiting_.empty() ||
                                       !progress_.empty() || EndIsDue()));
  };
  while (true) {
    std::optional<AttachRequest> message;
    int64_t attachment = 0;
    {
      absl::MutexLock lock(&mutex_);
      const absl::Duration wait =
          attached_ ? heartbeat_due_ - absl::Now() : options_.heartbeat;
      mutex_.AwaitWithTimeout(absl::Condition(&has_work), wait);
      if (stopping_) return;
      if (!attached_) continue;
      message = NextMessage();
      attachment = attachment_;
      writing_ = message.has_value();
    }
    if (!message) continue;
    bool written = false;
    {
      absl::MutexLock write_lock(&write_mutex_);
      written = stream_ != nullptr && stream_->Write(*message);
    }
    absl::MutexLock lock(&mutex_);
    writing_ = false;
    if (written) {
      NoteWritten(*std::move(message));
    } else {
      if (attachment == attachment_) attached_ = false;
      PutBack(*std::move(message));
    }
  }
}

}  // namespace retort::worker
