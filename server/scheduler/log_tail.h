#ifndef RETORT_SERVER_SCHEDULER_LOG_TAIL_H_
#define RETORT_SERVER_SCHEDULER_LOG_TAIL_H_

#include <string>
#include <vector>

namespace retort::scheduler {

// Returns the last `count` lines of a text file (its last 16 KiB are looked
// at); none if it cannot be read.
std::vector<std::string> LastLines(const std::string& path, int count);

}  // namespace retort::scheduler

#endif  // RETORT_SERVER_SCHEDULER_LOG_TAIL_H_
