#ifndef RETORT_CORE_IO_PICKLE_VALUE_H_
#define RETORT_CORE_IO_PICKLE_VALUE_H_

#include <cstdint>
#include <deque>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"

// What a pickle holds, as plain data. Nothing in here can be called.
namespace retort::io {

enum class PickleKind : uint8_t {
  kNone,
  kBool,        // integer
  kInt,         // integer
  kBigInt,      // text: beyond 64 bits, as written in the file
  kFloat,       // real
  kText,        // text, UTF-8 if the file is honest
  kBytes,       // text
  kTuple,       // items
  kList,        // items
  kSet,         // items
  kDict,        // items: key, value, key, value, ...
  kGlobal,      // global: a name on the allow-list
  kObject,      // items: the arguments; global: of what; state: set by BUILD
  kPersistent,  // items[0]: the persistent id
};

// What a name on the allow-list stands for (pickle_globals.cc).
enum class PickleGlobal : uint8_t {
  kDict,             // collections.OrderedDict and the like
  kSet,              // set
  kEncode,           // _codecs.encode: bytes, written as text
  kPersistentClass,  // EDM's torch_utils.persistence
  kModule,           // a container of torch.nn, without code of its own
  kTensor,           // torch._utils._rebuild_tensor_v2
  kParameter,        // torch._utils._rebuild_parameter
  kStorageBytes,     // torch.storage._load_from_bytes
  kStorageType,      // torch.FloatStorage, ...
  kNumpyDtype,
  kNumpyScalar,
  kInert,  // harmless, and of no use: torch.device, torch.float32, ...
};

struct PickleValue {
  PickleKind kind = PickleKind::kNone;
  PickleGlobal global = PickleGlobal::kInert;
  int64_t integer = 0;  // for kStorageType: the StoredDtype
  double real = 0;
  absl::string_view text;  // into the file, or into the heap
  std::vector<const PickleValue*> items;
  const PickleValue* state = nullptr;

  bool Is(PickleKind k) const { return kind == k; }
  bool IsObject(PickleGlobal g) const {
    return kind == PickleKind::kObject && global == g;
  }
  bool IsText(absl::string_view t) const {
    return kind == PickleKind::kText && text == t;
  }
  // The value that a dict has for a text; the last one if the file repeats
  // it, nullptr if there is none or this is no dict.
  const PickleValue* Find(absl::string_view key) const;
};

// Owns the values of a file. They may refer to each other in any way, in
// circles too: whoever walks them counts depth and steps. They go all at once
// and without recursion.
class PickleHeap {
 public:
  // Enough for 50 times the largest published network; 200 MB at most.
  static constexpr int64_t kMaxValues = int64_t{2} << 20;

  static constexpr size_t kMaxItems = size_t{8} << 20;

  // `max_owned_bytes` bounds the text that had to be decoded.
  explicit PickleHeap(int64_t max_owned_bytes)
      : owned_bytes_left_(max_owned_bytes) {}
  PickleHeap(const PickleHeap&) = delete;
  PickleHeap& operator=(const PickleHeap&) = delete;

  // nullptr when there are kMaxValues already.
  PickleValue* New(PickleKind kind);

  // Counts references that a tuple, list, set, dict or object is given; false
  // beyond kMaxItems. One list can be copied many times by a few bytes.
  bool Charge(size_t items);

  // Keeps a decoded text; false when that would be too much.
  bool Own(std::string text, absl::string_view* owned);

  // Every kPersistent value, in the order of the file.
  const std::vector<const PickleValue*>& persistent() const {
    return persistent_;
  }

 private:
  int64_t owned_bytes_left_;
  size_t items_left_ = kMaxItems;
  std::deque<PickleValue> values_;
  std::deque<std::string> texts_;
  std::vector<const PickleValue*> persistent_;
};

}  // namespace retort::io

#endif  // RETORT_CORE_IO_PICKLE_VALUE_H_
