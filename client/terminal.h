#ifndef RETORT_CLIENT_TERMINAL_H_
#define RETORT_CLIENT_TERMINAL_H_

#include <termios.h>

#include <string>

#include "absl/time/time.h"

namespace retort::client {

struct TerminalSize {
  int columns = 80;
  int rows = 24;
};

// 80 x 24 if it is not known.
TerminalSize TerminalSizeOf(int fd);

// A terminal that is drawn over, frame by frame, on its other screen; what was
// on it is there again when this is destroyed, by Ctrl-C too. One per process.
//
//   Terminal terminal;
//   do {
//     terminal.Draw(frame);
//   } while (terminal.Wait(absl::Seconds(2)));
class Terminal {
 public:
  Terminal();
  ~Terminal();
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;

  // As much of the text as there is room for.
  void Draw(const std::string& text);
  // True after that time, or at once if the terminal's size has changed; false
  // at once if somebody presses q or Ctrl-C, or ends the process.
  bool Wait(absl::Duration time);

 private:
  bool keys_ = false;  // standard input is a terminal, too
  termios before_ = {};
};

}  // namespace retort::client

#endif  // RETORT_CLIENT_TERMINAL_H_
