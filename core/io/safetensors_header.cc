#include "core/io/safetensors_header.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/io/safetensors.h"

namespace retort::io {
namespace {

using Json = nlohmann::json;

constexpr char kMetadataName[] = "__metadata__";
// {"name": {"shape": [ ... ]}} is as deep as the format goes.
constexpr int kMaxDepth = 3;
// Above what any tensor has; LibTorch's own limits are near this.
constexpr size_t kMaxRank = 64;

absl::Status Malformed(absl::string_view what) {
  return absl::InvalidArgumentError(
      absl::StrCat("malformed safetensors header: ", what));
}

absl::Status BadEntry(const std::string& name, absl::string_view what) {
  return absl::InvalidArgumentError(
      absl::StrCat("malformed safetensors header: tensor '", name, "' ", what));
}

// Parses JSON into a tree, refusing depth and duplicate names, which the
// tree itself could not show any more.
absl::StatusOr<Json> ParseStrict(absl::string_view text) {
  absl::Status problem;
  std::vector<std::set<std::string>> names;
  const auto watch = [&](int depth, Json::parse_event_t event, Json& value) {
    switch (event) {
      case Json::parse_event_t::object_start:
        names.emplace_back();
        [[fallthrough]];
      case Json::parse_event_t::array_start:
        if (depth >= kMaxDepth) problem.Update(Malformed("it nests too deep"));
        return problem.ok();
      case Json::parse_event_t::object_end:
        names.pop_back();
        return problem.ok();
      case Json::parse_event_t::key:
        if (!names.back().insert(value.get<std::string>()).second) {
          problem.Update(Malformed(absl::StrCat(
              "name '", value.get<std::string>(), "' occurs twice")));
        }
        return problem.ok();
      default:
        return problem.ok();
    }
  };
  Json tree = Json::parse(text.begin(), text.end(), watch,
                          /*allow_exceptions=*/false);
  RETORT_RETURN_IF_ERROR(problem);
  if (!tree.is_object()) return Malformed("it is not a JSON object");
  return tree;
}

// Reads an integer that is a size: 0 up to what int64_t holds.
bool GetSize(const Json& value, int64_t* size) {
  if (!value.is_number_unsigned()) return false;
  const uint64_t raw = value.get<uint64_t>();
  if (raw > static_cast<uint64_t>(INT64_MAX)) return false;
  *size = static_cast<int64_t>(raw);
  return true;
}

absl::Status ParseShape(const Json& json, SafetensorsEntry* entry) {
  if (!json.is_array() || json.size() > kMaxRank) {
    return BadEntry(entry->name, "has a 'shape' that is not a short array");
  }
  for (const Json& item : json) {
    int64_t size = 0;
    if (!GetSize(item, &size)) {
      return BadEntry(entry->name, "has a dimension that is not a size");
    }
    entry->shape.push_back(size);
  }
  return absl::OkStatus();
}

absl::Status ParseOffsets(const Json& json, SafetensorsEntry* entry) {
  if (!json.is_array() || json.size() != 2 ||
      !GetSize(json[0], &entry->begin) || !GetSize(json[1], &entry->end) ||
      entry->begin > entry->end) {
    return BadEntry(entry->name,
                    "has 'data_offsets' that are not an ascending pair");
  }
  return absl::OkStatus();
}

// Verifies that the bytes are as many as dtype and shape need. All
// dimensions are multiplied, so that a 0 among them hides no overflow.
absl::Status CheckByteCount(const SafetensorsEntry& entry) {
  int64_t bytes = c10::elementSize(entry.dtype->type);
  bool empty = false;
  for (const int64_t size : entry.shape) {
    if (size == 0) {
      empty = true;
    } else if (__builtin_mul_overflow(bytes, size, &bytes)) {
      return BadEntry(entry.name, "has a shape beyond 64-bit sizes");
    }
  }
  if (empty) bytes = 0;
  if (entry.end - entry.begin != bytes) {
    return BadEntry(
        entry.name,
        absl::StrCat("needs ", bytes, " bytes by its shape but has ",
                     entry.end - entry.begin, " by its offsets"));
  }
  return absl::OkStatus();
}

absl::StatusOr<SafetensorsEntry> ParseEntry(const std::string& name,
                                            const Json& json) {
  SafetensorsEntry entry;
  entry.name = name;
  if (!json.is_object() || json.size() != 3 || !json.contains("dtype") ||
      !json.contains("shape") || !json.contains("data_offsets")) {
    return BadEntry(name, "must have dtype, shape and data_offsets only");
  }
  if (!json["dtype"].is_string()) {
    return BadEntry(name, "has a 'dtype' that is not a string");
  }
  const std::string dtype = json["dtype"].get<std::string>();
  entry.dtype = FindDtype(absl::string_view(dtype));
  if (entry.dtype == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat("tensor '", name, "' has dtype '", dtype.substr(0, 20),
                     "'; convert it to one of ", SupportedDtypes()));
  }
  RETORT_RETURN_IF_ERROR(ParseShape(json["shape"], &entry));
  RETORT_RETURN_IF_ERROR(ParseOffsets(json["data_offsets"], &entry));
  RETORT_RETURN_IF_ERROR(CheckByteCount(entry));
  return entry;
}

absl::Status ParseMetadata(const Json& json,
                           std::map<std::string, std::string>* metadata) {
  if (!json.is_object()) return Malformed("__metadata__ is not an object");
  for (const auto& [key, value] : json.items()) {
    if (!value.is_string()) {
      return Malformed(absl::StrCat("__metadata__ '", key, "' is no string"));
    }
    (*metadata)[key] = value.get<std::string>();
  }
  return absl::OkStatus();
}

// Each byte of the data belongs to exactly one tensor.
absl::Status CheckCoverage(const std::vector<SafetensorsEntry>& entries,
                           int64_t data_bytes) {
  int64_t position = 0;
  for (const SafetensorsEntry& entry : entries) {
    if (entry.begin != position) {
      return BadEntry(
          entry.name,
          absl::StrCat("starts at ", entry.begin, " where ", position,
                       " bytes are taken: tensors ",
                       entry.begin < position ? "overlap" : "leave a gap"));
    }
    position = entry.end;
  }
  if (position != data_bytes) {
    return Malformed(absl::StrCat(
        "it describes ", position, " bytes of data, the file has ", data_bytes,
        position > data_bytes ? "; the file is truncated" : ""));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<SafetensorsHeader> ParseSafetensorsHeader(absl::string_view json,
                                                         int64_t data_bytes) {
  RETORT_ASSIGN_OR_RETURN(const Json tree, ParseStrict(json));
  SafetensorsHeader header;
  for (const auto& [name, value] : tree.items()) {
    if (name == kMetadataName) {
      RETORT_RETURN_IF_ERROR(ParseMetadata(value, &header.metadata));
      continue;
    }
    RETORT_ASSIGN_OR_RETURN(SafetensorsEntry entry, ParseEntry(name, value));
    header.entries.push_back(std::move(entry));
  }
  std::sort(header.entries.begin(), header.entries.end(),
            [](const SafetensorsEntry& a, const SafetensorsEntry& b) {
              return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
            });
  RETORT_RETURN_IF_ERROR(CheckCoverage(header.entries, data_bytes));
  return header;
}

absl::StatusOr<std::string> FormatSafetensorsHeader(
    const SafetensorsHeader& header) {
  nlohmann::ordered_json tree = nlohmann::ordered_json::object();
  if (!header.metadata.empty()) tree[kMetadataName] = header.metadata;
  for (const SafetensorsEntry& entry : header.entries) {
    if (entry.name == kMetadataName) {
      return absl::InvalidArgumentError(
          "a tensor cannot be named __metadata__: the format reserves it");
    }
    // Straight into the array of members: operator[] would search it.
    nlohmann::ordered_json value = nlohmann::ordered_json::object();
    value["dtype"] = entry.dtype->name;
    value["shape"] = entry.shape;
    value["data_offsets"] = {entry.begin, entry.end};
    tree.get_ref<nlohmann::ordered_json::object_t&>().emplace_back(
        entry.name, std::move(value));
  }
  std::string json;
  try {
    json = tree.dump();
  } catch (const nlohmann::json::exception& error) {
    return absl::InvalidArgumentError(absl::StrCat(
        "a tensor name or metadata text is not UTF-8: ", error.what()));
  }
  json.append((8 - json.size() % 8) % 8, ' ');
  if (static_cast<int64_t>(json.size()) > kMaxSafetensorsHeaderBytes) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the header would take ", json.size(), " bytes, above the limit of ",
        kMaxSafetensorsHeaderBytes, "; write fewer tensors or metadata"));
  }
  std::string prefix;
  for (int shift = 0; shift < 64; shift += 8) {
    prefix.push_back(static_cast<char>(uint64_t{json.size()} >> shift & 0xff));
  }
  return prefix + json;
}

}  // namespace retort::io
