#include "client/names.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace retort::client {

std::string FullName(absl::string_view project, absl::string_view collection,
                     absl::string_view name) {
  if (absl::StrContains(name, "/")) return std::string(name);
  return absl::StrCat("projects/", project, "/", collection, "/", name);
}

std::string ShortName(absl::string_view name) {
  const size_t slash = name.rfind('/');
  return std::string(slash == absl::string_view::npos ? name
                                                      : name.substr(slash + 1));
}

std::string WrittenName(absl::string_view name) {
  return absl::StartsWith(name, "projects/default/") ? ShortName(name)
                                                     : std::string(name);
}

void ExpandModelNames(absl::string_view project, v1::JobSpec* spec) {
  auto expand = [&](std::string* name) {
    if (!name->empty()) *name = FullName(project, "models", *name);
  };
  auto expand_validation = [&](v1::TrainingSpec* training) {
    if (!training->has_validation()) return;
    expand(training->mutable_validation()->mutable_feature_extractor());
  };
  switch (spec->task_case()) {
    case v1::JobSpec::kEstimatePreconditioning:
      expand(spec->mutable_estimate_preconditioning()->mutable_teacher());
      break;
    case v1::JobSpec::kDistill:
      expand(spec->mutable_distill()->mutable_teacher());
      expand(spec->mutable_distill()->mutable_preconditioning_artifact());
      if (spec->distill().has_lpips()) {
        expand(spec->mutable_distill()->mutable_lpips()->mutable_backbone());
        expand(spec->mutable_distill()->mutable_lpips()->mutable_heads());
      }
      if (spec->distill().has_training()) {
        expand_validation(spec->mutable_distill()->mutable_training());
      }
      break;
    case v1::JobSpec::kEvaluate:
      expand(spec->mutable_evaluate()->mutable_model());
      expand(spec->mutable_evaluate()->mutable_feature_extractor());
      break;
    case v1::JobSpec::kTrainTeacher:
      if (spec->train_teacher().has_training()) {
        expand_validation(spec->mutable_train_teacher()->mutable_training());
      }
      break;
    case v1::JobSpec::TASK_NOT_SET:
      break;
  }
}

}  // namespace retort::client
