#include "client/result_text.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/output.h"
#include "client/spec_file.h"

namespace retort::client {

std::string ValueText(const v1::EvaluationResult& result) {
  std::string text = absl::StrFormat("%.5g", result.value());
  if (result.seeds() > 1) {
    absl::StrAppendFormat(&text, " [%.5g, %.5g]", result.low(), result.high());
  }
  return text;
}

std::string ResultText(const v1::EvaluationResult& result) {
  return absl::StrFormat(
      "%s %s at %s (%s%s)", result.metric(), ValueText(result),
      Counted(result.steps(), "step"),
      Counted(result.network_calls(), "network call"),
      result.seeds() > 1 ? absl::StrCat(", ", result.seeds(), " seeds") : "");
}

std::string ClassText(v1::Job::PriorityClass value) {
  if (value == v1::Job::PRIORITY_CLASS_UNSPECIFIED) {
    value = v1::Job::PRIORITY_CLASS_NORMAL;
  }
  const auto* known =
      v1::Job::PriorityClass_descriptor()->FindValueByNumber(value);
  return known == nullptr ? "" : ShortEnumName(*known);
}

}  // namespace retort::client
