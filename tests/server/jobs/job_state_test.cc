#include "server/jobs/job_state.h"

#include <gtest/gtest.h>

#include <set>
#include <utility>

namespace retort::jobs {
namespace {

using J = v1::Job;

TEST(JobStateTest, HasExactlyTheArrowsOfTheDrawing) {
  const std::set<std::pair<State, State>> arrows = {
      {J::STATE_QUEUED, J::STATE_STARTING},
      {J::STATE_QUEUED, J::STATE_CANCELLED},
      {J::STATE_QUEUED, J::STATE_FAILED},
      {J::STATE_QUEUED, J::STATE_PAUSED},
      {J::STATE_STARTING, J::STATE_RUNNING},
      {J::STATE_STARTING, J::STATE_QUEUED},
      {J::STATE_STARTING, J::STATE_CANCELLING},
      {J::STATE_STARTING, J::STATE_FAILED},
      {J::STATE_STARTING, J::STATE_PAUSING},
      {J::STATE_RUNNING, J::STATE_SUCCEEDED},
      {J::STATE_RUNNING, J::STATE_FAILED},
      {J::STATE_RUNNING, J::STATE_CANCELLED},
      {J::STATE_RUNNING, J::STATE_QUEUED},
      {J::STATE_RUNNING, J::STATE_PAUSING},
      {J::STATE_RUNNING, J::STATE_CANCELLING},
      {J::STATE_STARTING, J::STATE_CANCELLED},
      {J::STATE_PAUSING, J::STATE_PAUSED},
      {J::STATE_PAUSING, J::STATE_SUCCEEDED},
      {J::STATE_PAUSING, J::STATE_FAILED},
      {J::STATE_PAUSING, J::STATE_CANCELLING},
      {J::STATE_PAUSED, J::STATE_QUEUED},
      {J::STATE_PAUSED, J::STATE_CANCELLED},
      {J::STATE_CANCELLING, J::STATE_CANCELLED},
      {J::STATE_CANCELLING, J::STATE_SUCCEEDED},
      {J::STATE_CANCELLED, J::STATE_QUEUED},
      {J::STATE_FAILED, J::STATE_QUEUED},
  };
  for (State from : AllStates()) {
    for (State to : AllStates()) {
      EXPECT_EQ(CanMove(from, to), arrows.count({from, to}) == 1)
          << StateName(from) << " -> " << StateName(to);
    }
  }
}

TEST(JobStateTest, LeavesAnEndForNothingButTheQueue) {
  for (State from : AllStates()) {
    if (!IsEnded(from)) continue;
    for (State to : AllStates()) {
      EXPECT_TRUE(!CanMove(from, to) || to == J::STATE_QUEUED)
          << StateName(from) << " -> " << StateName(to);
    }
  }
}

TEST(JobStateTest, ResumesWhatIsOnHoldOrGivenUp) {
  for (State state : AllStates()) {
    EXPECT_EQ(CanResume(state), state == J::STATE_PAUSED ||
                                    state == J::STATE_CANCELLED ||
                                    state == J::STATE_FAILED)
        << StateName(state);
  }
}

TEST(JobStateTest, HasNoWorkerOnceEnded) {
  for (State state : AllStates()) {
    EXPECT_FALSE(IsEnded(state) && HasWorker(state)) << StateName(state);
  }
}

}  // namespace
}  // namespace retort::jobs
