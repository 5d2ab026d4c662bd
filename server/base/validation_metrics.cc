#include "server/base/validation_metrics.h"

#include "absl/strings/str_cat.h"

namespace retort::service {
namespace {

std::vector<int> StepsOf(const v1::ValidationSpec& spec) {
  if (spec.every() == 0) return {};
  if (spec.steps().empty()) return {1, 2, 4};
  return {spec.steps().begin(), spec.steps().end()};
}

void AddFrechetDistances(const v1::ValidationSpec& spec,
                         std::vector<std::string>* names) {
  if (spec.feature_extractor().empty()) return;
  for (const int steps : StepsOf(spec)) {
    names->push_back(absl::StrCat("validation_fd_", steps));
  }
}

}  // namespace

std::vector<std::string> ValidationMetrics(const v1::TrainTeacherSpec& task) {
  std::vector<std::string> names;
  AddFrechetDistances(task.training().validation(), &names);
  return names;
}

std::vector<std::string> ValidationMetrics(const v1::DistillSpec& task) {
  const v1::ValidationSpec& spec = task.training().validation();
  const bool trajectory = task.method() == v1::DistillSpec::METHOD_CTM ||
                          task.method() == v1::DistillSpec::METHOD_UNSPECIFIED;
  std::vector<std::string> names;
  for (const int steps : StepsOf(spec)) {
    // A consistency model's later steps have no end point to be compared with.
    if (task.teacher().empty() || (steps > 1 && !trajectory)) continue;
    names.push_back(absl::StrCat("validation_rms_", steps));
  }
  AddFrechetDistances(spec, &names);
  return names;
}

std::string BestMetric(const v1::TrainingSpec& training,
                       const std::vector<std::string>& validation_metrics) {
  if (!training.best_metric().empty()) return training.best_metric();
  return validation_metrics.empty() ? "loss" : validation_metrics.front();
}

}  // namespace retort::service
