#include "client/terminal.h"

#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "client/top_frame.h"

namespace retort::client {
namespace {

constexpr char kHome[] = "\x1b[H";

std::atomic<bool> interrupted{false};
std::atomic<bool> resized{false};
static_assert(std::atomic<bool>::is_always_lock_free);

void Interrupt(int) { interrupted = true; }
void Resize(int) { resized = true; }

void Write(const std::string& text) {
  fputs(text.c_str(), stdout);
  fflush(stdout);
}

}  // namespace

TerminalSize TerminalSizeOf(int fd) {
  winsize size = {};
  if (ioctl(fd, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return {};
  return {size.ws_col, size.ws_row};
}

Terminal::Terminal() {
  struct sigaction action = {};
  action.sa_handler = Interrupt;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  action.sa_handler = Resize;
  sigaction(SIGWINCH, &action, nullptr);
  keys_ = isatty(STDIN_FILENO) && tcgetattr(STDIN_FILENO, &before_) == 0;
  if (keys_) {
    termios raw = before_;
    raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
    tcsetattr(STDIN_FILENO, TCSANOW, &raw);
  }
  Write("\x1b[?1049h\x1b[?25l");  // the other screen, no cursor
}

Terminal::~Terminal() {
  // Emptied first: tmux leaves a line of it behind after changes of size.
  Write(absl::StrCat(kHome, "\x1b[J\x1b[?25h\x1b[?1049l"));
  if (keys_) tcsetattr(STDIN_FILENO, TCSANOW, &before_);
}

void Terminal::Draw(const std::string& text) {
  const TerminalSize size = TerminalSizeOf(STDOUT_FILENO);
  const std::vector<std::string> lines = CutTo(text, size.columns, size.rows);
  // From the top left. Each line is cleared before it is written: behind a full
  // one the cursor still stands on its last character. It ends at the top,
  // since a terminal that gets smaller scrolls what is above the cursor away,
  // to where it may come back from later.
  Write(absl::StrCat(
      kHome, "\x1b[K", absl::StrJoin(lines, "\n\x1b[K"),
      static_cast<int>(lines.size()) < size.rows ? "\n\x1b[J" : "", kHome));
}

bool Terminal::Wait(absl::Duration time) {
  const absl::Time until = absl::Now() + time;
  while (!interrupted) {
    if (resized.exchange(false)) return true;
    const absl::Duration left = until - absl::Now();
    if (left <= absl::ZeroDuration()) return true;
    pollfd input = {keys_ ? STDIN_FILENO : -1, POLLIN, 0};
    // Rather late than again and again for the last millisecond.
    const int ready =
        poll(&input, 1, static_cast<int>(absl::ToInt64Milliseconds(left)) + 1);
    if (ready <= 0) continue;
    char key = 0;
    if (read(STDIN_FILENO, &key, 1) <= 0) {
      keys_ = false;  // it has been closed
    } else if (key == 'q' || key == 'Q') {
      return false;
    }
  }
  return false;
}

}  // namespace retort::client
