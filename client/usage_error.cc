#include "client/usage_error.h"

#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "core/base/nearest_names.h"

namespace retort::client {
namespace {

absl::Status NoCommand(const std::string& word,
                       const std::vector<std::string>& known) {
  return absl::InvalidArgumentError(absl::StrCat(
      "no command '", word, "'",
      word == "token" ? "; tokens are made where the server is: retortd token "
                        "new --help"
                      : base::DidYouMean(word, known)));
}

// CLI11 lists them from the last to the first.
std::string Unexpected(const std::vector<std::string>& words) {
  return absl::StrCat(
      "not expected: ",
      absl::StrJoin(words, " ", [](std::string* out, const std::string& word) {
        absl::StrAppend(out, "'", word, "'");
      }));
}

// CLI11's own words, but for "Could not convert: --tail = many", which it says
// of numbers alone here.
std::string WhatIsWrong(const CLI::App& app, const CLI::App& command,
                        const CLI::ParseError& error) {
  absl::string_view what = error.what();
  if (!absl::ConsumePrefix(&what, "Could not convert: ")) {
    return std::string(what);
  }
  const std::pair<std::string, std::string> given =
      absl::StrSplit(what, absl::MaxSplits(" = ", 1));
  const CLI::Option* option = command.get_option_no_throw(given.first);
  if (option == nullptr) option = app.get_option_no_throw(given.first);
  const bool whole = option == nullptr || option->get_type_name() != "FLOAT";
  return absl::StrCat(given.first, ": '", given.second, "' is no ",
                      whole ? "whole number, or too large a one" : "number",
                      "; for example: ", given.first, whole ? " 3" : " 2.5");
}

}  // namespace

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
  // Of all levels: what a group does not know falls through to its parent.
  const std::vector<std::string> rest = app.remaining(/*recurse=*/true);
  if (!known.empty()) {
    for (const std::string& word : rest) {
      if (!absl::StartsWith(word, "-")) return NoCommand(word, known);
    }
  }
  const bool extras = dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr;
  return absl::InvalidArgumentError(absl::StrCat(
      extras ? Unexpected(rest) : WhatIsWrong(app, *deepest, error),
      "; see the same command with --help"));
}

}  // namespace retort::client
