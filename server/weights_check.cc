#include "server/weights_check.h"

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "server/base/error.h"
#include "server/executor/subprocess.h"

namespace retort {
namespace {

// A large model from a slow disk.
constexpr absl::Duration kCheckTimeout = absl::Minutes(5);
// Of what a worker that failed has said.
constexpr size_t kMaxSaid = 500;

absl::Status BadWeights(absl::string_view what) {
  return service::Error(absl::StatusCode::kInvalidArgument,
                        v1::ERROR_REASON_FILE_INVALID, what);
}

}  // namespace

absl::Status CheckWeights(const std::string& worker_binary,
                          const std::string& dir) {
  executor::SubprocessOptions options;
  options.timeout = kCheckTimeout;
  const auto run =
      executor::RunToEnd({worker_binary, "--check-model", dir}, options);
  if (!run.ok()) {
    return absl::UnavailableError(absl::StrCat(
        "the weights could not be checked: ", run.status().message()));
  }
  const nlohmann::json answer = nlohmann::json::parse(
      run->stdout_text, nullptr, /*allow_exceptions=*/false);
  if (!answer.is_object() || !answer.contains("ok") ||
      !answer["ok"].is_boolean()) {
    return BadWeights(absl::StrCat(
        "the worker that was to load the weights ended with ",
        run->exit.ToString(), "; check that the file is whole. It said: ",
        run->stderr_text.substr(0, kMaxSaid)));
  }
  if (answer["ok"].get<bool>()) return absl::OkStatus();
  const nlohmann::json error = answer.value("error", nlohmann::json());
  return BadWeights(absl::StrCat(
      "the weights do not fit: ",
      error.is_string() ? error.get<std::string>() : "no reason was given"));
}

}  // namespace retort
