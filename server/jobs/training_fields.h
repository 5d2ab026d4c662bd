#ifndef RETORT_SERVER_JOBS_TRAINING_FIELDS_H_
#define RETORT_SERVER_JOBS_TRAINING_FIELDS_H_

#include <string>
#include <vector>

#include "retort/v1/spec.pb.h"
#include "server/jobs/spec_problems.h"

namespace retort::jobs {

// Fills in the defaults of those fields of a TrainingSpec that say how its
// numbers are computed and kept in bounds (precision, accumulation,
// max_gradient_norm, nonfinite_policy, ema_halflife_images, ema_rampup_ratio,
// loss_scale), and adds what is wrong with them to `problems`. `at` is the path
// of `training` in the spec. Its batch_size is resolved already.
void ResolveTrainingFields(const std::string& at, v1::TrainingSpec* training,
                           SpecProblems* problems);

// The same for those that say which checkpoints stay: keep_every, keep_best
// and, where it is used, best_metric, which names "loss" or one of
// `validation_metrics` (service::ValidationMetrics). Its checkpoint_every is
// resolved already.
void ResolveKeeping(const std::string& at,
                    const std::vector<std::string>& validation_metrics,
                    v1::TrainingSpec* training, SpecProblems* problems);

}  // namespace retort::jobs

#endif  // RETORT_SERVER_JOBS_TRAINING_FIELDS_H_
