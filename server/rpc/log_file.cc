#include "server/rpc/log_file.h"

#include <algorithm>
#include <fstream>

#include "absl/strings/str_split.h"

namespace retort::rpc {
namespace {

constexpr int64_t kChunkBytes = 64 << 10;

// Reads up to `count` bytes at `offset`; fewer at the end.
std::string ReadAt(std::ifstream* file, int64_t offset, int64_t count) {
  std::string bytes(static_cast<size_t>(count), '\0');
  file->clear();
  file->seekg(offset);
  file->read(bytes.data(), count);
  bytes.resize(static_cast<size_t>(std::max<int64_t>(file->gcount(), 0)));
  return bytes;
}

int64_t SizeOf(std::ifstream* file) {
  file->clear();
  file->seekg(0, std::ios::end);
  return file->tellg();
}

}  // namespace

void LogFile::SkipToTail() {
  std::ifstream file(path_, std::ios::binary);
  if (!file) return;
  // Looks backwards, a chunk at a time, for the newline before the last
  // `tail_` lines; the one that ends the file does not count.
  int64_t end = SizeOf(&file);
  int newlines = 0;
  const int64_t size = end;
  while (end > 0) {
    const int64_t start = std::max<int64_t>(0, end - kChunkBytes);
    const std::string chunk = ReadAt(&file, start, end - start);
    for (int64_t i = static_cast<int64_t>(chunk.size()) - 1; i >= 0; --i) {
      if (chunk[i] != '\n' || start + i == size - 1) continue;
      if (++newlines == tail_) {
        offset_ = start + i + 1;
        return;
      }
    }
    end = start;
  }
}

std::vector<std::string> LogFile::Next(bool at_end) {
  if (tail_ > 0) {
    SkipToTail();
    tail_ = 0;
  }
  std::ifstream file(path_, std::ios::binary);
  if (!file) return {};
  if (SizeOf(&file) < offset_) offset_ = 0;
  std::string bytes = ReadAt(&file, offset_, kChunkBytes);
  const size_t last = bytes.rfind('\n');
  // A line longer than a chunk is cut.
  const bool cut = static_cast<int64_t>(bytes.size()) == kChunkBytes;
  if (last != std::string::npos) {
    bytes.resize(last + 1);
  } else if (!at_end && !cut) {
    return {};
  }
  if (bytes.empty()) return {};
  offset_ += static_cast<int64_t>(bytes.size());
  if (bytes.back() == '\n') bytes.pop_back();
  return absl::StrSplit(bytes, '\n');
}

}  // namespace retort::rpc
