#ifndef RETORT_SERVER_BATCHING_ACTIONS_H_
#define RETORT_SERVER_BATCHING_ACTIONS_H_

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "retort/internal/v1/worker.pb.h"
#include "server/batching/sample_queue.h"
#include "server/executor/worker_links.h"

namespace retort::batching {

// What a DeploymentRuntime wants done. It decides under the manager's lock;
// the manager acts after letting go of it.
struct Actions {
  struct Message {
    std::shared_ptr<executor::WorkerSession> session;
    internal::v1::AttachResponse response;
  };
  struct Answer {
    SampleEntry entry;
    absl::StatusOr<v1::SampleResponse> result;
  };

  std::vector<int64_t> starts;  // epochs of replicas to start
  std::vector<Message> messages;
  std::vector<int64_t> terminates;  // epochs to ask to end, then to kill
  std::vector<int64_t> kills;       // epochs to kill
  std::vector<Answer> answers;
  bool finished = false;  // a deletion has come to its end
};

}  // namespace retort::batching

#endif  // RETORT_SERVER_BATCHING_ACTIONS_H_
