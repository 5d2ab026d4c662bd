#ifndef RETORT_CORE_BASE_NEAREST_NAMES_H_
#define RETORT_CORE_BASE_NEAREST_NAMES_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

// What somebody may have meant who wrote a name that is not known.
namespace retort::base {

// Returns up to three of `known` that look like `name`, best first.
std::vector<std::string> NearestNames(absl::string_view name,
                                      const std::vector<std::string>& known);

// Returns "; did you mean a or b?" for the nearest names, else the whole list:
// "; known: a, b, c".
std::string DidYouMean(absl::string_view name,
                       const std::vector<std::string>& known);

}  // namespace retort::base

#endif  // RETORT_CORE_BASE_NEAREST_NAMES_H_
