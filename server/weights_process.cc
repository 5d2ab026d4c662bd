#include "server/weights_process.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "server/base/error.h"
#include "server/executor/subprocess.h"

namespace retort {
namespace {

// A large model from a slow disk.
constexpr absl::Duration kTimeout = absl::Minutes(5);
// Of what a worker that failed has said.
constexpr size_t kMaxSaid = 500;

absl::Status BadWeights(absl::string_view what) {
  return service::Error(absl::StatusCode::kInvalidArgument,
                        v1::ERROR_REASON_FILE_INVALID, what);
}

}  // namespace

absl::StatusOr<nlohmann::json> WeightsProcess::Run(const Task& task) {
  std::vector<std::string> argv = {worker_binary_};
  argv.insert(argv.end(), task.arguments.begin(), task.arguments.end());
  executor::SubprocessOptions options;
  options.timeout = kTimeout;
  options.stop = task.stop;
  const auto run = executor::RunToEnd(argv, options);
  if (absl::IsCancelled(run.status())) return run.status();
  if (!run.ok()) {
    return absl::UnavailableError(absl::StrCat(
        "the weights could not be looked at: ", run.status().message()));
  }
  nlohmann::json answer = nlohmann::json::parse(run->stdout_text, nullptr,
                                                /*allow_exceptions=*/false);
  if (!answer.is_object() || !answer.contains("ok") ||
      !answer["ok"].is_boolean()) {
    const std::string died = absl::StrCat(
        "the worker that was to load the weights ended with ",
        run->exit.ToString(), "; the server may have run out of memory",
        task.callers_file ? ", or the file may be damaged" : "",
        ". It said: ", run->stderr_text.substr(0, kMaxSaid));
    return task.callers_file ? BadWeights(died) : absl::InternalError(died);
  }
  if (answer["ok"].get<bool>()) return answer;
  const nlohmann::json error = answer.value("error", nlohmann::json());
  const std::string said =
      error.is_string() ? error.get<std::string>() : "no reason was given";
  // What is not the fault of the file that was sent.
  const std::string code = answer.value("code", "");
  if (code == "RESOURCE_EXHAUSTED") return absl::ResourceExhaustedError(said);
  if (code == "DATA_LOSS") return absl::DataLossError(said);
  const std::string what = absl::StrCat(task.wrong, ": ", said);
  return task.callers_file ? BadWeights(what)
                           : absl::InvalidArgumentError(what);
}

absl::StatusOr<int64_t> WeightsProcess::Check(const std::string& dir) {
  RETORT_ASSIGN_OR_RETURN(
      const nlohmann::json answer,
      Run({{"--check-model", dir}, "the weights do not fit"}));
  return answer.value("parameters", int64_t{0});
}

absl::StatusOr<nlohmann::json> WeightsProcess::Convert(
    const std::string& file, const std::string& weights) {
  RETORT_ASSIGN_OR_RETURN(const nlohmann::json answer,
                          Run({{"--import-weights", file, "--out", weights},
                               "the file cannot be imported"}));
  return answer.value("network", nlohmann::json());
}

absl::Status WeightsProcess::Export(const std::string& dir,
                                    const std::string& file,
                                    std::function<bool()> stop) {
  return Run({{"--export-weights", dir, "--out", file},
              "the model cannot be converted",
              /*callers_file=*/false,
              std::move(stop)})
      .status();
}

}  // namespace retort
