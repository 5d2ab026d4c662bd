#ifndef RETORT_SERVER_JOBS_MODEL_LOOKUP_H_
#define RETORT_SERVER_JOBS_MODEL_LOOKUP_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "retort/v1/model_service.pb.h"

namespace retort::jobs {

// What jobs need to know of models; implemented by an adapter in
// server/server.cc over the registry, so that jobs need not know it.
// Thread-safe.
class ModelLookup {
 public:
  virtual ~ModelLookup() = default;
  // The model of this full name; NotFound (RESOURCE_NOT_FOUND).
  virtual absl::StatusOr<v1::Model> GetModel(const std::string& name) = 0;
  // Its folder on this machine.
  virtual absl::StatusOr<std::string> ModelPath(const std::string& name) = 0;
  // Takes in a model that a job made: `dir` (manifest.json and
  // weights.safetensors) is moved or linked into the models' folder and
  // registered as `name`. OK too if it is there already (a repeated end of a
  // job). Returns its name.
  virtual absl::StatusOr<std::string> Adopt(const std::string& name,
                                            const std::string& display_name,
                                            const std::string& dir) = 0;
};

}  // namespace retort::jobs

#endif  // RETORT_SERVER_JOBS_MODEL_LOOKUP_H_
