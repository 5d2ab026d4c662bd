#ifndef RETORT_TESTS_SUPPORT_EDM_PICKLE_H_
#define RETORT_TESTS_SUPPORT_EDM_PICKLE_H_

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/support/pickle_builder.h"

// Network snapshots as NVlabs/edm writes them, made without Python: what its
// torch_utils/persistence.py and torch.save's old stream put into a pickle.
namespace retort::testing {

// A float32 tensor as it lies in a file.
struct RawTensor {
  std::vector<int64_t> shape;
  std::string bytes;
};
using RawTensors = std::map<std::string, RawTensor>;

// The tensors of a safetensors file, all float32.
inline RawTensors ParseSafetensors(const std::string& file) {
  uint64_t length = 0;
  std::memcpy(&length, file.data(), 8);
  const auto header = nlohmann::json::parse(file.substr(8, length));
  RawTensors tensors;
  for (const auto& [name, entry] : header.items()) {
    if (name == "__metadata__") continue;
    const int64_t begin = entry["data_offsets"][0],
                  end = entry["data_offsets"][1];
    tensors[name] = {entry["shape"].get<std::vector<int64_t>>(),
                     file.substr(8 + length + begin, end - begin)};
  }
  return tensors;
}

// torch.save(storage) before version 1.6, a float32 storage.
inline std::string StorageStream(const std::string& bytes) {
  const int64_t elements = static_cast<int64_t>(bytes.size() / 4);
  std::string stream =
      PickleBuilder()
          .Raw("\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19")
          .Build();
  stream += PickleBuilder().Int(1001).Build();
  stream += PickleBuilder()
                .Value({{"protocol_version", 1001}, {"little_endian", true}})
                .Build();
  stream += PickleBuilder()
                .Op('(')
                .Text("storage")
                .Global("torch", "FloatStorage")
                .Text("7")
                .Text("cpu")
                .Int(elements)
                .Op('N')
                .Raw("tQ")
                .Build();
  stream += PickleBuilder().Value(nlohmann::json::array({"7"})).Build();
  for (int i = 0; i < 8; ++i) {
    stream.push_back(static_cast<char>(elements >> (8 * i) & 0xff));
  }
  return stream + bytes;
}

// Appends torch._utils._rebuild_tensor_v2(...) with these numbers, whether
// they fit the storage or not.
inline void AppendView(PickleBuilder* pickle, const std::string& bytes,
                       int64_t offset, const std::vector<int64_t>& sizes,
                       const std::vector<int64_t>& strides) {
  pickle->Global("torch._utils", "_rebuild_tensor_v2").Op('(');
  pickle->Global("torch.storage", "_load_from_bytes");
  pickle->Op('(').Bytes(StorageStream(bytes)).Raw("tR");
  pickle->Int(offset).Ints(sizes).Ints(strides).Op('\x89');
  pickle->Global("collections", "OrderedDict").Raw(")RtR");
}

inline void AppendTensor(PickleBuilder* pickle, const RawTensor& tensor) {
  std::vector<int64_t> strides(tensor.shape.size(), 1);
  for (size_t i = strides.size(); i-- > 1;) {
    strides[i - 1] = strides[i] * tensor.shape[i];
  }
  AppendView(pickle, tensor.bytes, 0, tensor.shape, strides);
}

// A tree of modules with the class name of its root.
class EdmModule {
 public:
  void Add(const std::string& name, const RawTensor& tensor) {
    const size_t dot = name.find('.');
    if (dot == std::string::npos) {
      tensors_[name] = tensor;
    } else {
      modules_[name.substr(0, dot)].Add(name.substr(dot + 1), tensor);
    }
  }

  // A persistent object: its class, its source text, its __dict__.
  void Append(PickleBuilder* pickle, const std::string& class_name,
              const nlohmann::json& arguments, int version = 6) const {
    pickle->Global("torch_utils.persistence", "_reconstruct_persistent_obj")
        .Op('(');
    pickle->Op('}').Op('(').Text("type").Text("class");
    pickle->Text("version").Int(version);
    pickle->Text("module_src").Text("raise SystemExit('it was run')");
    pickle->Text("class_name").Text(class_name).Text("state");
    AppendState(pickle, arguments);
    pickle->Raw("utR");
  }

 private:
  static bool IsBuffer(const std::string& name) {
    return name == "resample_filter" || name == "freqs";
  }

  void AppendState(PickleBuilder* pickle,
                   const nlohmann::json& arguments) const {
    pickle->Op('}').Op('(').Text("training").Op('\x89');
    for (const bool buffers : {false, true}) {
      pickle->Text(buffers ? "_buffers" : "_parameters").Raw("}(");
      for (const auto& [name, tensor] : tensors_) {
        if (IsBuffer(name) != buffers) continue;
        pickle->Text(name);
        if (!buffers) {
          pickle->Global("torch._utils", "_rebuild_parameter").Op('(');
        }
        AppendTensor(pickle, tensor);
        if (buffers) continue;
        pickle->Op('\x88').Global("collections", "OrderedDict").Raw(")RtR");
      }
      pickle->Op('u');
    }
    pickle->Text("_modules").Raw("}(");
    for (const auto& [name, module] : modules_) {
      pickle->Text(name);
      if (name == "enc" || name == "dec") {  // without a class of EDM's own
        pickle->Global("torch.nn.modules.container", "ModuleDict").Raw(")\x81");
        module.AppendState(pickle, nlohmann::json::object());
        pickle->Op('b');
      } else {
        module.Append(pickle, "Part", nlohmann::json::object());
      }
    }
    pickle->Op('u').Text("_init_args").Op(')');
    pickle->Text("_init_kwargs").Value(arguments).Op('u');
  }

  RawTensors tensors_;
  std::map<std::string, EdmModule> modules_;
};

// A network-snapshot-*.pkl of an EDMPrecond made with `arguments`; of a
// training state if `key` is "net".
inline std::string EdmSnapshot(const nlohmann::json& arguments,
                               const RawTensors& tensors,
                               const std::string& key = "ema") {
  EdmModule root;
  for (const auto& [name, tensor] : tensors) root.Add(name, tensor);
  PickleBuilder pickle;
  pickle.Raw("}(").Text(key);
  root.Append(&pickle, "EDMPrecond", arguments);
  pickle.Text("dataset_kwargs").Value({{"use_labels", false}}).Op('u');
  return pickle.Build();
}

}  // namespace retort::testing

#endif  // RETORT_TESTS_SUPPORT_EDM_PICKLE_H_
