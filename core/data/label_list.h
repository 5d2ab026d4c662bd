#ifndef RETORT_CORE_DATA_LABEL_LIST_H_
#define RETORT_CORE_DATA_LABEL_LIST_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace retort::data {

// Reads the labels of EDM's dataset.json,
//
//   {"labels": [["00000/img00000000.png", 6], ...]}   or   {"labels": null},
//
// for `images` files. `index_of` says which image has a name, -1 for none (a
// label of something else, which is ignored). A name given twice has its last
// label. Returns a class for each image; an empty list if labels are null or
// there is no "labels". Memory does not grow with what the text holds otherwise
// or how deep it nests. InvalidArgument, beginning with `path`, for text that
// is not of this form, labels that are not whole numbers from 0 to 999999, and
// images without a label.
absl::StatusOr<std::vector<int64_t>> ParseLabels(
    absl::string_view text, const std::string& path, int64_t images,
    const std::function<int64_t(const std::string&)>& index_of);

}  // namespace retort::data

#endif  // RETORT_CORE_DATA_LABEL_LIST_H_
