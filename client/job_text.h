#ifndef RETORT_CLIENT_JOB_TEXT_H_
#define RETORT_CLIENT_JOB_TEXT_H_

#include <string>

#include "retort/v1/cluster_service.pb.h"
#include "retort/v1/job_service.pb.h"

// What commands say of what they did: no more than has happened.
namespace retort::client {

// After CancelJob and PauseJob, by the state that the job has now.
std::string CancelledText(const v1::Job& job);
std::string PausedText(const v1::Job& job);

// How often the job's workers were started; "" if that was once at most.
std::string TriesText(const v1::Job& job);

// After DrainNode. `was_usable`: jobs could start there before.
std::string DrainedText(const v1::Node& node);
std::string UndrainedText(const v1::Node& node, bool was_usable);

}  // namespace retort::client

#endif  // RETORT_CLIENT_JOB_TEXT_H_
