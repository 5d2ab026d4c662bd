#ifndef RETORT_SERVER_BASE_VALIDATION_METRICS_H_
#define RETORT_SERVER_BASE_VALIDATION_METRICS_H_

#include <string>
#include <vector>

#include "retort/v1/spec.pb.h"

namespace retort::service {

// The series of metrics that a job's validation will make, in the order of its
// steps: validation_rms_N and then validation_fd_N. Empty without validation.
std::vector<std::string> ValidationMetrics(const v1::TrainTeacherSpec& task);
std::vector<std::string> ValidationMetrics(const v1::DistillSpec& task);

// TrainingSpec.best_metric, or its default if it is empty.
std::string BestMetric(const v1::TrainingSpec& training,
                       const std::vector<std::string>& validation_metrics);

}  // namespace retort::service

#endif  // RETORT_SERVER_BASE_VALIDATION_METRICS_H_
