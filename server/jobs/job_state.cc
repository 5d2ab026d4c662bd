#include "server/jobs/job_state.h"

#include "absl/strings/strip.h"

namespace retort::jobs {
namespace {

using J = v1::Job;

// The arrows that leave `from`.
std::vector<State> ArrowsFrom(State from) {
  switch (from) {
    case J::STATE_QUEUED:
      return {J::STATE_STARTING, J::STATE_CANCELLED, J::STATE_FAILED,
              J::STATE_PAUSED};
    case J::STATE_STARTING:
      return {J::STATE_RUNNING, J::STATE_QUEUED,  J::STATE_CANCELLING,
              J::STATE_FAILED,  J::STATE_PAUSING, J::STATE_CANCELLED};
    case J::STATE_RUNNING:
      return {J::STATE_SUCCEEDED, J::STATE_FAILED,  J::STATE_CANCELLED,
              J::STATE_QUEUED,    J::STATE_PAUSING, J::STATE_CANCELLING};
    case J::STATE_PAUSING:
      return {J::STATE_PAUSED, J::STATE_SUCCEEDED, J::STATE_FAILED,
              J::STATE_CANCELLING};
    case J::STATE_PAUSED:
      return {J::STATE_QUEUED, J::STATE_CANCELLED};
    case J::STATE_CANCELLING:
      return {J::STATE_CANCELLED, J::STATE_SUCCEEDED};
    case J::STATE_CANCELLED:
    case J::STATE_FAILED:
      return {J::STATE_QUEUED};
    default:
      return {};
  }
}

}  // namespace

bool CanMove(State from, State to) {
  for (State arrow : ArrowsFrom(from)) {
    if (arrow == to) return true;
  }
  return false;
}

bool IsEnded(State state) {
  return state == J::STATE_SUCCEEDED || state == J::STATE_FAILED ||
         state == J::STATE_CANCELLED;
}

bool CanResume(State state) {
  return !HasWorker(state) && CanMove(state, J::STATE_QUEUED);
}

bool HasWorker(State state) {
  return state == J::STATE_STARTING || state == J::STATE_RUNNING ||
         state == J::STATE_PAUSING || state == J::STATE_CANCELLING;
}

std::string StateName(State state) {
  return std::string(absl::StripPrefix(J::State_Name(state), "STATE_"));
}

const std::vector<State>& AllStates() {
  static const auto& states = *new std::vector<State>{
      J::STATE_QUEUED,    J::STATE_STARTING, J::STATE_RUNNING,
      J::STATE_PAUSING,   J::STATE_PAUSED,   J::STATE_CANCELLING,
      J::STATE_SUCCEEDED, J::STATE_FAILED,   J::STATE_CANCELLED};
  return states;
}

}  // namespace retort::jobs
