#ifndef RETORT_SERVER_WORKER_LINK_H_
#define RETORT_SERVER_WORKER_LINK_H_

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "retort/internal/v1/worker.grpc.pb.h"
#include "server/worker/outbox.h"

namespace retort::worker {

// What the server says. Called on the link's own thread, one call at a time,
// so implementations hand the message on and return.
class LinkHandler {
 public:
  virtual ~LinkHandler() = default;

  // Comes again after each new attachment; only the first one counts.
  virtual void OnAssignment(const internal::v1::Assignment& assignment) = 0;

  // Never ACTION_FENCED; see OnFenced.
  virtual void OnControl(const internal::v1::Control& control) = 0;

  virtual void OnSample(const internal::v1::SampleTask& task) = 0;

  // The stream broke: whoever waited for answers has given up, and the ids of
  // SampleTasks mean nothing any more. The link dials again by itself.
  virtual void OnDetached() = 0;

  // The server does not want this process (any more): another incarnation
  // has taken over, or the token is wrong. The process must end at once and
  // write nothing. The link dials no more.
  virtual void OnFenced(const std::string& reason) = 0;

  // No server for as long as LinkOptions::lease. The link dials no more.
  virtual void OnLeaseEnded() = 0;
};

struct LinkOptions {
  // gRPC target of the server: "unix:/data/worker.sock", "127.0.0.1:7433".
  std::string server;
  // Job or deployment, by full name, and which incarnation of it this is.
  std::string subject;
  int64_t epoch = 0;
  // Which process of the gang this is.
  int rank = 0;
  // Proves to the server that it started this process.
  std::string token;

  absl::Duration heartbeat = absl::Seconds(2);
  absl::Duration redial = absl::Seconds(1);
  // How long to work on without a server. While it lasts nothing is lost: a
  // server that comes back finds the work where it would have been.
  absl::Duration lease = absl::Minutes(15);

  // Limits of what waits for a server. Beyond them the oldest message goes,
  // and of progress every second report: a metric series gets coarser.
  int64_t max_waiting_messages = 4096;
  int64_t max_waiting_progress = 1024;
};

// The worker's end of the stream between server and worker.
//
//   Link link(options, &handler);
//   link.Start();
//   ... handler.OnAssignment() comes; work; link.SendProgress(...) ...
//   link.End(ended, absl::InfiniteDuration());
//
// Says hello, beats every two seconds, and keeps what is said while there is
// no server. A new attachment repeats what a restarted server may have missed:
// the rendezvous, the newest checkpoints and reports of progress, a replica's
// readiness and a task's end. Messages are copied in and sent from the link's
// own threads; no method but End() and Flush() waits. Thread-safe. `handler`
// outlives the link.
class Link : public Outbox {
 public:
  Link(const LinkOptions& options, LinkHandler* handler);
  // Stops the threads; what still waits is dropped.
  ~Link() override;
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;

  void Start();

  // Replaces LinkOptions::lease.
  void SetLease(absl::Duration lease);

  void SetStep(int64_t step) override { step_ = step; }
  void SetActivity(const char* activity, bool waiting) override;
  void SendRendezvous(const internal::v1::Rendezvous& rendezvous) override;
  void SendProgress(const internal::v1::Progress& progress) override;
  void SendCheckpoint(
      const internal::v1::CheckpointWritten& checkpoint) override;
  void SendWarning(const std::string& message) override;
  void SendReady(const internal::v1::ReplicaReady& ready) override;
  void SendAnswer(internal::v1::SampleAnswer answer) override;

  // Says how the task ended, again and again until the server acknowledges.
  // False if that does not happen within `timeout` or before the lease ends;
  // calling it again waits on.
  bool End(const internal::v1::TaskEnded& ended, absl::Duration timeout);

  // Waits until nothing is waiting to be sent; false after `timeout`.
  bool Flush(absl::Duration timeout);

  // The server does not want this process any more, or has been away for the
  // whole lease.
  bool over() const {
    absl::MutexLock lock(&mutex_);
    return over_;
  }

  // Over, or with no server for longer than the lease; known without the
  // reader's thread, which may hang. May be true for a moment while a stream
  // breaks.
  bool lease_over() const {
    absl::MutexLock lock(&mutex_);
    return over_ || (!attached_ && absl::Now() - last_contact_ >= lease_);
  }

 private:
  using Stream = grpc::ClientReaderWriter<internal::v1::AttachRequest,
                                          internal::v1::AttachResponse>;

  // The reader's thread: dials, reads until the stream breaks, waits, dials.
  void ReadLoop();
  // Attaches once and reads to the end of the stream.
  grpc::Status ReadOneStream();
  void Dispatch(const internal::v1::AttachResponse& response);
  // True if there is any use in dialling again after `status`.
  bool MayRedial(const grpc::Status& status);

  // The writer's thread: sends what waits, and heartbeats.
  void WriteLoop();
  // Returns the next message to send. Nothing when none is due.
  std::optional<internal::v1::AttachRequest> NextMessage()
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // The end has been reached, and not been said on this stream yet.
  bool EndIsDue() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void PutBack(internal::v1::AttachRequest message)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // It is on its way, which is not to say that a server has stored it.
  void NoteWritten(internal::v1::AttachRequest message)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Enqueue(internal::v1::AttachRequest message);
  internal::v1::AttachRequest HelloMessage() const;
  internal::v1::AttachRequest HeartbeatMessage() const;
  // Queues what a server that has just been attached to must know.
  void RepeatSticky() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const LinkOptions options_;
  LinkHandler* const handler_;
  std::string last_failure_;  // to attach; of the reader's thread alone
  std::atomic<int64_t> step_{0};
  // Written in this order and read in the other, so that what is read with a
  // new activity is not of the one before.
  std::atomic<int64_t> active_since_ms_{0};  // of the steady clock
  std::atomic<bool> activity_waits_{false};
  std::atomic<const char*> activity_{nullptr};

  mutable absl::Mutex mutex_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  bool over_ ABSL_GUARDED_BY(mutex_) = false;  // fenced, or lease ended
  bool attached_ ABSL_GUARDED_BY(mutex_) = false;
  bool assigned_ ABSL_GUARDED_BY(mutex_) = false;
  bool acknowledged_ ABSL_GUARDED_BY(mutex_) = false;
  bool end_said_ ABSL_GUARDED_BY(mutex_) = false;  // on this stream
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  int64_t attachment_ ABSL_GUARDED_BY(mutex_) = 0;  // counts streams
  absl::Time heartbeat_due_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();
  absl::Time last_contact_ ABSL_GUARDED_BY(mutex_);
  absl::Duration lease_ ABSL_GUARDED_BY(mutex_);
  std::deque<internal::v1::AttachRequest> waiting_ ABSL_GUARDED_BY(mutex_);
  std::deque<internal::v1::AttachRequest> progress_ ABSL_GUARDED_BY(mutex_);
  // Repeated at each attachment.
  std::deque<internal::v1::AttachRequest> checkpoints_ ABSL_GUARDED_BY(mutex_);
  // Those that were written to a stream.
  std::deque<internal::v1::AttachRequest> sent_progress_
      ABSL_GUARDED_BY(mutex_);
  std::optional<internal::v1::AttachRequest> rendezvous_
      ABSL_GUARDED_BY(mutex_);
  std::optional<internal::v1::AttachRequest> ready_ ABSL_GUARDED_BY(mutex_);
  std::optional<internal::v1::AttachRequest> ended_ ABSL_GUARDED_BY(mutex_);
  grpc::ClientContext* context_ ABSL_GUARDED_BY(mutex_) = nullptr;

  // Held while a message is written, so that the reader does not end a stream
  // under the writer. Taken before mutex_, never after it.
  absl::Mutex write_mutex_ ABSL_ACQUIRED_BEFORE(mutex_);
  Stream* stream_ ABSL_GUARDED_BY(write_mutex_) = nullptr;

  std::thread reader_;
  std::thread writer_;
};

}  // namespace retort::worker

#endif  // RETORT_SERVER_WORKER_LINK_H_
