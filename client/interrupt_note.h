#ifndef RETORT_CLIENT_INTERRUPT_NOTE_H_
#define RETORT_CLIENT_INTERRUPT_NOTE_H_

#include <string>

namespace retort::client {

// What Ctrl-C says, on standard error and on a line of its own, before it ends
// the process as it always does. Once per process.
void SayWhenInterrupted(const std::string& text);

}  // namespace retort::client

#endif  // RETORT_CLIENT_INTERRUPT_NOTE_H_
