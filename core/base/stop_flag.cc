#include "core/base/stop_flag.h"

#include <signal.h>

namespace retort::base {
namespace {

std::atomic<bool> stop_requested{false};
std::atomic<int> stop_signal{0};
std::atomic<bool> installed{false};
static_assert(std::atomic<bool>::is_always_lock_free &&
                  std::atomic<int>::is_always_lock_free,
              "a signal handler may touch lock-free atomics only");

extern "C" void HandleStopSignal(int signal) {
  int none = 0;
  stop_signal.compare_exchange_strong(none, signal);
  stop_requested.store(true);
}

void ArmHandlers() {
  struct sigaction action = {};
  sigemptyset(&action.sa_mask);
  action.sa_handler = HandleStopSignal;
  action.sa_flags = SA_RESTART;
  sigaction(SIGTERM, &action, nullptr);
  // Back to the default after one: the second Ctrl-C ends the process.
  action.sa_flags = SA_RESTART | SA_RESETHAND;
  sigaction(SIGINT, &action, nullptr);
  action.sa_flags = 0;
  action.sa_handler = SIG_IGN;
  sigaction(SIGPIPE, &action, nullptr);
  sigaction(SIGXFSZ, &action, nullptr);
}

}  // namespace

void InstallStopSignals() {
  if (!installed.exchange(true)) ArmHandlers();
}

bool StopRequested() { return stop_requested.load(std::memory_order_relaxed); }

int StopSignal() { return stop_signal.load(); }

void RequestStop() { stop_requested.store(true); }

const std::atomic<bool>* StopFlag() { return &stop_requested; }

void ResetStopForTesting() {
  stop_requested.store(false);
  stop_signal.store(0);
  if (installed.load()) ArmHandlers();
}

}  // namespace retort::base
