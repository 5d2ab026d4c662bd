#include "server/jobs/spec_models.h"

namespace retort::jobs {

std::vector<std::string> ModelsOf(const v1::JobSpec& spec) {
  // Fields of other tasks than the one that is set read as "".
  std::vector<std::string> names = {
      spec.estimate_preconditioning().teacher(),
      spec.distill().teacher(),
      spec.distill().preconditioning_artifact(),
      spec.evaluate().model(),
      spec.evaluate().feature_extractor(),
      spec.train_teacher().training().validation().feature_extractor(),
      spec.distill().training().validation().feature_extractor()};
  if (spec.distill().distance() == v1::DistillSpec::DISTANCE_LPIPS) {
    names.push_back(spec.distill().lpips().backbone());
    names.push_back(spec.distill().lpips().heads());
  }
  std::erase(names, "");
  return names;
}

bool MakesModel(const v1::JobSpec& spec) {
  return spec.task_case() != v1::JobSpec::kEvaluate;
}

}  // namespace retort::jobs
