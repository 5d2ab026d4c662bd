#include "server/executor/executor.h"

#include <string.h>

#include <random>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace retort::executor {

std::string ExitStatus::ToString() const {
  if (!known) return "gone";
  if (signal != 0) {
    return absl::StrCat("killed by signal ", signal, " (", strsignal(signal),
                        ")");
  }
  return absl::StrCat("exit code ", code);
}

std::string NewToken() {
  std::random_device random;  // reads the system's generator
  std::string token;
  for (int i = 0; i < 8; ++i) absl::StrAppendFormat(&token, "%08x", random());
  return token;
}

}  // namespace retort::executor
