#ifndef RETORT_CLIENT_USAGE_ERROR_H_
#define RETORT_CLIENT_USAGE_ERROR_H_

#include <CLI/CLI.hpp>
#include <string>

#include "absl/status/status.h"

namespace retort::client {

// Says what was wrong with a command line that `app` could not parse. For what
// CLI11 calls a missing subcommand: which word is no command, and which one may
// have been meant.
absl::Status UsageError(const CLI::App& app, const CLI::ParseError& error);

}  // namespace retort::client

#endif  // RETORT_CLIENT_USAGE_ERROR_H_
