#include "server/base/pagination.h"

#include <algorithm>
#include <limits>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "core/base/sha256.h"
#include "server/base/error.h"

namespace retort::service {
namespace {

std::string FilterTag(absl::string_view filter) {
  return base::Sha256Hex(filter).substr(0, 12);
}

}  // namespace

absl::StatusOr<Page> ParsePage(int page_size, absl::string_view page_token,
                               absl::string_view filter) {
  if (page_size < 0) {
    return BadField("page_size", "must not be negative; 0 means the default");
  }
  Page page;
  if (page_size > 0) page.size = std::min(page_size, kMaxPageSize);
  page.before = std::numeric_limits<int64_t>::max();
  if (page_token.empty()) return page;
  std::string text;
  if (!absl::WebSafeBase64Unescape(page_token, &text)) text.clear();
  const std::pair<absl::string_view, absl::string_view> parts =
      absl::StrSplit(text, absl::MaxSplits('.', 1));
  if (parts.second != FilterTag(filter) ||
      !absl::SimpleAtoi(parts.first, &page.before)) {
    return BadField("page_token",
                    "is not a next_page_token of this listing; pages must be "
                    "asked for with the parent and filter of the first one");
  }
  return page;
}

std::string NextPageToken(int64_t last_seq, absl::string_view filter) {
  return absl::WebSafeBase64Escape(
      absl::StrCat(last_seq, ".", FilterTag(filter)));
}

}  // namespace retort::service
