#include "server/executor/executor.h"

#include <string.h>

#include <random>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace retort::executor {

std::string ExitStatus::ToString() const {
  if (!not_started.ok()) return std::string(not_started.message());
  std::string text;
  if (rank >= 0) text = absl::StrCat("rank ", rank);
  if (!node.empty()) absl::StrAppend(&text, rank >= 0 ? " on " : "on ", node);
  if (!text.empty()) absl::StrAppend(&text, ": ");
  if (signal != 0) {
    absl::StrAppend(&text, "killed by signal ", signal, " (", strsignal(signal),
                    ")");
  } else if (known) {
    absl::StrAppend(&text, "exit code ", code);
  } else if (words.empty()) {
    absl::StrAppend(&text, "gone");
  }
  if (words.empty()) return text;
  const bool alone = !known && signal == 0;
  return absl::StrCat(text, alone ? "" : "; ", words);
}

std::string NewToken() {
  std::random_device random;  // reads the system's generator
  std::string token;
  for (int i = 0; i < 8; ++i) absl::StrAppendFormat(&token, "%08x", random());
  return token;
}

}  // namespace retort::executor
