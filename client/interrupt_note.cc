#include "client/interrupt_note.h"

#include <signal.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"

namespace retort::client {
namespace {

// Made before a signal can come: its handler may not allocate. Never freed.
const std::string* interrupt_note = nullptr;

void OnInterrupt(int signal) {
  // The line that is there may be half a progress bar, or "^C".
  [[maybe_unused]] const ssize_t written =
      write(STDERR_FILENO, interrupt_note->data(), interrupt_note->size());
  // The shell is to see what ended the process.
  ::signal(signal, SIG_DFL);
  raise(signal);
}

}  // namespace

void SayWhenInterrupted(const std::string& text) {
  interrupt_note = new std::string(absl::StrCat("\n", text, "\n"));
  struct sigaction action = {};
  action.sa_handler = OnInterrupt;
  sigaction(SIGINT, &action, nullptr);
}

}  // namespace retort::client
