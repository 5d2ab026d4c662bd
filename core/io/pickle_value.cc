#include "core/io/pickle_value.h"

namespace retort::io {

const PickleValue* PickleValue::Find(absl::string_view key) const {
  if (kind != PickleKind::kDict) return nullptr;
  for (size_t i = items.size(); i >= 2; i -= 2) {
    if (items[i - 2]->IsText(key)) return items[i - 1];
  }
  return nullptr;
}

PickleValue* PickleHeap::New(PickleKind kind) {
  if (static_cast<int64_t>(values_.size()) >= kMaxValues) return nullptr;
  values_.emplace_back();
  values_.back().kind = kind;
  if (kind == PickleKind::kPersistent) persistent_.push_back(&values_.back());
  return &values_.back();
}

bool PickleHeap::Charge(size_t items) {
  if (items > items_left_) return false;
  items_left_ -= items;
  return true;
}

bool PickleHeap::Own(std::string text, absl::string_view* owned) {
  const int64_t bytes = static_cast<int64_t>(text.size());
  if (bytes > owned_bytes_left_) return false;
  owned_bytes_left_ -= bytes;
  texts_.push_back(std::move(text));
  *owned = texts_.back();
  return true;
}

}  // namespace retort::io
