#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/file.h"
#include "core/base/status_macros.h"
#include "core/data/file_set.h"
#include "core/io/zip_directory.h"

namespace retort::data {
namespace {

// An archive on disk, read where it is looked at: they may be large.
class ArchiveBytes : public io::ZipBytes {
 public:
  ArchiveBytes(std::string path, int fd, uint64_t size)
      : path_(std::move(path)), fd_(fd), size_(size) {}
  ~ArchiveBytes() override { ::close(fd_); }

  uint64_t size() const override { return size_; }

  absl::StatusOr<std::string> ReadAt(uint64_t offset,
                                     uint64_t count) const override {
    std::string bytes(count, '\0');
    for (uint64_t done = 0; done < count;) {
      const ssize_t got = ::pread(fd_, bytes.data() + done, count - done,
                                  static_cast<off_t>(offset + done));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return base::ErrnoStatus(errno, "reading", path_);
      if (got == 0) return absl::InvalidArgumentError("it became shorter");
      done += got;
    }
    return bytes;
  }

 private:
  const std::string path_;
  const int fd_;
  const uint64_t size_;
};

class ZipFile : public FileSet {
 public:
  ZipFile(const std::string& path, int fd, uint64_t size)
      : path_(path), archive_(path, fd, size) {}

  absl::Status ReadList() {
    auto all = io::ReadZipDirectory(archive_);
    if (!all.ok()) return Damaged(all.status());
    entries_.reserve(all->size());
    places_.reserve(all->size());
    for (io::ZipEntry& entry : *all) {
      if (entry.name.empty() || entry.name.back() == '/') continue;  // a folder
      entries_.push_back(
          {std::move(entry.name), entry.place.size, entry.place.crc});
      places_.push_back(entry.place);
    }
    return absl::OkStatus();
  }

  const std::vector<FileEntry>& entries() const override { return entries_; }

  absl::StatusOr<std::string> Read(size_t index,
                                   int64_t max_bytes) const override {
    const FileEntry& entry = entries_[index];
    if (entry.size > static_cast<uint64_t>(max_bytes)) {
      return absl::InvalidArgumentError(
          absl::StrCat(path_, ": ", entry.name, " has ", entry.size,
                       " bytes; at most ", max_bytes, " are taken"));
    }
    auto bytes = io::ReadZipEntry(archive_, entry.name, places_[index]);
    if (!bytes.ok()) return Damaged(bytes.status());
    return bytes;
  }

 private:
  // What is wrong with the archive, as an error of the data set.
  absl::Status Damaged(const absl::Status& status) const {
    if (!absl::IsInvalidArgument(status)) return status;
    return absl::DataLossError(absl::StrCat(path_, ": ", status.message(),
                                            "; fetch or make the file again"));
  }

  const std::string path_;
  const ArchiveBytes archive_;
  std::vector<FileEntry> entries_;
  std::vector<io::ZipPlace> places_;  // of the entry of the same index
};

}  // namespace

absl::StatusOr<std::unique_ptr<FileSet>> OpenZip(const std::string& path) {
  RETORT_ASSIGN_OR_RETURN(const int64_t size, base::FileSize(path));
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return base::ErrnoStatus(errno, "opening", path);
  auto zip = std::make_unique<ZipFile>(path, fd, size);
  RETORT_RETURN_IF_ERROR(zip->ReadList());
  std::unique_ptr<FileSet> files = std::move(zip);
  return files;
}

}  // namespace retort::data
