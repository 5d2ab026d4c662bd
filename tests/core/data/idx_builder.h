#ifndef RETORT_TESTS_CORE_DATA_IDX_BUILDER_H_
#define RETORT_TESTS_CORE_DATA_IDX_BUILDER_H_

#include <zlib.h>

#include <cstdint>
#include <string>
#include <vector>

#include "core/base/check.h"

namespace retort::data {

// Returns an IDX file of unsigned bytes that announces `shape`, whatever the
// number of `elements`.
inline std::string IdxBytes(const std::vector<uint32_t>& shape,
                            const std::string& elements) {
  std::string file("\0\0\x08", 3);
  file.push_back(static_cast<char>(shape.size()));
  for (const uint32_t size : shape) {
    for (int shift = 24; shift >= 0; shift -= 8) {
      file.push_back(static_cast<char>(size >> shift & 0xff));
    }
  }
  return file + elements;
}

inline std::string Gzip(const std::string& bytes) {
  z_stream stream = {};
  RETORT_CHECK(deflateInit2(&stream, 9, Z_DEFLATED, 16 + MAX_WBITS, 8,
                            Z_DEFAULT_STRATEGY) == Z_OK);
  std::string file(deflateBound(&stream, bytes.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = bytes.size();
  stream.next_out = reinterpret_cast<Bytef*>(file.data());
  stream.avail_out = file.size();
  RETORT_CHECK(deflate(&stream, Z_FINISH) == Z_STREAM_END);
  file.resize(stream.total_out);
  deflateEnd(&stream);
  return file;
}

}  // namespace retort::data

#endif  // RETORT_TESTS_CORE_DATA_IDX_BUILDER_H_
