#include "core/io/zip_directory.h"

#include <zlib.h>

#include <algorithm>
#include <iterator>
#include <limits>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/io/bytes.h"
#include "core/io/zip_format.h"

// Section numbers are the APPNOTE's.
namespace retort::io {
namespace {

constexpr uint64_t kMaxDirectoryBytes = uint64_t{1} << 30;
constexpr uint16_t kEncrypted = 1;
// Deflate cannot shrink data further than this (zlib's technical notes).
constexpr uint64_t kMaxShrink = 1032;

absl::Status BadZip(uint64_t offset, absl::string_view what) {
  return absl::InvalidArgumentError(
      absl::StrCat("it is no whole zip file: at offset ", offset, ", ", what));
}

absl::Status BadEntry(absl::string_view name, absl::string_view what) {
  return absl::InvalidArgumentError(
      absl::StrCat(absl::CHexEscape(name.substr(0, 200)), " ", what));
}

// The `count` bytes at `at`, which must be within, as a number.
uint64_t Field(absl::string_view bytes, size_t at, size_t count) {
  return LittleEndian(bytes.substr(at, count));
}

absl::StatusOr<std::string> ReadWithin(const ZipBytes& zip, uint64_t offset,
                                       uint64_t count) {
  if (offset > zip.size() || count > zip.size() - offset) {
    return BadZip(zip.size(),
                  absl::StrCat("it ends, but ", count, " bytes from offset ",
                               offset, " on are spoken of"));
  }
  return zip.ReadAt(offset, count);
}

struct DirectoryPlace {
  uint64_t offset = 0, bytes = 0, entries = 0;
};

// 4.3.14 and 4.3.15: in front of the end record at `end`, where sizes need it.
absl::StatusOr<DirectoryPlace> FindDirectory64(const ZipBytes& zip,
                                               uint64_t end) {
  if (end < kZip64LocatorBytes) {
    return BadZip(end, "the 64-bit end is missing");
  }
  const uint64_t locator_at = end - kZip64LocatorBytes;
  RETORT_ASSIGN_OR_RETURN(const std::string locator,
                          ReadWithin(zip, locator_at, kZip64LocatorBytes));
  const uint64_t at = Field(locator, 8, 8);
  if (Field(locator, 0, 4) != kZip64LocatorMagic || at > locator_at ||
      locator_at - at < kZip64EndBytes) {
    return BadZip(locator_at, "the 64-bit end is missing");
  }
  RETORT_ASSIGN_OR_RETURN(const std::string end64,
                          ReadWithin(zip, at, kZip64EndBytes));
  if (Field(end64, 0, 4) != kZip64EndMagic) {
    return BadZip(at, "the 64-bit end is missing");
  }
  return DirectoryPlace{Field(end64, 48, 8), Field(end64, 40, 8),
                        Field(end64, 32, 8)};
}

absl::Status CheckDirectoryPlace(const DirectoryPlace& place, uint64_t end) {
  if (place.offset <= end && place.bytes <= end - place.offset &&
      place.bytes <= kMaxDirectoryBytes &&
      place.entries <= place.bytes / kZipCentralBytes) {
    return absl::OkStatus();
  }
  return BadZip(
      end, absl::StrCat("a list of ", place.entries, " files in ", place.bytes,
                        " bytes at offset ", place.offset, " is announced"));
}

// 4.3.16.
absl::StatusOr<DirectoryPlace> FindDirectory(const ZipBytes& zip) {
  const uint64_t tail_bytes =
      std::min<uint64_t>(zip.size(), kZipEndBytes + kZipMaxComment);
  const uint64_t tail_at = zip.size() - tail_bytes;
  RETORT_ASSIGN_OR_RETURN(const std::string tail,
                          ReadWithin(zip, tail_at, tail_bytes));
  for (int64_t at = static_cast<int64_t>(tail.size() - kZipEndBytes); at >= 0;
       --at) {
    // The comment must reach exactly to the end, or this is part of one.
    if (Field(tail, at, 4) != kZipEndMagic ||
        at + kZipEndBytes + Field(tail, at + 20, 2) != tail.size()) {
      continue;
    }
    const uint64_t end = tail_at + at;
    const uint64_t part = Field(tail, at + 4, 2);
    if (part != 0 && part != kZipIn64Short) {
      return BadZip(end, "it is one part of several");
    }
    DirectoryPlace place{Field(tail, at + 16, 4), Field(tail, at + 12, 4),
                         Field(tail, at + 10, 2)};
    if (place.entries == kZipIn64Short || place.bytes == kZipIn64 ||
        place.offset == kZipIn64) {
      RETORT_ASSIGN_OR_RETURN(place, FindDirectory64(zip, end));
    }
    RETORT_RETURN_IF_ERROR(CheckDirectoryPlace(place, end));
    return place;
  }
  return BadZip(zip.size(), "there is no end of a zip file");
}

// 4.5.3: numbers that do not fit into 32 bits follow in a field of their own,
// only those, in this order.
absl::Status ReadZip64Extra(absl::string_view extra, uint64_t offset,
                            ZipPlace* place) {
  uint64_t* const numbers[] = {&place->size, &place->stored, &place->offset};
  if (std::none_of(std::begin(numbers), std::end(numbers),
                   [](const uint64_t* n) { return *n == kZipIn64; })) {
    return absl::OkStatus();
  }
  while (extra.size() >= 4) {
    const uint64_t id = Field(extra, 0, 2), length = Field(extra, 2, 2);
    extra.remove_prefix(4);
    if (length > extra.size()) break;
    absl::string_view field = extra.substr(0, length);
    extra.remove_prefix(length);
    if (id != kZip64Extra) continue;
    for (uint64_t* number : numbers) {
      if (*number != kZipIn64) continue;
      if (field.size() < 8) return BadZip(offset, "64-bit sizes are missing");
      *number = Field(field, 0, 8);
      field.remove_prefix(8);
    }
    return absl::OkStatus();
  }
  return BadZip(offset, "64-bit sizes are missing");
}

// 4.3.12. Takes the first item off `rest`, which stands at `offset`.
absl::StatusOr<ZipEntry> TakeEntry(absl::string_view* rest, uint64_t offset) {
  if (rest->size() < kZipCentralBytes ||
      Field(*rest, 0, 4) != kZipCentralMagic) {
    return BadZip(offset, "an entry of the list of files is missing");
  }
  const size_t name_bytes = Field(*rest, 28, 2);
  const size_t extra_bytes = Field(*rest, 30, 2);
  const size_t bytes =
      kZipCentralBytes + name_bytes + extra_bytes + Field(*rest, 32, 2);
  if (rest->size() < bytes) {
    return BadZip(offset, "the list of files ends within an entry");
  }
  ZipEntry entry;
  entry.name = std::string(rest->substr(kZipCentralBytes, name_bytes));
  entry.place.flags = static_cast<uint16_t>(Field(*rest, 8, 2));
  entry.place.method = static_cast<uint16_t>(Field(*rest, 10, 2));
  entry.place.crc = static_cast<uint32_t>(Field(*rest, 16, 4));
  entry.place.stored = Field(*rest, 20, 4);
  entry.place.size = Field(*rest, 24, 4);
  entry.place.offset = Field(*rest, 42, 4);
  RETORT_RETURN_IF_ERROR(
      ReadZip64Extra(rest->substr(kZipCentralBytes + name_bytes, extra_bytes),
                     offset, &entry.place));
  rest->remove_prefix(bytes);
  return entry;
}

// Each entry ends where the one behind it, or the directory, begins.
void FindEnds(uint64_t directory, std::vector<ZipEntry>* entries) {
  std::vector<ZipPlace*> places;
  places.reserve(entries->size());
  for (ZipEntry& entry : *entries) places.push_back(&entry.place);
  std::sort(places.begin(), places.end(),
            [](const ZipPlace* a, const ZipPlace* b) {
              return a->offset < b->offset;
            });
  uint64_t end = directory;
  for (size_t i = places.size(); i-- > 0;) {
    places[i]->end = end;
    end = std::min(end, places[i]->offset);
  }
}

absl::Status CheckSizes(absl::string_view name, const ZipPlace& place) {
  if ((place.flags & kEncrypted) != 0) {
    return BadEntry(name, "is encrypted, which is not supported");
  }
  if (place.method != kZipStored && place.method != kZipDeflated) {
    return BadEntry(name, absl::StrCat("is compressed by method ", place.method,
                                       "; only stored (0) and deflated (8) "
                                       "are supported"));
  }
  // Written so that no number, whatever it is, overflows.
  const bool possible =
      place.method == kZipStored
          ? place.stored == place.size
          : place.stored / 2 <= place.size / 2 + place.size / 16 + 32 &&
                place.size / kMaxShrink <= place.stored;
  if (possible) return absl::OkStatus();
  return BadEntry(name, absl::StrCat("cannot have ", place.size, " bytes in ",
                                     place.stored));
}

absl::StatusOr<std::string> Inflate(absl::string_view name,
                                    const ZipPlace& place,
                                    const std::string& packed) {
  if (packed.size() > std::numeric_limits<uInt>::max() ||
      place.size > std::numeric_limits<uInt>::max() - 1) {
    return BadEntry(name, "is larger than 4 GiB");
  }
  z_stream stream = {};
  if (inflateInit2(&stream, -MAX_WBITS) != Z_OK) {
    return absl::ResourceExhaustedError("no memory to decompress");
  }
  const absl::Cleanup end = [&stream] { inflateEnd(&stream); };
  // One byte more shows an entry that goes on behind the size that it has.
  std::string bytes(place.size + 1, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(packed.data()));
  stream.avail_in = static_cast<uInt>(packed.size());
  stream.next_out = reinterpret_cast<Bytef*>(bytes.data());
  stream.avail_out = static_cast<uInt>(bytes.size());
  const int result = inflate(&stream, Z_FINISH);
  if (result != Z_STREAM_END || stream.total_out != place.size) {
    return BadEntry(
        name,
        absl::StrCat("does not decompress to ", place.size, " bytes: ",
                     stream.msg != nullptr ? stream.msg : "wrong length"));
  }
  bytes.resize(place.size);
  return bytes;
}

}  // namespace

absl::StatusOr<std::vector<ZipEntry>> ReadZipDirectory(const ZipBytes& zip) {
  RETORT_ASSIGN_OR_RETURN(const DirectoryPlace place, FindDirectory(zip));
  RETORT_ASSIGN_OR_RETURN(const std::string directory,
                          ReadWithin(zip, place.offset, place.bytes));
  std::vector<ZipEntry> entries;
  entries.reserve(place.entries);
  absl::string_view rest = directory;
  while (entries.size() < place.entries) {
    const uint64_t at = place.offset + directory.size() - rest.size();
    RETORT_ASSIGN_OR_RETURN(ZipEntry entry, TakeEntry(&rest, at));
    entries.push_back(std::move(entry));
  }
  FindEnds(place.offset, &entries);
  std::sort(
      entries.begin(), entries.end(),
      [](const ZipEntry& a, const ZipEntry& b) { return a.name < b.name; });
  for (size_t i = 1; i < entries.size(); ++i) {
    if (entries[i].name == entries[i - 1].name) {
      return absl::InvalidArgumentError(absl::StrCat(
          "it names ", absl::CHexEscape(entries[i].name.substr(0, 200)),
          " twice"));
    }
  }
  return entries;
}

// 4.3.7.
absl::StatusOr<uint64_t> FindZipData(const ZipBytes& zip,
                                     absl::string_view name,
                                     const ZipPlace& place) {
  RETORT_RETURN_IF_ERROR(CheckSizes(name, place));
  const auto elsewhere = [&] {
    return BadEntry(name, absl::StrCat("is not at offset ", place.offset,
                                       ", where the list has it"));
  };
  if (place.offset > place.end || place.end - place.offset < kZipLocalBytes) {
    return elsewhere();
  }
  const uint64_t room = place.end - place.offset;
  RETORT_ASSIGN_OR_RETURN(
      const std::string header,
      ReadWithin(zip, place.offset,
                 std::min<uint64_t>(room, kZipLocalBytes + name.size())));
  if (Field(header, 0, 4) != kZipLocalMagic) return elsewhere();
  if (Field(header, 26, 2) != name.size() ||
      absl::string_view(header).substr(kZipLocalBytes) != name) {
    return BadEntry(name, "has another name where it lies");
  }
  const uint64_t front = kZipLocalBytes + name.size() + Field(header, 28, 2);
  if (room < front || room - front < place.stored) {
    return BadEntry(name, "is longer than the room it has in the file");
  }
  return place.offset + front;
}

absl::Status CheckZipCrc(absl::string_view name, const ZipPlace& place,
                         absl::string_view bytes) {
  if (Crc32(bytes) == place.crc) return absl::OkStatus();
  return BadEntry(name, "has a wrong checksum");
}

absl::StatusOr<std::string> ReadZipEntry(const ZipBytes& zip,
                                         absl::string_view name,
                                         const ZipPlace& place) {
  RETORT_ASSIGN_OR_RETURN(const uint64_t at, FindZipData(zip, name, place));
  RETORT_ASSIGN_OR_RETURN(std::string bytes, zip.ReadAt(at, place.stored));
  if (place.method == kZipDeflated) {
    RETORT_ASSIGN_OR_RETURN(bytes, Inflate(name, place, bytes));
  }
  RETORT_RETURN_IF_ERROR(CheckZipCrc(name, place, bytes));
  return bytes;
}

}  // namespace retort::io
