#ifndef RETORT_SERVER_BASE_WORDS_H_
#define RETORT_SERVER_BASE_WORDS_H_

#include <cstdint>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

// What sentences for people are made of.
namespace retort::service {

// "1 node", "2 nodes".
inline std::string Count(int64_t count, absl::string_view what) {
  return absl::StrCat(count, " ", what, count == 1 ? "" : "s");
}

// " is ", " are ": after so many.
inline const char* Are(int64_t count) { return count == 1 ? " is " : " are "; }

}  // namespace retort::service

#endif  // RETORT_SERVER_BASE_WORDS_H_
