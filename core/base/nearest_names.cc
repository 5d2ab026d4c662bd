#include "core/base/nearest_names.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace retort::base {
namespace {

// Levenshtein's distance, letters compared without case.
size_t EditDistance(absl::string_view a, absl::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i);
    for (size_t j = 1; j <= b.size(); ++j) {
      const bool same =
          absl::ascii_tolower(a[i - 1]) == absl::ascii_tolower(b[j - 1]);
      const size_t replace = diagonal + (same ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, replace});
    }
  }
  return row[b.size()];
}

}  // namespace

std::vector<std::string> NearestNames(absl::string_view name,
                                      const std::vector<std::string>& known) {
  std::vector<std::pair<size_t, std::string>> ranked;
  for (const std::string& k : known) {
    const size_t distance = EditDistance(name, k);
    const bool part = name.size() >= 3 && absl::StrContains(k, name);
    if (part || distance <= std::max<size_t>(2, name.size() / 3)) {
      ranked.emplace_back(distance, k);
    }
  }
  std::stable_sort(ranked.begin(), ranked.end(),
                   [](auto& a, auto& b) { return a.first < b.first; });
  std::vector<std::string> nearest;
  for (size_t i = 0; i < ranked.size() && i < 3; ++i) {
    nearest.push_back(ranked[i].second);
  }
  return nearest;
}

std::string DidYouMean(absl::string_view name,
                       const std::vector<std::string>& known) {
  const std::vector<std::string> nearest = NearestNames(name, known);
  if (!nearest.empty()) {
    return absl::StrCat("; did you mean ", absl::StrJoin(nearest, " or "), "?");
  }
  return absl::StrCat("; known: ", absl::StrJoin(known, ", "));
}

}  // namespace retort::base
