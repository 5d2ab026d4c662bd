#ifndef RETORT_SERVER_WORKER_OUTBOX_H_
#define RETORT_SERVER_WORKER_OUTBOX_H_

#include <cstdint>
#include <string>

#include "retort/internal/v1/worker.pb.h"

namespace retort::worker {

// Where tasks put what they have to say. Implemented by Link; thread-safe, and
// no method waits.
class Outbox {
 public:
  virtual ~Outbox() = default;

  // The step that heartbeats carry.
  virtual void SetStep(int64_t step) = 0;
  // What the task's thread is at from now on, of which heartbeats tell with how
  // long it has been: "training", "checkpoint". `waiting`: it waits for other
  // ranks, and is not to blame if that takes long. Calling it again with the
  // same is a sign of life. `activity` is a literal, or lives as long as this.
  // Cheap: for several calls a step.
  virtual void SetActivity(const char* activity, bool waiting) = 0;
  // Where rank 0 of a gang is to be found by the others; repeated to a server
  // that comes back.
  virtual void SendRendezvous(const internal::v1::Rendezvous& rendezvous) = 0;
  virtual void SendProgress(const internal::v1::Progress& progress) = 0;
  virtual void SendCheckpoint(
      const internal::v1::CheckpointWritten& checkpoint) = 0;
  virtual void SendWarning(const std::string& message) = 0;
  virtual void SendReady(const internal::v1::ReplicaReady& ready) = 0;
  // Dropped when the stream breaks before it is on its way.
  virtual void SendAnswer(internal::v1::SampleAnswer answer) = 0;
};

}  // namespace retort::worker

#endif  // RETORT_SERVER_WORKER_OUTBOX_H_
