#ifndef RETORT_SERVER_WORKER_JOB_ESTIMATE_H_
#define RETORT_SERVER_WORKER_JOB_ESTIMATE_H_

#include <nlohmann/json.hpp>
#include <string>

namespace retort::worker {

// Says what a job takes, without running it. `request` is JSON:
//   {"spec": a resolved JobSpec, "models": {name: folder}, "measure": bool}
// and so is the answer:
//   {"ok": true, "estimate": a JobEstimate}
//   {"ok": false, "code": 3, "error": "..."}   (code: an absl::StatusCode)
// With "measure" a training also takes one step of its network on made-up
// images, one or two of them as memory allows, and the answer has
// "step_bytes", what that step was estimated to need, and "peak_bytes", what
// this process came to. Sets the number of LibTorch's threads to the spec's.
nlohmann::json EstimateJob(const std::string& request);

}  // namespace retort::worker

#endif  // RETORT_SERVER_WORKER_JOB_ESTIMATE_H_
