#ifndef RETORT_TESTS_SUPPORT_ZIP_BUILDER_H_
#define RETORT_TESTS_SUPPORT_ZIP_BUILDER_H_

#include <zlib.h>

#include <cstdint>
#include <fstream>
#include <string>
#include <vector>

#include "core/base/check.h"

namespace retort::testing {

inline std::string LittleEndian(uint64_t value, int bytes) {
  std::string text;
  for (int i = 0; i < bytes; ++i) text += static_cast<char>(value >> 8 * i);
  return text;
}

inline std::string Deflate(const std::string& bytes) {
  z_stream stream = {};
  RETORT_CHECK(deflateInit2(&stream, 9, Z_DEFLATED, -MAX_WBITS, 9,
                            Z_DEFAULT_STRATEGY) == Z_OK);
  std::string out(deflateBound(&stream, bytes.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = bytes.size();
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = out.size();
  RETORT_CHECK(deflate(&stream, Z_FINISH) == Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

// Writes zip files as tools do, and, with the numbers changed, as no tool
// should.
class ZipBuilder {
 public:
  struct File {
    std::string name;
    std::string bytes;
    bool deflate = false;
    // What the list says instead of the truth, if not -1.
    int64_t claimed_size = -1;
    int64_t claimed_offset = -1;
    int method = -1;
    int flags = 0;
    bool bad_crc = false;
  };

  ZipBuilder& Add(const std::string& name, const std::string& bytes,
                  bool deflate = false) {
    return Add({name, bytes, deflate});
  }
  ZipBuilder& Add(const File& file) {
    files_.push_back(file);
    return *this;
  }
  // Sizes and offsets in the 64-bit extensions.
  ZipBuilder& Use64() {
    use64_ = true;
    return *this;
  }

  std::string Build() const {
    std::string data, list;
    for (const File& file : files_) AddFile(file, &data, &list);
    const uint64_t offset = data.size();
    std::string zip = data + list;
    if (use64_) {
      const uint64_t end64 = zip.size();
      zip += LittleEndian(0x06064b50, 4) + LittleEndian(44, 8) +
             LittleEndian(45, 2) + LittleEndian(45, 2) + LittleEndian(0, 8) +
             LittleEndian(files_.size(), 8) + LittleEndian(files_.size(), 8) +
             LittleEndian(list.size(), 8) + LittleEndian(offset, 8);
      zip += LittleEndian(0x07064b50, 4) + LittleEndian(0, 4) +
             LittleEndian(end64, 8) + LittleEndian(1, 4);
    }
    const uint64_t count = use64_ ? 0xffff : files_.size();
    zip += LittleEndian(0x06054b50, 4) + LittleEndian(0, 4) +
           LittleEndian(count, 2) + LittleEndian(count, 2) +
           LittleEndian(use64_ ? 0xffffffff : list.size(), 4) +
           LittleEndian(use64_ ? 0xffffffff : offset, 4) + LittleEndian(0, 2);
    return zip;
  }

  void Write(const std::string& path) const {
    std::ofstream(path, std::ios::binary) << Build();
  }

 private:
  void AddFile(const File& f, std::string* data, std::string* list) const {
    const std::string stored = f.deflate ? Deflate(f.bytes) : f.bytes;
    const uint32_t crc =
        crc32_z(0, reinterpret_cast<const Bytef*>(f.bytes.data()),
                f.bytes.size()) ^
        (f.bad_crc ? 1 : 0);
    const int method = f.method >= 0 ? f.method : (f.deflate ? 8 : 0);
    const uint64_t size = f.claimed_size >= 0 ? f.claimed_size : f.bytes.size();
    const uint64_t offset =
        f.claimed_offset >= 0 ? f.claimed_offset : data->size();
    const std::string common = LittleEndian(f.flags, 2) +
                               LittleEndian(method, 2) + LittleEndian(0, 4) +
                               LittleEndian(crc, 4);
    *data += LittleEndian(0x04034b50, 4) + LittleEndian(20, 2) + common +
             LittleEndian(stored.size(), 4) + LittleEndian(size, 4) +
             LittleEndian(f.name.size(), 2) + LittleEndian(0, 2) + f.name +
             stored;
    const std::string extra =
        use64_ ? LittleEndian(0x5455, 2) + LittleEndian(1, 2) + "x" +
                     LittleEndian(1, 2) + LittleEndian(24, 2) +
                     LittleEndian(size, 8) + LittleEndian(stored.size(), 8) +
                     LittleEndian(offset, 8)
               : "";
    const auto number = [this](uint64_t n) {
      return LittleEndian(use64_ ? 0xffffffff : n, 4);
    };
    *list += LittleEndian(0x02014b50, 4) + LittleEndian(20, 2) +
             LittleEndian(20, 2) + common + number(stored.size()) +
             number(size) + LittleEndian(f.name.size(), 2) +
             LittleEndian(extra.size(), 2) + LittleEndian(0, 2) +
             LittleEndian(0, 8) + number(offset) + f.name + extra;
  }

  std::vector<File> files_;
  bool use64_ = false;
};

}  // namespace retort::testing

#endif  // RETORT_TESTS_SUPPORT_ZIP_BUILDER_H_
