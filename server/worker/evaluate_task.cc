#include "server/worker/evaluate_task.h"

#include <algorithm>
#include <memory>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/file.h"
#include "core/base/log.h"
#include "core/base/run_dir.h"
#include "core/base/status_macros.h"
#include "core/eval/feature_extractor.h"
#include "core/eval/frechet.h"
#include "core/eval/reference_statistics.h"
#include "core/io/png.h"
#include "server/worker/loaded_model.h"
#include "server/worker/progress_report.h"
#include "server/worker/spec_to_options.h"

namespace retort::worker {
namespace {

using internal::v1::TaskEnded;

// What one evaluation works with.
struct Evaluation {
  const TaskContext& context;
  const v1::EvaluateSpec& spec;
  LoadedModel model;
  std::unique_ptr<eval::FeatureExtractor> extractor;
  int64_t samples = 0;
  int64_t batch = 0;
  StepReport report;
};

absl::StatusOr<eval::FeatureStatistics> Reference(Evaluation& e) {
  RETORT_ASSIGN_OR_RETURN(const auto dataset, LoadDataset(e.spec.data()));
  eval::ReferenceOptions options;
  // <root>/jobs/<id> is the job's folder.
  const std::string root =
      base::ParentDir(base::ParentDir(e.context.assignment.job_dir()));
  options.cache_dir = base::DataDir(root).cache_dir();
  options.progress = [&](int64_t done, int64_t total) {
    e.report.Report("features of real images", done, total, done);
    return !e.context.control->stopping();
  };
  return eval::ComputeReferenceStatistics(*e.extractor, *dataset, options);
}

// Generates images with `steps` steps and measures them.
absl::StatusOr<v1::EvaluationResult> Measure(
    Evaluation& e, const eval::FeatureStatistics& reference, int64_t steps) {
  sample::SampleOptions options;
  options.plan.solver = e.model.solver;
  options.plan.schedule = e.model.schedule;
  options.plan.steps = steps;
  options.plan.gamma = e.spec.gamma();
  options.seed = e.spec.seed();
  options.batch_size = e.batch;
  options.stop = [&] { return e.context.control->stopping(); };
  eval::FeatureStatistics generated(e.extractor->dim());
  absl::Duration sampling;
  int64_t calls = 0;
  const std::string phase = absl::StrCat("images in ", steps, " steps");
  for (int64_t first = 0; first < e.samples; first += e.batch) {
    e.report.Report(phase, first, e.samples, first);
    options.first_index = first;
    options.count = std::min(e.batch, e.samples - first);
    const absl::Time start = absl::Now();
    RETORT_ASSIGN_OR_RETURN(const sample::SampleResult result,
                            e.model.sampler->Sample(options));
    sampling += absl::Now() - start;
    calls = result.network_calls;
    RETORT_RETURN_IF_ERROR(
        eval::AddImages(*e.extractor, io::ToUint8(result.images), &generated));
  }
  e.report.Report(phase, e.samples, e.samples, e.samples);
  RETORT_ASSIGN_OR_RETURN(const double distance,
                          eval::FrechetDistance(generated, reference));
  v1::EvaluationResult result;
  result.set_metric("FD-FMNIST");
  result.set_steps(steps);
  result.set_network_calls(calls);
  result.set_value(distance);
  result.set_samples(e.samples);
  result.set_seconds_per_image(absl::ToDoubleSeconds(sampling) / e.samples);
  RETORT_LOG(info, "FD-FMNIST {:.4f} at {} steps ({} network calls)", distance,
             steps, calls);
  return result;
}

}  // namespace

absl::StatusOr<TaskEnded> Evaluate(const TaskContext& context,
                                   const v1::EvaluateSpec& spec) {
  ReportPhase(context.outbox, "loading model");
  RETORT_ASSIGN_OR_RETURN(const std::string model_dir,
                          context.ModelDir(spec.model()));
  RETORT_ASSIGN_OR_RETURN(const std::string extractor_dir,
                          context.ModelDir(spec.feature_extractor()));
  RETORT_ASSIGN_OR_RETURN(LoadedModel model, LoadModel(model_dir));
  RETORT_ASSIGN_OR_RETURN(auto extractor,
                          eval::FeatureExtractor::Load(extractor_dir));
  Evaluation e{context,
               spec,
               std::move(model),
               std::move(extractor),
               spec.samples() > 0 ? spec.samples() : 5000,
               spec.batch_size() > 0 ? spec.batch_size() : 256,
               StepReport(context.outbox)};
  RETORT_ASSIGN_OR_RETURN(const eval::FeatureStatistics reference,
                          Reference(e));
  std::vector<int64_t> steps(spec.steps().begin(), spec.steps().end());
  if (steps.empty()) steps = {1, 2};
  TaskEnded ended = SucceededEnd();
  for (const int64_t n : steps) {
    RETORT_ASSIGN_OR_RETURN(*ended.add_results(), Measure(e, reference, n));
  }
  return ended;
}

}  // namespace retort::worker
