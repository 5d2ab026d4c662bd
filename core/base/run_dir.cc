#include "core/base/run_dir.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "core/base/check.h"
#include "core/base/file.h"

namespace retort::base {

std::string PathComponent(absl::string_view id) {
  if (id.empty()) return "%";
  std::string name;
  for (size_t i = 0; i < id.size(); ++i) {
    const unsigned char c = id[i];
    const bool inner_dot = c == '.' && i > 0 && i + 1 < id.size();
    if (absl::ascii_isalnum(c) || c == '_' || c == '-' || inner_dot) {
      name.push_back(c);
    } else {
      absl::StrAppendFormat(&name, "%%%02X", c);
    }
  }
  return name;
}

std::string JobDir::checkpoint_dir(int64_t step) const {
  RETORT_CHECK(step >= 0);
  return absl::StrFormat("%s/%08d", checkpoints_dir(), step);
}

std::optional<int64_t> ParseCheckpointName(absl::string_view name) {
  int64_t step = 0;
  if (name.size() < 8 ||
      !std::all_of(name.begin(), name.end(), absl::ascii_isdigit) ||
      !absl::SimpleAtoi(name, &step)) {
    return std::nullopt;
  }
  // Only what checkpoint_dir() writes: "000000012" is somebody else's.
  if (absl::StrFormat("%08d", step) != name) return std::nullopt;
  return step;
}

absl::StatusOr<std::vector<int64_t>> JobDir::ListCheckpoints() const {
  std::vector<int64_t> steps;
  const auto names = ListDir(checkpoints_dir());
  if (absl::IsNotFound(names.status())) return steps;
  if (!names.ok()) return names.status();
  for (const std::string& name : *names) {
    if (const auto step = ParseCheckpointName(name)) steps.push_back(*step);
  }
  std::sort(steps.begin(), steps.end());
  return steps;
}

}  // namespace retort::base
