#include "core/data/file_set.h"

#include <algorithm>
#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/file.h"
#include "core/base/status_macros.h"
#include "core/io/bytes.h"

namespace retort::data {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kMaxFolderFileBytes = int64_t{1} << 30;

class FolderFiles : public FileSet {
 public:
  FolderFiles(std::string root, std::vector<FileEntry> entries)
      : root_(std::move(root)), entries_(std::move(entries)) {}

  const std::vector<FileEntry>& entries() const override { return entries_; }

  absl::StatusOr<std::string> Read(size_t index,
                                   int64_t max_bytes) const override {
    const FileEntry& entry = entries_[index];
    RETORT_ASSIGN_OR_RETURN(
        std::string bytes,
        base::ReadFile(absl::StrCat(root_, "/", entry.name), max_bytes));
    if (bytes.size() != entry.size) {
      return absl::DataLossError(absl::StrCat(
          root_, "/", entry.name, " had ", entry.size, " bytes and has ",
          bytes.size(), "; leave a data set alone while a job uses it"));
    }
    return bytes;
  }

 private:
  const std::string root_;
  const std::vector<FileEntry> entries_;
};

}  // namespace

int64_t FileSet::Find(const std::string& name) const {
  const auto& all = entries();
  const auto found = std::lower_bound(
      all.begin(), all.end(), name,
      [](const FileEntry& e, const std::string& n) { return e.name < n; });
  if (found == all.end() || found->name != name) return -1;
  return found - all.begin();
}

absl::StatusOr<std::unique_ptr<FileSet>> OpenFolder(const std::string& path) {
  std::vector<FileEntry> entries;
  std::error_code error;
  fs::recursive_directory_iterator it(path, error);
  for (; !error && it != fs::recursive_directory_iterator();
       it.increment(error)) {
    std::error_code ignored;
    if (!it->is_regular_file(ignored)) continue;
    FileEntry entry;
    entry.name = it->path().lexically_relative(path).generic_string();
    RETORT_ASSIGN_OR_RETURN(
        const std::string bytes,
        base::ReadFile(it->path().string(), kMaxFolderFileBytes));
    entry.size = bytes.size();
    entry.crc = io::Crc32(bytes);
    entries.push_back(std::move(entry));
  }
  if (error) return base::ErrnoStatus(error.value(), "listing", path);
  std::sort(
      entries.begin(), entries.end(),
      [](const FileEntry& a, const FileEntry& b) { return a.name < b.name; });
  std::unique_ptr<FileSet> files =
      std::make_unique<FolderFiles>(path, std::move(entries));
  return files;
}

}  // namespace retort::data
