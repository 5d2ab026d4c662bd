// retort-parity: recomputes golden cases and says how far off they are.

#include <ATen/Parallel.h>

#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_format.h"
#include "core/parity/parity.h"

namespace {

using retort::parity::CaseContext;
using retort::parity::TensorResult;

constexpr char kHelp[] =
    R"(Usage: retort-parity CASE_DIR...
       retort-parity --list

Recomputes golden cases (folders with a case.json and recorded tensors) and
compares. Prints for each tensor: case, tensor, largest absolute error, largest
error relative to the largest value ("L2": relative error of the whole tensor),
what is allowed, and ok or FAIL. A kind of case it does not know is a failure.

  --list     print the kinds of cases (prefixes of their names) and leave
  --quiet    print failures and the last line only
  --markdown print one row of a table for each case
  --help     print this text

Exit status: 0 if all cases pass, 1 if one fails, 2 for a wrong command line.

Example:
  retort-parity /path/to/parity/edm_net_* /path/to/parity/edm_schedule
)";

void Print(const CaseContext& c, bool quiet) {
  for (const TensorResult& r : c.results()) {
    if (quiet && r.ok) continue;
    absl::PrintF("%-32s %-44s abs %.2e  rel %.2e  allowed %-24s %s\n", c.name(),
                 r.tensor, r.max_abs_error, r.max_rel_error, r.allowed,
                 r.ok ? "ok" : "FAIL");
  }
  for (const std::string& note : c.notes()) {
    if (!quiet) absl::PrintF("%-32s %s\n", c.name(), note);
  }
  for (const std::string& failure : c.failures()) {
    absl::PrintF("%-32s FAIL: %s\n", c.name(), failure);
  }
  std::fflush(stdout);
}

// Largest errors of a case: elementwise, and of whole tensors in the L2 sense.
void PrintRow(const CaseContext& c) {
  double abs_error = 0, l2_error = 0;
  int elementwise = 0, whole = 0, held = 0;
  for (const TensorResult& r : c.results()) {
    switch (r.rule) {
      case TensorResult::Rule::kWholeL2:
        l2_error = std::max(l2_error, r.max_rel_error);
        ++whole;
        break;
      case TensorResult::Rule::kFact:
        ++held;
        break;
      case TensorResult::Rule::kElementwise:
        abs_error = std::max(abs_error, r.max_abs_error);
        ++elementwise;
        break;
    }
  }
  absl::PrintF("| `%s` | %d | %s | %d | %s | %d | %d | %s |\n", c.name(),
               elementwise,
               elementwise ? absl::StrFormat("%.1e", abs_error) : "", whole,
               whole ? absl::StrFormat("%.1e", l2_error) : "", held,
               c.notes().size(), c.passed() ? "pass" : "FAIL");
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  // As the numbers were made; the networks are too small for more.
  at::set_num_threads(1);
  std::vector<std::string> dirs;
  bool quiet = false;
  bool markdown = false;
  for (int i = 1; i < argc; ++i) {
    const std::string arg = argv[i];
    if (arg == "--help" || arg == "-h") {
      std::fputs(kHelp, stdout);
      return 0;
    }
    if (arg == "--list") {
      for (const std::string& p : retort::parity::RegisteredPrefixes()) {
        std::puts(p.c_str());
      }
      return 0;
    }
    if (arg == "--quiet") {
      quiet = true;
    } else if (arg == "--markdown") {
      markdown = true;
    } else if (absl::StartsWith(arg, "-")) {
      absl::FPrintF(stderr, "unknown option %s; see retort-parity --help\n",
                    arg);
      return 2;
    } else {
      dirs.push_back(arg);
    }
  }
  if (dirs.empty()) {
    std::fputs("no case given; see retort-parity --help\n", stderr);
    return 2;
  }
  if (markdown) {
    std::puts(
        "| case | tensors, elementwise | largest error | tensors, whole | "
        "largest L2 error, relative | facts | left out | |\n"
        "|---|---|---|---|---|---|---|---|");
  }
  int passed = 0;
  for (const std::string& dir : dirs) {
    const CaseContext result = retort::parity::RunCase(dir);
    if (markdown) {
      PrintRow(result);
    } else {
      Print(result, quiet);
    }
    passed += result.passed() ? 1 : 0;
  }
  const int failed = static_cast<int>(dirs.size()) - passed;
  absl::PrintF("%d cases passed, %d failed\n", passed, failed);
  return failed == 0 ? 0 : 1;
}
