#include "core/data/label_list.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"

namespace retort::data {
namespace {

using nlohmann::json;

constexpr int64_t kMaxLabel = 999999;

// Follows the parser through the text. Level 1 is the outer object, 2 the list
// of labels, 3 a pair; `inside_` says that "labels" led there.
class LabelReader : public nlohmann::json_sax<json> {
 public:
  LabelReader(int64_t images,
              const std::function<int64_t(const std::string&)>& index_of)
      : index_of_(index_of), labels_(images, -1) {}

  bool found() const { return found_; }
  const std::string& error() const { return error_; }
  std::vector<int64_t>& labels() { return labels_; }

  bool null() override { return inside_ ? Unexpected() : true; }
  bool boolean(bool) override { return inside_ ? Unexpected() : true; }
  bool number_integer(number_integer_t v) override { return Label(v); }
  bool number_unsigned(number_unsigned_t v) override {
    return Label(
        static_cast<int64_t>(std::min<number_unsigned_t>(v, kMaxLabel + 1)));
  }
  bool number_float(number_float_t v, const string_t&) override {
    if (!inside_) return true;
    if (std::floor(v) != v || std::abs(v) > kMaxLabel) return Label(-1);
    return Label(static_cast<int64_t>(v));
  }
  bool string(string_t& v) override {
    if (!inside_) return true;
    if (level_ != 3 || position_++ != 0) return Unexpected();
    name_ = v;
    return true;
  }
  bool binary(binary_t&) override { return false; }
  bool start_object(size_t) override {
    if (inside_) return Unexpected();
    ++level_;
    labels_next_ = false;
    return true;
  }
  bool key(string_t& v) override {
    labels_next_ = level_ == 1 && v == "labels";
    return true;
  }
  bool end_object() override {
    --level_;
    return true;
  }
  bool start_array(size_t) override {
    ++level_;
    if (level_ == 1) return Fail("it is no object");
    if (level_ == 2 && labels_next_) {
      inside_ = found_ = true;
    } else if (inside_ && level_ == 3) {
      position_ = 0;
    } else if (inside_) {
      return Fail(absl::StrCat("the label of ", name_,
                               " is a list; images have one class each"));
    }
    return true;
  }
  bool end_array() override {
    if (inside_ && level_ == 3 && position_ != 2) return Unexpected();
    if (level_ == 2) inside_ = false;
    --level_;
    return true;
  }
  bool parse_error(size_t at, const std::string&,
                   const nlohmann::detail::exception&) override {
    return Fail(absl::StrCat("it is no JSON from byte ", at, " on"));
  }

 private:
  bool Fail(const std::string& what) {
    if (error_.empty()) error_ = what;
    return false;
  }
  bool Unexpected() {
    return Fail("\"labels\" is no list of [file name, class]");
  }
  bool Label(int64_t label) {
    if (!inside_) return true;
    if (level_ != 3 || position_++ != 1) return Unexpected();
    if (label < 0 || label > kMaxLabel) {
      return Fail(absl::StrCat("the label of ", name_,
                               " is no whole number from 0 to ", kMaxLabel));
    }
    const int64_t index = index_of_(name_);
    if (index >= 0) labels_[index] = label;
    return true;
  }

  const std::function<int64_t(const std::string&)>& index_of_;
  std::vector<int64_t> labels_;
  std::string error_;
  std::string name_;
  int64_t level_ = 0;
  int position_ = 0;          // within a pair
  bool labels_next_ = false;  // the last key of level 1 was "labels"
  bool inside_ = false;
  bool found_ = false;
};

}  // namespace

absl::StatusOr<std::vector<int64_t>> ParseLabels(
    absl::string_view text, const std::string& path, int64_t images,
    const std::function<int64_t(const std::string&)>& index_of) {
  LabelReader reader(images, index_of);
  if (!json::sax_parse(text.begin(), text.end(), &reader)) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": ", reader.error(),
                     "; write the labels as EDM's dataset_tool.py does"));
  }
  if (!reader.found()) return std::vector<int64_t>();
  return std::move(reader.labels());
}

}  // namespace retort::data
