#ifndef RETORT_SERVER_BASE_PAGINATION_H_
#define RETORT_SERVER_BASE_PAGINATION_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

// Pages of List methods (AIP-158). Lists go from the newest row to the oldest;
// rows are numbered by an increasing `seq`, and a page token says below which
// seq to go on. A token is bound to the request it came from.
namespace retort::service {

inline constexpr int kDefaultPageSize = 50;
inline constexpr int kMaxPageSize = 1000;

struct Page {
  int size = kDefaultPageSize;
  // Rows with seq < before. Max of int64 on the first page.
  int64_t before = 0;
};

// Reads page_size (0: default; more than 1000: 1000; negative: error) and
// page_token. `filter` is the rest of the request in any form that two pages
// of one listing share; InvalidArgument if the token is of another listing.
absl::StatusOr<Page> ParsePage(int page_size, absl::string_view page_token,
                               absl::string_view filter);

// Returns the token of the page that follows the row `last_seq`.
std::string NextPageToken(int64_t last_seq, absl::string_view filter);

}  // namespace retort::service

#endif  // RETORT_SERVER_BASE_PAGINATION_H_
