#include "core/io/torch_writer.h"

#include <algorithm>
#include <memory>

#include "absl/strings/str_cat.h"
#include "core/base/atomic_file_writer.h"
#include "core/base/status_macros.h"
#include "core/io/bytes.h"
#include "core/io/pickle_globals.h"
#include "core/io/zip_writer.h"

namespace retort::io {
namespace {

constexpr char kFolder[] = "archive";

// Opcodes of pickle's protocol 2 (Python's Lib/pickletools.py).
class PickleText {
 public:
  PickleText() : text_("\x80\x02", 2) {}

  void Op(char opcode) { text_.push_back(opcode); }
  void Global(absl::string_view module, absl::string_view name) {
    absl::StrAppend(&text_, "c", module, "\n", name, "\n");
  }
  void Text(absl::string_view text) {
    Op('X');  // BINUNICODE
    AppendLittleEndian(text.size(), 4, &text_);
    absl::StrAppend(&text_, text);
  }
  void Int(int64_t value) {
    if (value < 0x80000000) {
      Op('J');  // BININT
      AppendLittleEndian(value, 4, &text_);
    } else {
      absl::StrAppend(&text_, "\x8a\x08");  // LONG1 of eight bytes
      AppendLittleEndian(value, 8, &text_);
    }
  }
  void Ints(const std::vector<int64_t>& values) {
    Op('(');
    for (const int64_t value : values) Int(value);
    Op('t');
  }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

std::vector<int64_t> RowMajor(const std::vector<int64_t>& sizes) {
  std::vector<int64_t> strides(sizes.size(), 1);
  for (size_t i = sizes.size(); i-- > 1;) {
    strides[i - 1] = strides[i] * std::max<int64_t>(sizes[i], 1);
  }
  return strides;
}

// torch._utils._rebuild_tensor_v2(storage, 0, sizes, strides, False,
// OrderedDict()), the storage as a persistent id.
void AppendTensor(const StoredTensor& tensor, absl::string_view key,
                  PickleText* pickle) {
  pickle->Global("torch._utils", "_rebuild_tensor_v2");
  pickle->Op('(');
  pickle->Op('(');
  pickle->Text("storage");
  pickle->Global("torch", StorageTypeName(tensor.dtype));
  pickle->Text(key);
  pickle->Text("cpu");
  pickle->Int(tensor.Elements());
  pickle->Op('t');
  pickle->Op('Q');  // BINPERSID
  pickle->Int(0);
  pickle->Ints(tensor.sizes);
  pickle->Ints(RowMajor(tensor.sizes));
  pickle->Op('\x89');  // NEWFALSE: no gradient
  pickle->Global("collections", "OrderedDict");
  pickle->Op(')');
  pickle->Op('R');
  pickle->Op('t');
  pickle->Op('R');
}

std::string DictOf(const std::vector<NamedTensor>& tensors) {
  PickleText pickle;
  pickle.Op('}');
  pickle.Op('(');
  for (size_t i = 0; i < tensors.size(); ++i) {
    pickle.Text(tensors[i].name);
    AppendTensor(tensors[i].tensor, absl::StrCat(i), &pickle);
  }
  pickle.Op('u');  // SETITEMS
  pickle.Op('.');
  return pickle.text();
}

}  // namespace

absl::Status WriteTorchFile(const std::string& path,
                            const std::vector<NamedTensor>& tensors) {
  for (const NamedTensor& named : tensors) {
    RETORT_RETURN_IF_ERROR(CheckView(named.tensor));
  }
  RETORT_ASSIGN_OR_RETURN(const auto file,
                          base::AtomicFileWriter::Create(path));
  ZipWriter zip(file.get());
  const auto add = [&](absl::string_view name, absl::string_view bytes) {
    return zip.Add(absl::StrCat(kFolder, "/", name), bytes);
  };
  RETORT_RETURN_IF_ERROR(add("data.pkl", DictOf(tensors)));
  RETORT_RETURN_IF_ERROR(add("byteorder", "little"));
  for (size_t i = 0; i < tensors.size(); ++i) {
    const StoredTensor& tensor = tensors[i].tensor;
    std::string bytes(tensor.Elements() * ElementBytes(tensor.dtype), '\0');
    CopyElements(tensor, bytes.data());
    RETORT_RETURN_IF_ERROR(add(absl::StrCat("data/", i), bytes));
  }
  RETORT_RETURN_IF_ERROR(add("version", "3\n"));
  RETORT_RETURN_IF_ERROR(zip.Finish());
  return file->Commit();
}

}  // namespace retort::io
