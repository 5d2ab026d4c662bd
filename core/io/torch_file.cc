#include "core/io/torch_file.h"

#include <cstring>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/io/pickle_reader.h"
#include "core/io/zip_archive.h"

namespace retort::io {
namespace {

// First value of a torch.save stream, 0x1950a86a20f9469cfc6c, and its second.
constexpr absl::string_view kStreamMagic(
    "\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19", 10);
constexpr int64_t kStreamVersion = 1001;

absl::Status BadFile(absl::string_view what) {
  return absl::InvalidArgumentError(what);
}

bool IsStreamStart(const PickleValue& value) {
  return value.Is(PickleKind::kBigInt) && value.text == kStreamMagic;
}

// What a persistent id says: ('storage', type, key, location, elements[,
// view]).
struct StorageId {
  StoredDtype dtype;
  std::string key;
  int64_t elements;
};

absl::StatusOr<StorageId> ParseStorageId(const PickleValue& value) {
  const PickleValue* id = value.items.empty() ? nullptr : value.items[0];
  if (!value.Is(PickleKind::kPersistent) || !id->Is(PickleKind::kTuple) ||
      id->items.size() < 5 || !id->items[0]->IsText("storage")) {
    return BadFile("a tensor has no storage");
  }
  const PickleValue &type = *id->items[1], &key = *id->items[2],
                    &elements = *id->items[4];
  if (!type.Is(PickleKind::kGlobal) ||
      type.global != PickleGlobal::kStorageType || !key.Is(PickleKind::kText) ||
      !elements.Is(PickleKind::kInt) || elements.integer < 0) {
    return BadFile("a tensor's storage has no type, key or length");
  }
  if (id->items.size() > 5 && !id->items[5]->Is(PickleKind::kNone)) {
    return BadFile(
        "a storage is a part of another one, as torch wrote it before 0.4; "
        "save the file again with a newer torch");
  }
  return StorageId{static_cast<StoredDtype>(type.integer),
                   std::string(key.text), elements.integer};
}

absl::StatusOr<std::vector<int64_t>> Integers(const PickleValue& value) {
  std::vector<int64_t> integers;
  if (!value.Is(PickleKind::kTuple)) {
    return BadFile("a tensor's shape is no tuple");
  }
  for (const PickleValue* item : value.items) {
    if (!item->Is(PickleKind::kInt)) {
      return BadFile("a tensor's shape has something that is no number");
    }
    integers.push_back(item->integer);
  }
  return integers;
}

absl::Status CheckSystem(const PickleValue& value) {
  const PickleValue* little = value.Find("little_endian");
  if (little != nullptr && little->Is(PickleKind::kBool) &&
      little->integer == 1) {
    return absl::OkStatus();
  }
  return BadFile("the file was not written on a little-endian machine");
}

}  // namespace

absl::StatusOr<std::unique_ptr<TorchFile>> TorchFile::Parse(
    absl::string_view bytes, bool check_crc) {
  if (bytes.empty()) return BadFile("the file is empty");
  std::unique_ptr<TorchFile> file(new TorchFile(bytes));
  RETORT_RETURN_IF_ERROR(IsZip(bytes) ? file->ParseZip(check_crc)
                                      : file->ParsePickle());
  return file;
}

// torch.save since 1.6: <any>/data.pkl, <any>/data/<key>.
absl::Status TorchFile::ParseZip(bool check_crc) {
  // First: the code in it is compressed, which would be the error otherwise.
  if (ZipHasEntry(bytes_, "/constants.pkl")) {
    return BadFile(
        "the file is a TorchScript module, which is code and not weights; "
        "import it as one, for a feature extractor");
  }
  RETORT_ASSIGN_OR_RETURN(const auto entries, ReadZip(bytes_, check_crc));
  std::string prefix;
  for (const auto& [name, data] : entries) {
    if (absl::EndsWith(name, "/data.pkl")) {
      if (!prefix.empty()) return BadFile("the zip file has two data.pkl");
      prefix = name.substr(0, name.size() - 8);
    }
  }
  if (prefix.empty()) {
    return BadFile("the zip file has no data.pkl; torch.save writes one");
  }
  const auto order = entries.find(prefix + "byteorder");
  if (order != entries.end() && order->second != "little") {
    return BadFile("the file was not written on a little-endian machine");
  }
  size_t used = 0;
  RETORT_ASSIGN_OR_RETURN(
      root_, ReadPickle(entries.at(prefix + "data.pkl"), &heap_, &used));
  for (const PickleValue* value : heap_.persistent()) {
    RETORT_ASSIGN_OR_RETURN(const StorageId id, ParseStorageId(*value));
    const auto found = entries.find(absl::StrCat(prefix, "data/", id.key));
    if (found == entries.end()) {
      return BadFile(absl::StrCat("the zip file lacks the storage '",
                                  absl::CHexEscape(id.key.substr(0, 100)),
                                  "'"));
    }
    storages_[id.key] = {id.dtype, found->second};
  }
  return absl::OkStatus();
}

absl::Status TorchFile::ParsePickle() {
  size_t used = 0;
  const absl::StatusOr<const PickleValue*> first =
      ReadPickle(bytes_, &heap_, &used);
  RETORT_RETURN_IF_ERROR(first.status());
  if (IsStreamStart(**first)) {
    RETORT_ASSIGN_OR_RETURN(root_, ParseStream(bytes_, &storages_));
    return absl::OkStatus();
  }
  if (used != bytes_.size()) {
    return BadFile(absl::StrCat("the file goes on for ", bytes_.size() - used,
                                " bytes behind its pickle"));
  }
  root_ = *first;
  return absl::OkStatus();
}

// torch.save before 1.6: magic, version, system, object, keys, and for each
// key the storage's length and bytes.
absl::StatusOr<const PickleValue*> TorchFile::ParseStream(
    absl::string_view bytes, Storages* storages) {
  const size_t known = heap_.persistent().size();
  const PickleValue* parts[5] = {};
  for (const PickleValue*& part : parts) {
    size_t used = 0;
    RETORT_ASSIGN_OR_RETURN(part, ReadPickle(bytes, &heap_, &used));
    bytes.remove_prefix(used);
    if (part == parts[0] && !IsStreamStart(*part)) {
      return BadFile("a storage is no torch.save stream");
    }
  }
  if (!parts[1]->Is(PickleKind::kInt) || parts[1]->integer != kStreamVersion) {
    return BadFile("the torch.save stream is of an unknown version");
  }
  RETORT_RETURN_IF_ERROR(CheckSystem(*parts[2]));
  std::map<std::string, StorageId, std::less<>> announced;
  for (size_t i = known; i < heap_.persistent().size(); ++i) {
    RETORT_ASSIGN_OR_RETURN(StorageId id,
                            ParseStorageId(*heap_.persistent()[i]));
    announced.emplace(id.key, id);
  }
  if (!parts[4]->Is(PickleKind::kList)) {
    return BadFile("the torch.save stream has no list of storages");
  }
  for (const PickleValue* key : parts[4]->items) {
    const auto found = announced.find(key->text);
    if (!key->Is(PickleKind::kText) || found == announced.end()) {
      return BadFile("the torch.save stream has a storage that none asked for");
    }
    const StorageId& id = found->second;
    int64_t elements = -1;
    if (bytes.size() >= 8) std::memcpy(&elements, bytes.data(), 8);
    if (elements != id.elements ||
        elements >
            static_cast<int64_t>(bytes.size() - 8) / ElementBytes(id.dtype)) {
      return BadFile(
          "the torch.save stream is cut off, or a storage has another length "
          "than was announced");
    }
    const int64_t length = elements * ElementBytes(id.dtype);
    (*storages)[id.key] = {id.dtype, bytes.substr(8, length)};
    bytes.remove_prefix(8 + length);
  }
  if (!bytes.empty()) {
    return BadFile(absl::StrCat("the torch.save stream goes on for ",
                                bytes.size(), " bytes behind its end"));
  }
  return parts[3];
}

// What torch.storage._load_from_bytes would return.
absl::StatusOr<TorchFile::Storage> TorchFile::Nested(
    const PickleValue& stream) {
  const auto found = nested_.find(&stream);
  if (found != nested_.end()) return found->second;
  if (!stream.Is(PickleKind::kBytes)) {
    return BadFile("a storage is no bytes");
  }
  Storages storages;
  RETORT_ASSIGN_OR_RETURN(const PickleValue* root,
                          ParseStream(stream.text, &storages));
  RETORT_ASSIGN_OR_RETURN(const StorageId id, ParseStorageId(*root));
  const auto storage = storages.find(id.key);
  if (storage == storages.end()) return BadFile("a storage has no bytes");
  nested_[&stream] = storage->second;
  return storage->second;
}

absl::StatusOr<TorchFile::Storage> TorchFile::StorageOf(
    const PickleValue& value) {
  if (value.IsObject(PickleGlobal::kStorageBytes) && value.items.size() == 1) {
    return Nested(*value.items[0]);
  }
  RETORT_ASSIGN_OR_RETURN(const StorageId id, ParseStorageId(value));
  const auto found = storages_.find(id.key);
  if (found == storages_.end()) return BadFile("a storage has no bytes");
  Storage storage = found->second;
  // In a zip file the directory has the length. The type is this tensor's.
  if (id.dtype != storage.dtype ||
      static_cast<int64_t>(storage.bytes.size()) / ElementBytes(id.dtype) !=
          id.elements ||
      static_cast<int64_t>(storage.bytes.size()) % ElementBytes(id.dtype) !=
          0) {
    return BadFile(absl::StrCat("a storage has ", storage.bytes.size(),
                                " bytes, which are not the ", id.elements,
                                " elements that were announced"));
  }
  return storage;
}

bool TorchFile::IsTensor(const PickleValue& value) {
  return value.IsObject(PickleGlobal::kTensor) ||
         value.IsObject(PickleGlobal::kParameter);
}

absl::StatusOr<StoredTensor> TorchFile::Tensor(const PickleValue& value) {
  const PickleValue* plain = &value;
  if (plain->IsObject(PickleGlobal::kParameter) && !plain->items.empty()) {
    plain = plain->items[0];  // (data, requires_grad, hooks)
  }
  // (storage, offset, size, stride[, requires_grad, hooks])
  if (!plain->IsObject(PickleGlobal::kTensor) || plain->items.size() < 4 ||
      !plain->items[1]->Is(PickleKind::kInt)) {
    return BadFile("something that should be a tensor is none");
  }
  RETORT_ASSIGN_OR_RETURN(const Storage storage, StorageOf(*plain->items[0]));
  StoredTensor tensor;
  tensor.dtype = storage.dtype;
  tensor.storage = storage.bytes;
  tensor.offset = plain->items[1]->integer;
  RETORT_ASSIGN_OR_RETURN(tensor.sizes, Integers(*plain->items[2]));
  RETORT_ASSIGN_OR_RETURN(tensor.strides, Integers(*plain->items[3]));
  RETORT_RETURN_IF_ERROR(CheckView(tensor));
  return tensor;
}

}  // namespace retort::io
