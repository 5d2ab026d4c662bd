#ifndef RETORT_TESTS_SUPPORT_FAKE_MODELS_H_
#define RETORT_TESTS_SUPPORT_FAKE_MODELS_H_

#include <map>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "server/base/error.h"
#include "server/jobs/model_lookup.h"

namespace retort::testing {

// Models by name, without files. Thread-safe.
class FakeModels : public jobs::ModelLookup {
 public:
  void Add(const v1::Model& model) {
    absl::MutexLock lock(&mutex_);
    models_[model.name()] = model;
  }
  void Add(const std::string& name, v1::Model::Kind kind) {
    v1::Model model;
    model.set_name(name);
    model.set_kind(kind);
    Add(model);
  }
  void FailAdoptWith(absl::Status error) {
    absl::MutexLock lock(&mutex_);
    adopt_error_ = std::move(error);
  }
  // Folder from which a model was adopted; empty if none of that name was.
  std::string AdoptedFrom(const std::string& name) const {
    absl::MutexLock lock(&mutex_);
    const auto found = adopted_.find(name);
    return found == adopted_.end() ? "" : found->second;
  }

  absl::StatusOr<v1::Model> GetModel(const std::string& name) override {
    absl::MutexLock lock(&mutex_);
    const auto found = models_.find(name);
    if (found == models_.end()) return service::NotFound("model", name);
    return found->second;
  }
  absl::StatusOr<std::string> ModelPath(const std::string& name) override {
    const auto model = GetModel(name);
    if (!model.ok()) return model.status();
    return "/models/" + name;
  }
  absl::StatusOr<std::string> Adopt(const std::string& name, const std::string&,
                                    const std::string& dir) override {
    {
      absl::MutexLock lock(&mutex_);
      if (!adopt_error_.ok()) return adopt_error_;
      adopted_[name] = dir;
    }
    Add(name, v1::Model::KIND_TEACHER);
    return name;
  }

 private:
  mutable absl::Mutex mutex_;
  absl::Status adopt_error_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, v1::Model> models_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, std::string> adopted_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace retort::testing

#endif  // RETORT_TESTS_SUPPORT_FAKE_MODELS_H_
