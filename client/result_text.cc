#include "client/result_text.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
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
      "%s %s at %d steps (%d network calls%s)", result.metric(),
      ValueText(result), result.steps(), result.network_calls(),
      result.seeds() > 1 ? absl::StrCat(", ", result.seeds(), " seeds") : "");
}

std::string ClassText(const v1::Job& job) {
  const auto* value = v1::Job::PriorityClass_descriptor()->FindValueByNumber(
      job.priority_class());
  if (value == nullptr ||
      job.priority_class() == v1::Job::PRIORITY_CLASS_UNSPECIFIED ||
      job.priority_class() == v1::Job::PRIORITY_CLASS_NORMAL) {
    return "";
  }
  return ShortEnumName(*value);
}

}  // namespace retort::client
