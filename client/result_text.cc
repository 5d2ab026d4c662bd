#include "client/result_text.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

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

}  // namespace retort::client
