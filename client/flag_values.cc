#include "client/flag_values.h"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "client/call_status.h"
#include "client/spec_file.h"
#include "core/base/nearest_names.h"
#include "retort/v1/job_service.pb.h"

namespace retort::client {
namespace {

// "--state: 'runing' is none of queued, running; did you mean --state running?"
absl::Status NoneOf(absl::string_view flag, const std::string& text,
                    const std::vector<std::string>& known) {
  const std::vector<std::string> near = base::NearestNames(text, known);
  return UsageError(absl::StrCat(
      flag, ": '", text, "' is none of ", absl::StrJoin(known, ", "),
      near.empty() ? "; for example: " : "; did you mean ", flag, " ",
      near.empty() ? known[0] : near[0], near.empty() ? "" : "?"));
}

using Limits = std::numeric_limits<int32_t>;

// "" if it is one.
std::string NotWhole(const std::string& text, int32_t least,
                     absl::string_view example) {
  int32_t value;
  if (absl::SimpleAtoi(text, &value) && value >= least) return "";
  return absl::StrCat("'", text, "' is no whole number from ", least, " to ",
                      Limits::max(), "; for example: ", example);
}

bool IsIdCharacter(char c) {
  return absl::ascii_islower(c) || absl::ascii_isdigit(c) || c == '-';
}

}  // namespace

absl::StatusOr<int> ParseEnumFlag(
    absl::string_view flag, const std::string& text,
    const google::protobuf::EnumDescriptor& type) {
  const auto* value = FindEnumValue(type, text);
  if (value != nullptr) return value->number();
  return NoneOf(flag, text, ShortNames(type));
}

absl::StatusOr<std::string> ParseTask(const std::string& text) {
  const std::string name =
      absl::StrReplaceAll(absl::AsciiStrToLower(text), {{"-", "_"}});
  const auto* tasks = v1::JobSpec::descriptor()->FindOneofByName("task");
  std::vector<std::string> known;
  for (int i = 0; i < tasks->field_count(); ++i) {
    known.push_back(tasks->field(i)->name());
    if (known.back() == name) return name;
  }
  return NoneOf("--task", text, known);
}

CLI::Validator ProjectId() {
  return CLI::Validator(
      [](const std::string& text) -> std::string {
        const bool good = !text.empty() && text.size() <= 63 &&
                          text.front() != '-' && text.back() != '-' &&
                          std::all_of(text.begin(), text.end(), IsIdCharacter);
        if (good) return "";
        return absl::StrCat(
            "'", text,
            "' cannot be a project: 1 to 63 of a-z, 0-9 and -, neither "
            "beginning nor ending with -; for example: --project vision, or "
            "RETORT_PROJECT=vision");
      },
      "");
}

CLI::Validator ZeroOrMore() {
  return CLI::Validator(
      [](const std::string& text) { return NotWhole(text, 0, "3"); }, "");
}

CLI::Validator Priority() {
  return CLI::Validator(
      [](const std::string& text) {
        const std::string wrong = NotWhole(text, Limits::min(), "--priority 5");
        return wrong.empty()
                   ? wrong
                   : absl::StrCat(wrong,
                                  " (higher goes first; low, normal and high "
                                  "are for --priority-class)");
      },
      "");
}

}  // namespace retort::client
