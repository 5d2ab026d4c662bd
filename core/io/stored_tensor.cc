#include "core/io/stored_tensor.h"

#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace retort::io {
namespace {

constexpr size_t kMaxTensorRank = 32;

absl::Status BadView(const StoredTensor& tensor, absl::string_view what) {
  const auto numbers = [](const std::vector<int64_t>& values) {
    return absl::StrCat(
        "[",
        absl::StrJoin(values.begin(),
                      values.begin() + std::min<size_t>(values.size(), 8), ","),
        values.size() > 8 ? ",...]" : "]");
  };
  return absl::InvalidArgumentError(absl::StrCat(
      "a tensor of shape ", numbers(tensor.sizes), ", strides ",
      numbers(tensor.strides), " and offset ", tensor.offset, " ", what));
}

}  // namespace

int64_t ElementBytes(StoredDtype dtype) {
  switch (dtype) {
    case StoredDtype::kFloat64:
    case StoredDtype::kInt64:
      return 8;
    case StoredDtype::kFloat32:
    case StoredDtype::kInt32:
      return 4;
    case StoredDtype::kFloat16:
    case StoredDtype::kBFloat16:
    case StoredDtype::kInt16:
      return 2;
    case StoredDtype::kInt8:
    case StoredDtype::kUint8:
    case StoredDtype::kBool:
      return 1;
  }
  return 1;
}

int64_t StoredTensor::Elements() const {
  int64_t elements = 1;
  for (const int64_t size : sizes) elements *= size;
  return elements;
}

absl::Status CheckView(const StoredTensor& tensor) {
  if (tensor.sizes.size() != tensor.strides.size() ||
      tensor.sizes.size() > kMaxTensorRank) {
    return BadView(tensor, "has no stride for each of its dimensions");
  }
  if (tensor.offset < 0) return BadView(tensor, "starts before its storage");
  const int64_t available =
      static_cast<int64_t>(tensor.storage.size()) / ElementBytes(tensor.dtype);
  // The sizes are multiplied without the zeros, which hide no overflow.
  int64_t elements = 1, last = tensor.offset;
  bool empty = false;
  for (size_t i = 0; i < tensor.sizes.size(); ++i) {
    const int64_t size = tensor.sizes[i], stride = tensor.strides[i];
    if (size < 0 || stride < 0) return BadView(tensor, "is negative");
    if (size == 0) {
      empty = true;
      continue;
    }
    int64_t step;
    if (__builtin_mul_overflow(elements, size, &elements) ||
        __builtin_mul_overflow(size - 1, stride, &step) ||
        __builtin_add_overflow(last, step, &last)) {
      return BadView(tensor, "is beyond 64-bit sizes");
    }
  }
  if (empty) {
    if (tensor.offset <= available) return absl::OkStatus();
    return BadView(tensor, "starts behind its storage");
  }
  if (last >= available || elements > available) {
    return BadView(tensor, absl::StrCat("does not lie in its storage of ",
                                        available, " elements"));
  }
  return absl::OkStatus();
}

void CopyElements(const StoredTensor& tensor, char* to) {
  const int64_t bytes = ElementBytes(tensor.dtype);
  const int64_t count = tensor.Elements();
  if (count == 0) return;
  const char* from = tensor.storage.data() + tensor.offset * bytes;
  // The innermost dimensions that lie as they are to be copied go in one run.
  int64_t run = 1;
  size_t outer = tensor.sizes.size();
  while (outer > 0 &&
         (tensor.strides[outer - 1] == run || tensor.sizes[outer - 1] == 1)) {
    run *= tensor.sizes[--outer];
  }
  std::vector<int64_t> index(outer, 0);
  for (int64_t done = 0; done < count; done += run) {
    int64_t at = 0;
    for (size_t i = 0; i < outer; ++i) at += index[i] * tensor.strides[i];
    std::memcpy(to + done * bytes, from + at * bytes, run * bytes);
    for (size_t i = outer; i-- > 0 && ++index[i] == tensor.sizes[i];) {
      index[i] = 0;
    }
  }
}

}  // namespace retort::io
