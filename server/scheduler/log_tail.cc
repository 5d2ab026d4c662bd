#include "server/scheduler/log_tail.h"

#include <algorithm>
#include <fstream>

#include "absl/strings/str_split.h"

namespace retort::scheduler {

std::vector<std::string> LastLines(const std::string& path, int count) {
  constexpr std::streamoff kWindow = 16 << 10;
  std::ifstream file(path, std::ios::binary);
  if (!file.seekg(0, std::ios::end)) return {};
  const std::streamoff size = file.tellg();
  const std::streamoff start = std::max<std::streamoff>(0, size - kWindow);
  file.seekg(start);
  std::string text(static_cast<size_t>(size - start), '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(file.gcount()));
  std::vector<std::string> lines =
      absl::StrSplit(text, '\n', absl::SkipWhitespace());
  if (static_cast<int>(lines.size()) > count) {
    lines.erase(lines.begin(), lines.end() - count);
  }
  return lines;
}

}  // namespace retort::scheduler
