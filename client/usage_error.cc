#include "client/usage_error.h"

#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/base/nearest_names.h"

namespace retort::client {

absl::Status UsageError(const CLI::App& app, const CLI::ParseError& error) {
  const CLI::App* deepest = &app;
  while (!deepest->get_subcommands().empty()) {
    deepest = deepest->get_subcommands()[0];
  }
  std::vector<std::string> known;
  for (const CLI::App* command :
       deepest->get_subcommands([](const CLI::App*) { return true; })) {
    known.push_back(command->get_name());
  }
  if (!known.empty()) {
    // Of all levels: what a group does not know falls through to its parent.
    for (const std::string& word : app.remaining(/*recurse=*/true)) {
      if (absl::StartsWith(word, "-")) continue;
      return absl::InvalidArgumentError(absl::StrCat(
          "no command '", word, "'", base::DidYouMean(word, known)));
    }
  }
  return absl::InvalidArgumentError(
      absl::StrCat(error.what(), "; see the same command with --help"));
}

}  // namespace retort::client
