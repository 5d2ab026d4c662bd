#include "server/registry/safetensors_header.h"

#include <algorithm>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/base/file.h"
#include "core/base/status_macros.h"
#include "server/base/error.h"

namespace retort::registry {
namespace {

using Json = nlohmann::json;

// {"name": {"shape": [ ... ]}} is as deep as the format goes.
constexpr int kMaxDepth = 3;
constexpr size_t kMaxRank = 64;

absl::Status BadFile(absl::string_view what) {
  return service::Error(
      absl::StatusCode::kInvalidArgument, v1::ERROR_REASON_FILE_INVALID,
      absl::StrCat("this is no usable safetensors file: ", what,
                   "; write it again and send it again"));
}

absl::Status BadTensor(const std::string& name, absl::string_view what) {
  // Escaped and cut: the name is as hostile as the rest of the file.
  return BadFile(absl::StrCat("tensor '", absl::CHexEscape(name.substr(0, 200)),
                              "' ", what));
}

int64_t BytesPerElement(const std::string& dtype) {
  static const auto& sizes = *new std::map<std::string, int64_t>{
      {"F64", 8}, {"F32", 4}, {"F16", 2}, {"BF16", 2}, {"I64", 8},
      {"I32", 4}, {"I16", 2}, {"I8", 1},  {"U8", 1},   {"BOOL", 1}};
  const auto found = sizes.find(dtype);
  return found == sizes.end() ? 0 : found->second;
}

bool GetSize(const Json& value, int64_t* size) {
  if (!value.is_number_unsigned()) return false;
  const uint64_t raw = value.get<uint64_t>();
  if (raw > static_cast<uint64_t>(INT64_MAX)) return false;
  *size = static_cast<int64_t>(raw);
  return true;
}

absl::StatusOr<Json> ParseObject(absl::string_view text) {
  const auto shallow = [](int depth, Json::parse_event_t event, Json&) {
    return depth < kMaxDepth || (event != Json::parse_event_t::object_start &&
                                 event != Json::parse_event_t::array_start);
  };
  Json tree = Json::parse(text.begin(), text.end(), shallow,
                          /*allow_exceptions=*/false);
  if (!tree.is_object()) return BadFile("its header is not a JSON object");
  return tree;
}

// All dimensions are multiplied, so that a 0 among them hides no overflow.
absl::Status CheckBytes(const TensorEntry& entry, int64_t element_bytes) {
  int64_t bytes = element_bytes;
  bool empty = false;
  for (const int64_t size : entry.shape) {
    empty = empty || size == 0;
    if (size != 0 && __builtin_mul_overflow(bytes, size, &bytes)) {
      return BadTensor(entry.name, "has a shape beyond 64-bit sizes");
    }
  }
  if (entry.end - entry.begin != (empty ? 0 : bytes)) {
    return BadTensor(entry.name,
                     absl::StrCat("needs ", empty ? 0 : bytes,
                                  " bytes by its shape but has ",
                                  entry.end - entry.begin, " by its offsets"));
  }
  return absl::OkStatus();
}

absl::StatusOr<TensorEntry> ParseEntry(const std::string& name,
                                       const Json& json) {
  if (!json.is_object() || !json.contains("dtype") ||
      !json["dtype"].is_string() || !json.contains("shape") ||
      !json["shape"].is_array() || !json.contains("data_offsets") ||
      !json["data_offsets"].is_array()) {
    return BadTensor(name, "lacks dtype, shape or data_offsets");
  }
  TensorEntry entry;
  entry.name = name;
  entry.dtype = json["dtype"].get<std::string>();
  const int64_t element_bytes = BytesPerElement(entry.dtype);
  if (element_bytes == 0) {
    return BadTensor(name,
                     absl::StrCat("has the dtype '", entry.dtype.substr(0, 20),
                                  "', which Retort does not read"));
  }
  if (json["shape"].size() > kMaxRank) {
    return BadTensor(name, "has too many dimensions");
  }
  for (const Json& item : json["shape"]) {
    entry.shape.push_back(0);
    if (!GetSize(item, &entry.shape.back())) {
      return BadTensor(name, "has a dimension that is not a size");
    }
  }
  const Json& offsets = json["data_offsets"];
  if (offsets.size() != 2 || !GetSize(offsets[0], &entry.begin) ||
      !GetSize(offsets[1], &entry.end) || entry.begin > entry.end) {
    return BadTensor(name, "has data_offsets that are no ascending pair");
  }
  RETORT_RETURN_IF_ERROR(CheckBytes(entry, element_bytes));
  return entry;
}

absl::Status CheckCoverage(const std::vector<TensorEntry>& entries,
                           int64_t data_bytes) {
  int64_t position = 0;
  for (const TensorEntry& entry : entries) {
    if (entry.begin != position) {
      return BadTensor(entry.name, entry.begin < position
                                       ? "overlaps another one"
                                       : "leaves a gap before it");
    }
    position = entry.end;
  }
  if (position != data_bytes) {
    return BadFile(absl::StrCat("its header describes ", position,
                                " bytes of data, but the file has ",
                                data_bytes));
  }
  return absl::OkStatus();
}

}  // namespace

int64_t TensorEntry::Elements() const {
  int64_t elements = 1;
  for (const int64_t size : shape) elements *= size;
  return elements;
}

absl::StatusOr<std::vector<TensorEntry>> ParseTensorEntries(
    absl::string_view json, int64_t data_bytes) {
  RETORT_ASSIGN_OR_RETURN(const Json tree, ParseObject(json));
  std::vector<TensorEntry> entries;
  for (const auto& [name, value] : tree.items()) {
    if (name == "__metadata__") continue;
    RETORT_ASSIGN_OR_RETURN(TensorEntry entry, ParseEntry(name, value));
    entries.push_back(std::move(entry));
  }
  if (entries.empty()) return BadFile("it holds no tensors");
  std::sort(entries.begin(), entries.end(),
            [](const TensorEntry& a, const TensorEntry& b) {
              return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
            });
  RETORT_RETURN_IF_ERROR(CheckCoverage(entries, data_bytes));
  return entries;
}

absl::StatusOr<std::vector<TensorEntry>> ReadTensorEntries(
    const std::string& path) {
  RETORT_ASSIGN_OR_RETURN(const int64_t file_bytes, base::FileSize(path));
  std::ifstream file(path, std::ios::binary);
  unsigned char prefix[8] = {};
  if (!file.read(reinterpret_cast<char*>(prefix), sizeof(prefix))) {
    return BadFile(
        absl::StrCat("it has ", file_bytes, " bytes, too few for a header"));
  }
  uint64_t header_bytes = 0;
  for (int i = 7; i >= 0; --i) header_bytes = header_bytes << 8 | prefix[i];
  if (header_bytes > static_cast<uint64_t>(kMaxHeaderBytes) ||
      static_cast<int64_t>(header_bytes) > file_bytes - 8) {
    return BadFile(absl::StrCat("its first bytes announce a header of ",
                                header_bytes, " bytes in a file of ",
                                file_bytes));
  }
  std::string json(header_bytes, '\0');
  if (!file.read(json.data(), static_cast<std::streamsize>(json.size()))) {
    return absl::DataLossError(
        absl::StrCat("reading ", path, " failed; check the disk"));
  }
  return ParseTensorEntries(
      json, file_bytes - 8 - static_cast<int64_t>(header_bytes));
}

int64_t CountParameters(const std::vector<TensorEntry>& entries) {
  int64_t count = 0;
  for (const TensorEntry& entry : entries) {
    if (absl::EndsWith(entry.name, "resample_filter") ||
        absl::EndsWith(entry.name, ".freqs") ||
        absl::StartsWith(entry.name, "preconditioning.")) {
      continue;
    }
    count += entry.Elements();
  }
  return count;
}

}  // namespace retort::registry
