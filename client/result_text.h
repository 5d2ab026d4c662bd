#ifndef RETORT_CLIENT_RESULT_TEXT_H_
#define RETORT_CLIENT_RESULT_TEXT_H_

#include <string>

#include "retort/v1/job_service.pb.h"

namespace retort::client {

// "12.34", or with several seeds "12.34 [11.9, 12.78]", the 95 % confidence
// interval of the mean.
std::string ValueText(const v1::EvaluationResult& result);

// "FD-FMNIST 12.34 [11.9, 12.78] at 2 steps (2 network calls, 3 seeds)".
std::string ResultText(const v1::EvaluationResult& result);

// "low", "normal" or "high".
std::string ClassText(v1::Job::PriorityClass value);

}  // namespace retort::client

#endif  // RETORT_CLIENT_RESULT_TEXT_H_
