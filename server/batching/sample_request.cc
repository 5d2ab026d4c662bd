#include "server/batching/sample_request.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/base/error.h"

namespace retort::batching {
namespace {

using Violations = std::vector<service::FieldViolation>;

// Room for a PNG's frame beside its pixels, which may not compress at all.
constexpr int64_t kPngOverhead = 1024;

void CheckSamples(const v1::SampleRequest& request, const SampleLimits& limits,
                  Violations* bad) {
  if (request.samples() < 1 || request.samples() > limits.max_samples) {
    bad->push_back({"samples", absl::StrCat("is ", request.samples(),
                                            " but must lie between 1 and ",
                                            limits.max_samples,
                                            "; send several requests with "
                                            "first_index for more")});
  }
  if (request.first_index() < 0 ||
      request.first_index() >
          std::numeric_limits<int64_t>::max() - limits.max_samples) {
    bad->push_back({"first_index", "must not be negative or near 2^63"});
  }
  if (!v1::ImageFormat_IsValid(request.format())) {
    bad->push_back(
        {"format",
         absl::StrCat("has no value ", static_cast<int>(request.format()))});
  }
}

void CheckSteps(const v1::SampleRequest& request, const SampleLimits& limits,
                Violations* bad) {
  if (request.times().empty()) {
    if (request.steps() < 1 || request.steps() > limits.max_steps) {
      bad->push_back({"steps", absl::StrCat("is ", request.steps(),
                                            " but must lie between 1 and ",
                                            limits.max_steps)});
    }
    return;
  }
  if (request.steps() != 0 && request.steps() != request.times_size()) {
    bad->push_back({"steps", "must be left out where times are given"});
  }
  if (request.times_size() > limits.max_steps) {
    bad->push_back(
        {"times", absl::StrCat("are ", request.times_size(), "; at most ",
                               limits.max_steps, " are allowed")});
  }
  for (int i = 0; i < request.times_size(); ++i) {
    const double t = request.times(i);
    const bool falls = i == 0 || t < request.times(i - 1);
    if (!std::isfinite(t) || t <= 0 || !falls) {
      bad->push_back({absl::StrCat("times[", i, "]"),
                      absl::StrCat("is ", t,
                                   "; times must be above 0 and each below "
                                   "the one before it")});
      return;
    }
  }
}

void CheckGamma(const v1::SampleRequest& request, const ServedModel& model,
                Violations* bad) {
  const double gamma = request.gamma();
  if (!(gamma >= 0 && gamma <= 1)) {
    bad->push_back(
        {"gamma", absl::StrCat("is ", gamma, " but must lie between 0 and 1")});
  } else if (gamma != 0 && model.kind != v1::Model::KIND_CTM) {
    bad->push_back({"gamma",
                    "is for consistency trajectory models only; leave it out "
                    "for this model"});
  }
}

void CheckSolver(const v1::SampleRequest& request, const ServedModel& model,
                 Violations* bad) {
  if (!v1::Solver_IsValid(request.solver())) {
    bad->push_back(
        {"solver",
         absl::StrCat("has no value ", static_cast<int>(request.solver()))});
  } else if (request.solver() != v1::SOLVER_UNSPECIFIED &&
             model.kind != v1::Model::KIND_TEACHER) {
    bad->push_back({"solver",
                    "is for teachers only: this model jumps, without a "
                    "solver; leave it out"});
  }
}

void CheckClasses(const v1::SampleRequest& request, const ServedModel& model,
                  Violations* bad) {
  if (request.classes().empty()) return;
  if (model.classes == 0) {
    bad->push_back(
        {"classes",
         "must be left out: this model was trained without classes"});
    return;
  }
  if (request.classes_size() != 1 &&
      request.classes_size() != request.samples()) {
    bad->push_back(
        {"classes", absl::StrCat("are ", request.classes_size(), " for ",
                                 request.samples(),
                                 " samples; send one, or one per sample")});
    return;
  }
  for (const int32_t c : request.classes()) {
    if (c < 0 || c >= model.classes) {
      bad->push_back(
          {"classes", absl::StrCat("hold ", c, "; this model has classes 0 to ",
                                   model.classes - 1)});
      return;
    }
  }
}

void FillClasses(const ServedModel& model, v1::SampleRequest* request) {
  if (model.classes == 0) return;
  std::vector<int32_t> classes(static_cast<size_t>(request->samples()));
  for (size_t i = 0; i < classes.size(); ++i) {
    classes[i] = request->classes().empty()
                     ? static_cast<int32_t>(
                           (request->first_index() + static_cast<int64_t>(i)) %
                           model.classes)
                     : request->classes(request->classes_size() == 1
                                            ? 0
                                            : static_cast<int>(i));
  }
  request->mutable_classes()->Assign(classes.begin(), classes.end());
}

}  // namespace

absl::StatusOr<v1::SampleRequest> ResolveSampleRequest(
    const v1::SampleRequest& request, const ServedModel& model,
    const SampleLimits& limits) {
  v1::SampleRequest resolved = request;
  if (resolved.samples() == 0) resolved.set_samples(1);
  if (resolved.times().empty() && resolved.steps() == 0) resolved.set_steps(1);
  if (resolved.format() == v1::IMAGE_FORMAT_UNSPECIFIED) {
    resolved.set_format(v1::IMAGE_FORMAT_RAW_UINT8);
  }
  if (resolved.solver() == v1::SOLVER_UNSPECIFIED &&
      model.kind == v1::Model::KIND_TEACHER) {
    resolved.set_solver(v1::SOLVER_HEUN);
  }
  Violations bad;
  CheckSamples(resolved, limits, &bad);
  CheckSteps(resolved, limits, &bad);
  CheckGamma(resolved, model, &bad);
  CheckSolver(resolved, model, &bad);
  CheckClasses(resolved, model, &bad);
  if (bad.empty() && AnswerBytes(resolved, model) > limits.max_bytes) {
    bad.push_back(
        {"samples",
         absl::StrCat("make an answer of up to ", AnswerBytes(resolved, model),
                      " bytes; this server allows ", limits.max_bytes,
                      ": ask for fewer at a time, with first_index")});
  }
  if (!bad.empty()) {
    return service::BadFields(v1::ERROR_REASON_INVALID_ARGUMENT, bad);
  }
  if (resolved.solver() == v1::SOLVER_EULER) {
    return service::NotImplemented("SOLVER_EULER",
                                   "use SOLVER_HEUN, or leave the solver out");
  }
  // The number of times says it all.
  if (!resolved.times().empty()) resolved.set_steps(0);
  FillClasses(model, &resolved);
  return resolved;
}

int64_t AnswerBytes(const v1::SampleRequest& request,
                    const ServedModel& model) {
  const int64_t pixels = model.resolution * model.resolution * model.channels;
  switch (request.format()) {
    case v1::IMAGE_FORMAT_FLOAT32:
      return request.samples() * pixels * 4;
    case v1::IMAGE_FORMAT_PNG:
      return request.samples() * (pixels + pixels / 100 + kPngOverhead);
    default:
      return request.samples() * pixels;
  }
}

}  // namespace retort::batching
