#ifndef RETORT_TESTS_SUPPORT_PICKLE_BUILDER_H_
#define RETORT_TESTS_SUPPORT_PICKLE_BUILDER_H_

#include <cstdint>
#include <cstring>
#include <nlohmann/json.hpp>
#include <string>

namespace retort::testing {

// Writes pickles opcode by opcode (names of opcodes as in Python's
// pickletools), good ones and such as no pickler writes.
class PickleBuilder {
 public:
  explicit PickleBuilder(int protocol = 2) {
    Op('\x80').Raw(std::string(1, static_cast<char>(protocol)));
  }

  PickleBuilder& Op(char opcode) {
    text_.push_back(opcode);
    return *this;
  }
  PickleBuilder& Raw(const std::string& bytes) {
    text_ += bytes;
    return *this;
  }
  // The lowest `count` bytes, the lowest first.
  PickleBuilder& Number(uint64_t value, int count) {
    for (int i = 0; i < count; ++i) {
      text_.push_back(static_cast<char>(value >> (8 * i) & 0xff));
    }
    return *this;
  }
  PickleBuilder& Global(const std::string& module, const std::string& name) {
    return Raw("c" + module + "\n" + name + "\n");
  }
  PickleBuilder& Text(const std::string& text) {
    return Op('X').Number(text.size(), 4).Raw(text);
  }
  PickleBuilder& Bytes(const std::string& bytes) {
    return Op('B').Number(bytes.size(), 4).Raw(bytes);
  }
  PickleBuilder& Int(int64_t value) {
    return Raw("\x8a\x08").Number(static_cast<uint64_t>(value), 8);
  }
  template <typename List>
  PickleBuilder& Ints(const List& values) {  // a tuple
    Op('(');
    for (const int64_t value : values) Int(value);
    return Op('t');
  }
  // JSON as Python has it.
  PickleBuilder& Value(const nlohmann::json& json) {
    if (json.is_null()) return Op('N');
    if (json.is_boolean()) return Op(json.get<bool>() ? '\x88' : '\x89');
    if (json.is_number_integer()) return Int(json.get<int64_t>());
    if (json.is_string()) return Text(json.get<std::string>());
    if (json.is_number_float()) {
      const double real = json.get<double>();
      uint64_t bits;
      std::memcpy(&bits, &real, sizeof(bits));
      return Op('G').Number(__builtin_bswap64(bits), 8);
    }
    Op(json.is_array() ? ']' : '}').Op('(');
    for (const auto& [key, value] : json.items()) {
      if (json.is_object()) Text(key);
      Value(value);
    }
    return Op(json.is_array() ? 'e' : 'u');
  }

  std::string Build() const { return text_ + "."; }

 private:
  std::string text_;
};

}  // namespace retort::testing

#endif  // RETORT_TESTS_SUPPORT_PICKLE_BUILDER_H_
