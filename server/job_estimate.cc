#include "server/job_estimate.h"

#include <google/protobuf/util/json_util.h>

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "server/base/error.h"
#include "server/executor/subprocess.h"
#include "server/jobs/spec_models.h"

namespace retort {
namespace {

using nlohmann::json;

constexpr absl::Duration kSizesTimeout = absl::Minutes(1);
// The largest networks on the smallest machines.
constexpr absl::Duration kMeasureTimeout = absl::Minutes(30);
// Of what a worker that failed has said.
constexpr size_t kMaxEstimateSaid = 500;

absl::StatusOr<std::string> EstimateRequest(jobs::ModelLookup* models,
                                            const v1::JobSpec& spec,
                                            bool measure) {
  std::string text;
  if (!google::protobuf::util::MessageToJsonString(spec, &text).ok()) {
    return absl::InternalError("a spec is no JSON");
  }
  json request = {{"spec", json::parse(text)}, {"measure", measure}};
  request["models"] = json::object();
  for (const std::string& name : jobs::ModelsOf(spec)) {
    RETORT_ASSIGN_OR_RETURN(request["models"][name], models->ModelPath(name));
  }
  return request.dump();
}

absl::Status EstimateFailure(const json& answer) {
  const std::string error = answer.value("error", "no reason was given");
  const auto code =
      static_cast<absl::StatusCode>(answer.value("code", int{13}));
  const std::string message =
      absl::StrCat("the job cannot be estimated: ", error);
  if (code == absl::StatusCode::kInvalidArgument ||
      code == absl::StatusCode::kDataLoss ||
      code == absl::StatusCode::kNotFound) {
    return service::Error(absl::StatusCode::kInvalidArgument,
                          v1::ERROR_REASON_SPEC_INVALID, message);
  }
  return absl::Status(code, message);
}

absl::StatusOr<v1::JobEstimate> ParseEstimate(
    const executor::SubprocessResult& run) {
  const json answer = json::parse(run.stdout_text, nullptr,
                                  /*allow_exceptions=*/false);
  if (!answer.is_object() || !answer.contains("ok")) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "the worker that was to estimate the job ended with ",
        run.exit.ToString(), "; is there memory enough for one step? It said: ",
        run.stderr_text.substr(0, kMaxEstimateSaid)));
  }
  if (!answer.value("ok", false)) return EstimateFailure(answer);
  v1::JobEstimate estimate;
  if (!google::protobuf::util::JsonStringToMessage(
           answer.value("estimate", json::object()).dump(), &estimate)
           .ok()) {
    return absl::InternalError(
        "the worker's estimate is none that this server knows; use retortd "
        "and retort-worker of the same version");
  }
  return estimate;
}

}  // namespace

absl::StatusOr<v1::JobEstimate> EstimateJob(const std::string& worker_binary,
                                            jobs::ModelLookup* models,
                                            const v1::JobSpec& spec,
                                            bool measure,
                                            const std::function<bool()>& stop) {
  RETORT_ASSIGN_OR_RETURN(const std::string request,
                          EstimateRequest(models, spec, measure));
  executor::SubprocessOptions options;
  options.timeout = measure ? kMeasureTimeout : kSizesTimeout;
  options.stop = stop;
  const auto run = executor::RunToEnd(
      {worker_binary, "--log_level", "error", "--estimate", request}, options);
  if (absl::IsCancelled(run.status())) return run.status();
  if (!run.ok()) {
    return absl::UnavailableError(absl::StrCat(
        "the job could not be estimated: ", run.status().message()));
  }
  try {
    return ParseEstimate(*run);
  } catch (const json::exception& error) {
    return absl::InternalError(
        absl::StrCat("the worker's estimate is malformed: ", error.what()));
  }
}

}  // namespace retort
