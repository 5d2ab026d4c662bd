#include "core/io/plain_data.h"

#include <cstring>
#include <string>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"

namespace retort::io {
namespace {

using Json = nlohmann::json;

constexpr int kMaxDataDepth = 16;
constexpr int kMaxDataItems = 1 << 16;
constexpr size_t kMaxDataText = 1 << 16;

absl::Status NotPlain(absl::string_view what) {
  return absl::InvalidArgumentError(
      absl::StrCat("a setting in the file ", what));
}

template <typename T>
Json Number(absl::string_view bytes) {
  T value;
  std::memcpy(&value, bytes.data(), sizeof(T));
  return value;
}

// numpy.core.multiarray.scalar(dtype('f8'), b'...'), little-endian.
absl::StatusOr<Json> NumpyScalar(const PickleValue& value) {
  if (value.items.size() != 2 ||
      !value.items[0]->IsObject(PickleGlobal::kNumpyDtype) ||
      value.items[0]->items.empty() ||
      !value.items[1]->Is(PickleKind::kBytes)) {
    return NotPlain("is a malformed number of numpy");
  }
  const PickleValue& dtype = *value.items[0];
  // The byte order is the second entry of the dtype's state.
  if (dtype.state != nullptr && dtype.state->items.size() > 1 &&
      dtype.state->items[1]->IsText(">")) {
    return NotPlain("is a big-endian number of numpy");
  }
  const absl::string_view name = dtype.items[0]->text;
  const absl::string_view bytes = value.items[1]->text;
  if (name == "f8" && bytes.size() == 8) return Number<double>(bytes);
  if (name == "f4" && bytes.size() == 4) return Number<float>(bytes);
  if (name == "i8" && bytes.size() == 8) return Number<int64_t>(bytes);
  if (name == "i4" && bytes.size() == 4) return Number<int32_t>(bytes);
  if (name == "b1" && bytes.size() == 1) return Json(bytes[0] != 0);
  return NotPlain("is a number of numpy of an unknown type");
}

class Converter {
 public:
  absl::StatusOr<Json> Convert(const PickleValue& value, int depth) {
    if (depth > kMaxDataDepth || --items_left_ < 0) {
      return NotPlain("nests too deep or is too large");
    }
    switch (value.kind) {
      case PickleKind::kNone:
        return Json();
      case PickleKind::kBool:
        return Json(value.integer != 0);
      case PickleKind::kInt:
        return Json(value.integer);
      case PickleKind::kFloat:
        return Json(value.real);
      case PickleKind::kText:
        if (value.text.size() > kMaxDataText) return NotPlain("is too long");
        return Json(std::string(value.text));
      case PickleKind::kList:
      case PickleKind::kTuple:
        return Array(value, depth);
      case PickleKind::kDict:
        return Object(value, depth);
      default:
        if (value.IsObject(PickleGlobal::kNumpyScalar)) {
          return NumpyScalar(value);
        }
        return NotPlain("is no number, text, list or dict of these");
    }
  }

 private:
  absl::StatusOr<Json> Array(const PickleValue& value, int depth) {
    Json array = Json::array();
    for (const PickleValue* item : value.items) {
      RETORT_ASSIGN_OR_RETURN(Json element, Convert(*item, depth + 1));
      array.push_back(std::move(element));
    }
    return array;
  }

  absl::StatusOr<Json> Object(const PickleValue& value, int depth) {
    Json object = Json::object();
    for (size_t i = 0; i + 1 < value.items.size(); i += 2) {
      const PickleValue& key = *value.items[i];
      if (!key.Is(PickleKind::kText) || key.text.size() > kMaxDataText) {
        return NotPlain("has a key that is no text");
      }
      RETORT_ASSIGN_OR_RETURN(object[std::string(key.text)],
                              Convert(*value.items[i + 1], depth + 1));
    }
    return object;
  }

  int items_left_ = kMaxDataItems;
};

}  // namespace

absl::StatusOr<Json> PlainData(const PickleValue& value) {
  return Converter().Convert(value, 0);
}

}  // namespace retort::io
