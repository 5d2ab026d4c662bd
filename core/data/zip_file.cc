// PKWARE's APPNOTE 6.3: the list of files ("central directory") stands at the
// end, behind the files themselves. A reader goes from the end record to the
// list, and from an entry of the list to the file's own header and its bytes.

#include <fcntl.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <limits>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "core/base/file.h"
#include "core/base/status_macros.h"
#include "core/data/file_set.h"

namespace retort::data {
namespace {

constexpr uint32_t kEndMagic = 0x06054b50;
constexpr uint32_t kEnd64Magic = 0x06064b50;
constexpr uint32_t kLocator64Magic = 0x07064b50;
constexpr uint32_t kListMagic = 0x02014b50;
constexpr uint32_t kFileMagic = 0x04034b50;
constexpr int64_t kEndBytes = 22;
constexpr int64_t kEnd64Bytes = 56;
constexpr int64_t kLocator64Bytes = 20;
constexpr int64_t kListBytes = 46;
constexpr int64_t kFileBytes = 30;
constexpr int64_t kMaxComment = 0xffff;
constexpr uint16_t kExtra64 = 1;
constexpr uint16_t kEncrypted = 1;
constexpr uint16_t kStored = 0;
constexpr uint16_t kDeflated = 8;
constexpr int64_t kMaxListBytes = int64_t{1} << 30;
// Deflate cannot shrink data further than this (zlib's technical notes).
constexpr uint64_t kMaxShrink = 1032;

// Little-endian number of `bytes` bytes at `offset`, which must be within.
uint64_t Number(absl::string_view text, size_t offset, int bytes) {
  uint64_t value = 0;
  for (int i = bytes - 1; i >= 0; --i) {
    value = value << 8 | static_cast<uint8_t>(text[offset + i]);
  }
  return value;
}

// Where an entry's own header is and how its bytes are stored.
struct ZipPlace {
  uint64_t offset = 0;
  uint64_t stored = 0;  // bytes in the archive
  uint16_t method = 0;
  uint16_t flags = 0;
};

struct ListPlace {
  uint64_t offset = 0;
  uint64_t bytes = 0;
  uint64_t entries = 0;
};

class ZipFile : public FileSet {
 public:
  ZipFile(std::string path, int fd) : path_(std::move(path)), fd_(fd) {}
  ~ZipFile() override { ::close(fd_); }

  absl::Status ReadList();

  const std::vector<FileEntry>& entries() const override { return entries_; }
  absl::StatusOr<std::string> Read(size_t index,
                                   int64_t max_bytes) const override;

 private:
  absl::Status Damaged(uint64_t offset, absl::string_view what) const {
    return absl::DataLossError(
        absl::StrCat(path_, " is not a whole zip file: at offset ", offset,
                     ", ", what, "; fetch or make the file again"));
  }
  absl::Status BadFile(const FileEntry& entry, absl::string_view what) const {
    return absl::DataLossError(absl::StrCat(path_, ": ", entry.name, " ", what,
                                            "; fetch or make the file again"));
  }
  absl::StatusOr<std::string> ReadAt(uint64_t offset, uint64_t count) const;
  absl::StatusOr<ListPlace> FindList() const;
  absl::StatusOr<ListPlace> FindList64(uint64_t end_offset) const;
  absl::Status ParseEntry(absl::string_view list, size_t* at, uint64_t base);
  absl::Status ParseExtra64(absl::string_view extra, uint64_t offset,
                            FileEntry* entry, ZipPlace* place) const;
  absl::Status SortByName();
  absl::StatusOr<std::string> Inflate(const FileEntry& entry,
                                      const std::string& packed) const;

  const std::string path_;
  const int fd_;
  uint64_t size_ = 0;
  std::vector<FileEntry> entries_;
  std::vector<ZipPlace> places_;  // of the entry of the same index
};

absl::StatusOr<std::string> ZipFile::ReadAt(uint64_t offset,
                                            uint64_t count) const {
  if (offset > size_ || count > size_ - offset) {
    return Damaged(size_,
                   absl::StrCat("it ends, but ", count, " bytes from offset ",
                                offset, " on are spoken of"));
  }
  std::string bytes(count, '\0');
  for (uint64_t done = 0; done < count;) {
    const ssize_t got = ::pread(fd_, bytes.data() + done, count - done,
                                static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return base::ErrnoStatus(errno, "reading", path_);
    if (got == 0) return Damaged(offset + done, "it became shorter");
    done += got;
  }
  return bytes;
}

absl::StatusOr<ListPlace> ZipFile::FindList() const {
  const uint64_t tail_bytes =
      std::min<uint64_t>(size_, kEndBytes + kMaxComment);
  RETORT_ASSIGN_OR_RETURN(const std::string tail,
                          ReadAt(size_ - tail_bytes, tail_bytes));
  for (int64_t at = static_cast<int64_t>(tail.size()) - kEndBytes; at >= 0;
       --at) {
    if (Number(tail, at, 4) != kEndMagic) continue;
    // The comment must reach exactly to the end, or this is part of one.
    if (at + kEndBytes + Number(tail, at + 20, 2) != tail.size()) continue;
    const uint64_t end_offset = size_ - tail_bytes + at;
    ListPlace list;
    list.entries = Number(tail, at + 10, 2);
    list.bytes = Number(tail, at + 12, 4);
    list.offset = Number(tail, at + 16, 4);
    const bool parts =
        Number(tail, at + 4, 2) != 0 && Number(tail, at + 4, 2) != 0xffff;
    if (parts) return Damaged(end_offset, "it is one part of several");
    if (list.entries == 0xffff || list.bytes == 0xffffffff ||
        list.offset == 0xffffffff) {
      return FindList64(end_offset);
    }
    return list;
  }
  return Damaged(size_, "there is no end of a zip file");
}

absl::StatusOr<ListPlace> ZipFile::FindList64(uint64_t end_offset) const {
  if (end_offset < static_cast<uint64_t>(kLocator64Bytes)) {
    return Damaged(end_offset, "the 64-bit end is missing");
  }
  const uint64_t locator_offset = end_offset - kLocator64Bytes;
  RETORT_ASSIGN_OR_RETURN(const std::string locator,
                          ReadAt(locator_offset, kLocator64Bytes));
  if (Number(locator, 0, 4) != kLocator64Magic) {
    return Damaged(locator_offset, "the 64-bit end is missing");
  }
  const uint64_t end64_offset = Number(locator, 8, 8);
  RETORT_ASSIGN_OR_RETURN(const std::string end64,
                          ReadAt(end64_offset, kEnd64Bytes));
  if (Number(end64, 0, 4) != kEnd64Magic) {
    return Damaged(end64_offset, "the 64-bit end is missing");
  }
  ListPlace list;
  list.entries = Number(end64, 32, 8);
  list.bytes = Number(end64, 40, 8);
  list.offset = Number(end64, 48, 8);
  return list;
}

absl::Status ZipFile::ReadList() {
  RETORT_ASSIGN_OR_RETURN(const int64_t size, base::FileSize(path_));
  size_ = size;
  RETORT_ASSIGN_OR_RETURN(const ListPlace place, FindList());
  if (place.bytes > static_cast<uint64_t>(kMaxListBytes) ||
      place.entries > place.bytes / kListBytes) {
    return Damaged(place.offset,
                   absl::StrCat("a list of ", place.entries, " files in ",
                                place.bytes, " bytes is announced"));
  }
  RETORT_ASSIGN_OR_RETURN(const std::string list,
                          ReadAt(place.offset, place.bytes));
  entries_.reserve(place.entries);
  places_.reserve(place.entries);
  size_t at = 0;
  for (uint64_t i = 0; i < place.entries; ++i) {
    RETORT_RETURN_IF_ERROR(ParseEntry(list, &at, place.offset));
  }
  return SortByName();
}

absl::Status ZipFile::ParseEntry(absl::string_view list, size_t* at,
                                 uint64_t base) {
  const absl::string_view rest = list.substr(*at);
  const uint64_t offset = base + *at;
  if (rest.size() < static_cast<size_t>(kListBytes) ||
      Number(rest, 0, 4) != kListMagic) {
    return Damaged(offset, "an entry of the list of files is missing");
  }
  const size_t name_bytes = Number(rest, 28, 2);
  const size_t extra_bytes = Number(rest, 30, 2);
  const size_t comment_bytes = Number(rest, 32, 2);
  const size_t bytes = kListBytes + name_bytes + extra_bytes + comment_bytes;
  if (rest.size() < bytes) {
    return Damaged(offset, "the list of files ends within an entry");
  }
  FileEntry entry;
  ZipPlace place;
  place.flags = Number(rest, 8, 2);
  place.method = Number(rest, 10, 2);
  entry.crc = Number(rest, 16, 4);
  place.stored = Number(rest, 20, 4);
  entry.size = Number(rest, 24, 4);
  place.offset = Number(rest, 42, 4);
  entry.name = std::string(rest.substr(kListBytes, name_bytes));
  RETORT_RETURN_IF_ERROR(
      ParseExtra64(rest.substr(kListBytes + name_bytes, extra_bytes), offset,
                   &entry, &place));
  *at += bytes;
  if (entry.name.empty() || entry.name.back() == '/') {
    return absl::OkStatus();  // a folder
  }
  entries_.push_back(std::move(entry));
  places_.push_back(place);
  return absl::OkStatus();
}

// Numbers that do not fit into 32 bits follow in a field of their own, only
// those, in this order.
absl::Status ZipFile::ParseExtra64(absl::string_view extra, uint64_t offset,
                                   FileEntry* entry, ZipPlace* place) const {
  constexpr uint64_t kElsewhere = 0xffffffff;
  uint64_t* const numbers[] = {&entry->size, &place->stored, &place->offset};
  const bool needed =
      std::any_of(std::begin(numbers), std::end(numbers),
                  [](const uint64_t* n) { return *n == kElsewhere; });
  if (!needed) return absl::OkStatus();
  while (extra.size() >= 4) {
    const uint64_t id = Number(extra, 0, 2);
    const size_t bytes = Number(extra, 2, 2);
    extra.remove_prefix(4);
    if (bytes > extra.size()) break;
    if (id != kExtra64) {
      extra.remove_prefix(bytes);
      continue;
    }
    absl::string_view field = extra.substr(0, bytes);
    for (uint64_t* number : numbers) {
      if (*number != kElsewhere) continue;
      if (field.size() < 8) return Damaged(offset, "64-bit sizes are missing");
      *number = Number(field, 0, 8);
      field.remove_prefix(8);
    }
    return absl::OkStatus();
  }
  return Damaged(offset, "64-bit sizes are missing");
}

absl::Status ZipFile::SortByName() {
  std::vector<size_t> order(entries_.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::sort(order.begin(), order.end(), [this](size_t a, size_t b) {
    return entries_[a].name < entries_[b].name;
  });
  std::vector<FileEntry> entries;
  std::vector<ZipPlace> places;
  entries.reserve(order.size());
  places.reserve(order.size());
  for (const size_t i : order) {
    if (!entries.empty() && entries.back().name == entries_[i].name) {
      return absl::DataLossError(
          absl::StrCat(path_, " names ", entries_[i].name,
                       " twice; make the zip file again"));
    }
    entries.push_back(std::move(entries_[i]));
    places.push_back(places_[i]);
  }
  entries_ = std::move(entries);
  places_ = std::move(places);
  return absl::OkStatus();
}

absl::StatusOr<std::string> ZipFile::Read(size_t index,
                                          int64_t max_bytes) const {
  const FileEntry& entry = entries_[index];
  const ZipPlace& place = places_[index];
  if (entry.size > static_cast<uint64_t>(max_bytes)) {
    return absl::InvalidArgumentError(
        absl::StrCat(path_, ": ", entry.name, " has ", entry.size,
                     " bytes; at most ", max_bytes, " are taken"));
  }
  if ((place.flags & kEncrypted) != 0) {
    return BadFile(entry, "is encrypted, which is not supported");
  }
  if (place.method != kStored && place.method != kDeflated) {
    return BadFile(entry, absl::StrCat("is compressed by method ", place.method,
                                       "; only stored (0) and deflated (8) "
                                       "are supported"));
  }
  const bool possible =
      place.method == kStored
          ? place.stored == entry.size
          : place.stored <= entry.size + entry.size / 8 + 64 &&
                entry.size / kMaxShrink <= place.stored;
  if (!possible) {
    return BadFile(entry, absl::StrCat("cannot have ", entry.size, " bytes in ",
                                       place.stored));
  }
  RETORT_ASSIGN_OR_RETURN(const std::string header,
                          ReadAt(place.offset, kFileBytes));
  if (Number(header, 0, 4) != kFileMagic) {
    return BadFile(entry, absl::StrCat("is not at offset ", place.offset,
                                       ", where the list has it"));
  }
  const uint64_t data =
      place.offset + kFileBytes + Number(header, 26, 2) + Number(header, 28, 2);
  RETORT_ASSIGN_OR_RETURN(std::string bytes, ReadAt(data, place.stored));
  if (place.method == kDeflated) {
    RETORT_ASSIGN_OR_RETURN(bytes, Inflate(entry, bytes));
  }
  const auto crc = static_cast<uint32_t>(
      crc32_z(0, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()));
  if (crc != entry.crc) return BadFile(entry, "has a wrong checksum");
  return bytes;
}

absl::StatusOr<std::string> ZipFile::Inflate(const FileEntry& entry,
                                             const std::string& packed) const {
  if (packed.size() > std::numeric_limits<uInt>::max() ||
      entry.size > std::numeric_limits<uInt>::max() - 1) {
    return BadFile(entry, "is larger than 4 GiB");
  }
  z_stream stream = {};
  if (inflateInit2(&stream, -MAX_WBITS) != Z_OK) {
    return absl::ResourceExhaustedError("no memory to decompress");
  }
  const absl::Cleanup end = [&stream] { inflateEnd(&stream); };
  // One byte more shows a file that goes on behind the size that it has.
  std::string bytes(entry.size + 1, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(packed.data()));
  stream.avail_in = static_cast<uInt>(packed.size());
  stream.next_out = reinterpret_cast<Bytef*>(bytes.data());
  stream.avail_out = static_cast<uInt>(bytes.size());
  const int result = inflate(&stream, Z_FINISH);
  if (result != Z_STREAM_END || stream.total_out != entry.size) {
    return BadFile(
        entry,
        absl::StrCat("does not decompress to ", entry.size, " bytes: ",
                     stream.msg != nullptr ? stream.msg : "wrong length"));
  }
  bytes.resize(entry.size);
  return bytes;
}

}  // namespace

absl::StatusOr<std::unique_ptr<FileSet>> OpenZip(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return base::ErrnoStatus(errno, "opening", path);
  auto zip = std::make_unique<ZipFile>(path, fd);
  RETORT_RETURN_IF_ERROR(zip->ReadList());
  std::unique_ptr<FileSet> files = std::move(zip);
  return files;
}

}  // namespace retort::data
