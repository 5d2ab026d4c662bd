#ifndef RETORT_SERVER_WORKER_CHECK_MODEL_H_
#define RETORT_SERVER_WORKER_CHECK_MODEL_H_

#include <nlohmann/json.hpp>
#include <string>

namespace retort::worker {

// Loads a model's folder as a job or replica would, and says what came of it:
//   {"ok": true, "kind": "teacher", "parameters": 1750000}
//   {"ok": false, "error": "tensor model.enc.... has shape ..., expected ..."}
nlohmann::json CheckModel(const std::string& dir);

}  // namespace retort::worker

#endif  // RETORT_SERVER_WORKER_CHECK_MODEL_H_
