#include "server/worker/end_hard.h"

#include <unistd.h>

#include <thread>

#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "core/base/log.h"

namespace retort::worker {
namespace {

constexpr absl::Duration kLogPatience = absl::Seconds(5);

}  // namespace

void EndHard(WorkerExit code, const std::string& why) {
  // Never deleted: the logging thread may outlast this function's wait.
  auto* logged = new absl::Notification;
  std::thread([why, logged] {
    RETORT_LOG(error, "{}; ends at once, writing nothing more", why);
    logged->Notify();
  }).detach();
  logged->WaitForNotificationWithTimeout(kLogPatience);
  _exit(code);
}

}  // namespace retort::worker
