#ifndef RETORT_CORE_IO_TORCH_FILE_H_
#define RETORT_CORE_IO_TORCH_FILE_H_

#include <map>
#include <memory>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "core/io/pickle_value.h"
#include "core/io/stored_tensor.h"

namespace retort::io {

// A file of weights as Python writes it, in any of three forms: torch.save's
// zip file, the stream it wrote before version 1.6, or a plain pickle whose
// tensors carry such streams (EDM's). Read as data: see pickle_reader.h.
//
//   RETORT_ASSIGN_OR_RETURN(auto file, TorchFile::Parse(bytes));
//   const PickleValue* ema = file->root().Find("ema");
//   ...
//   RETORT_ASSIGN_OR_RETURN(StoredTensor t, file->Tensor(*value));
//
// Not thread-safe. `bytes` outlive it, and it outlives what it returns.
class TorchFile {
 public:
  // InvalidArgument for a file that is none, in whatever way it is malformed.
  // `check_crc` as in ReadZip.
  static absl::StatusOr<std::unique_ptr<TorchFile>> Parse(
      absl::string_view bytes, bool check_crc = true);

  // What was saved.
  const PickleValue& root() const { return *root_; }

  // True for a tensor or a parameter, however malformed.
  static bool IsTensor(const PickleValue& value);

  // The tensor that a value describes, checked by CheckView.
  absl::StatusOr<StoredTensor> Tensor(const PickleValue& value);

 private:
  struct Storage {
    StoredDtype dtype = StoredDtype::kFloat32;
    absl::string_view bytes;
  };
  using Storages = std::map<std::string, Storage, std::less<>>;

  explicit TorchFile(absl::string_view bytes)
      : bytes_(bytes), heap_(static_cast<int64_t>(bytes.size())) {}

  absl::Status ParseZip(bool check_crc);
  absl::Status ParsePickle();
  absl::StatusOr<const PickleValue*> ParseStream(absl::string_view bytes,
                                                 Storages* storages);
  absl::StatusOr<Storage> StorageOf(const PickleValue& value);
  absl::StatusOr<Storage> Nested(const PickleValue& stream);

  const absl::string_view bytes_;
  PickleHeap heap_;
  const PickleValue* root_ = nullptr;
  Storages storages_;  // of the file itself
  absl::flat_hash_map<const PickleValue*, Storage> nested_;
};

}  // namespace retort::io

#endif  // RETORT_CORE_IO_TORCH_FILE_H_
