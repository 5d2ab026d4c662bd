#ifndef RETORT_SERVER_WORKER_CHECK_MODEL_H_
#define RETORT_SERVER_WORKER_CHECK_MODEL_H_

#include <nlohmann/json.hpp>
#include <string>

namespace retort::worker {

// Loads a model's folder as a job or replica would, and says what came of it:
//   {"ok": true, "kind": "teacher", "parameters": 1750000}
// and of a feature extractor also what it makes of images (classes: length of
// its logits, 0 if it has none):
//   {..., "feature_dim": 2048, "channels": 3, "classes": 1008}
//   {"ok": false, "error": "tensor model.enc.... has shape ..., expected ..."}
nlohmann::json CheckModel(const std::string& dir);

}  // namespace retort::worker

#endif  // RETORT_SERVER_WORKER_CHECK_MODEL_H_
