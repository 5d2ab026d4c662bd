#include "core/io/zip_archive.h"

#include <algorithm>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/io/zip_directory.h"
#include "core/io/zip_format.h"

namespace retort::io {
namespace {

class MemoryBytes : public ZipBytes {
 public:
  explicit MemoryBytes(absl::string_view bytes) : bytes_(bytes) {}
  uint64_t size() const override { return bytes_.size(); }
  absl::StatusOr<std::string> ReadAt(uint64_t offset,
                                     uint64_t count) const override {
    return std::string(bytes_.substr(offset, count));
  }

 private:
  const absl::string_view bytes_;
};

absl::Status WithRemedy(const absl::Status& status) {
  return absl::Status(
      status.code(),
      absl::StrCat(status.message(),
                   "; write it again with torch.save, and copy it whole"));
}

absl::StatusOr<absl::string_view> Contents(absl::string_view bytes,
                                           const ZipEntry& entry,
                                           bool check_crc) {
  if (entry.place.method == kZipDeflated) {
    return absl::InvalidArgumentError(
        absl::StrCat(absl::CHexEscape(entry.name.substr(0, 200)),
                     " is compressed, which torch.save does not do"));
  }
  RETORT_ASSIGN_OR_RETURN(
      const uint64_t at,
      FindZipData(MemoryBytes(bytes), entry.name, entry.place));
  const absl::string_view data = bytes.substr(at, entry.place.stored);
  if (check_crc) {
    RETORT_RETURN_IF_ERROR(CheckZipCrc(entry.name, entry.place, data));
  }
  return data;
}

}  // namespace

bool IsZip(absl::string_view bytes) {
  return absl::StartsWith(bytes, "PK\x03\x04");
}

bool ZipHasEntry(absl::string_view bytes, absl::string_view ending) {
  const auto directory = ReadZipDirectory(MemoryBytes(bytes));
  if (!directory.ok()) return false;
  return std::any_of(directory->begin(), directory->end(),
                     [&](const ZipEntry& entry) {
                       return absl::EndsWith(entry.name, ending);
                     });
}

absl::StatusOr<std::map<std::string, absl::string_view>> ReadZip(
    absl::string_view bytes, bool check_crc) {
  const auto directory = ReadZipDirectory(MemoryBytes(bytes));
  if (!directory.ok()) return WithRemedy(directory.status());
  std::map<std::string, absl::string_view> entries;
  for (const ZipEntry& entry : *directory) {
    const auto data = Contents(bytes, entry, check_crc);
    if (!data.ok()) return WithRemedy(data.status());
    entries.emplace_hint(entries.end(), entry.name, *data);
  }
  return entries;
}

}  // namespace retort::io
