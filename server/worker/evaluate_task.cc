#include "server/worker/evaluate_task.h"

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/log.h"
#include "core/base/status_macros.h"
#include "core/eval/feature_extractor.h"
#include "core/eval/interval.h"
#include "core/eval/metric_set.h"
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
  std::unique_ptr<data::Dataset> dataset;
  eval::MetricOptions metrics;
  StepReport report;

  int64_t batch() const {
    return spec.batch_size() > 0 ? spec.batch_size() : 256;
  }
  int64_t seeds() const { return std::max(spec.seeds(), 1); }
};

// What one set of images gave.
struct Measured {
  std::vector<eval::MetricValue> values;
  absl::Duration sampling;
  int64_t network_calls = 0;  // for each image
};

eval::Metric ToMetric(int metric) {
  switch (metric) {
    case v1::EvaluateSpec::METRIC_KID:
      return eval::Metric::kKernel;
    case v1::EvaluateSpec::METRIC_INCEPTION_SCORE:
      return eval::Metric::kInceptionScore;
    case v1::EvaluateSpec::METRIC_PRECISION_RECALL:
      return eval::Metric::kPrecisionRecall;
    default:
      return eval::Metric::kFrechet;
  }
}

eval::MetricOptions ToMetricOptions(const v1::EvaluateSpec& spec) {
  eval::MetricOptions options;
  if (spec.metrics_size() > 0) options.metrics.clear();
  for (const int metric : spec.metrics()) {
    options.metrics.push_back(ToMetric(metric));
  }
  if (spec.samples() > 0) options.samples = spec.samples();
  if (spec.kept_features() > 0) options.kept_features = spec.kept_features();
  if (spec.neighbours() > 0) options.neighbours = spec.neighbours();
  return options;
}

// "FMNIST", or the id of another extractor.
std::string SuffixOf(const Evaluation& e) {
  if (e.extractor->is_built_in()) return "FMNIST";
  const std::string& name = e.spec.feature_extractor();
  return name.substr(name.rfind('/') + 1);  // npos + 1 is 0
}

// Real and generated images must be of one size, whatever the extractor takes.
absl::Status CheckImages(const Evaluation& e) {
  const nn::NetworkConfig& config = e.model.sampler->config();
  if (config.img_channels == e.dataset->channels() &&
      config.img_resolution == e.dataset->resolution()) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "the model makes images of ", config.img_resolution, " pixels and ",
      config.img_channels, " channel(s), but those of '", e.dataset->name(),
      "' have ", e.dataset->resolution(), " and ", e.dataset->channels(),
      "; evaluate with the data that the model was trained on"));
}

absl::StatusOr<eval::Reference> ReferenceOf(Evaluation& e) {
  eval::ReferenceOptions options;
  options.cache_dir = e.context.CacheDir();
  options.kept_features = e.metrics.KeptReal();
  options.progress = [&](int64_t done, int64_t total) {
    e.report.Report("features of real images", done, total, done);
    return !e.context.StoppingAt("real images");
  };
  return eval::ComputeReference(*e.extractor, *e.dataset, options);
}

// Generates images with `steps` steps from `seed` and measures them.
absl::StatusOr<Measured> MeasureSet(Evaluation& e,
                                    const eval::Reference& reference,
                                    int64_t steps, uint64_t seed) {
  sample::SampleOptions options;
  options.plan.solver = e.model.solver;
  options.plan.schedule = e.model.schedule;
  options.plan.steps = steps;
  options.plan.gamma = e.spec.gamma();
  options.seed = seed;
  options.batch_size = e.batch();
  options.stop = [&] { return e.context.StoppingAt("images"); };
  const int64_t samples = e.metrics.samples;
  const std::string phase =
      absl::StrCat("images in ", steps, " steps",
                   e.seeds() > 1 ? absl::StrCat(", seed ", seed) : "");
  eval::MetricSet generated(e.metrics, *e.extractor, seed);
  Measured measured;
  for (int64_t first = 0; first < samples; first += e.batch()) {
    e.report.Report(phase, first, samples, first);
    options.first_index = first;
    options.count = std::min(e.batch(), samples - first);
    const absl::Time start = absl::Now();
    RETORT_ASSIGN_OR_RETURN(const sample::SampleResult result,
                            e.model.sampler->Sample(options));
    measured.sampling += absl::Now() - start;
    measured.network_calls = result.network_calls;
    RETORT_RETURN_IF_ERROR(generated.Add(io::ToUint8(result.images)));
  }
  e.report.Report(phase, samples, samples, samples);
  ReportPhase(e.context.outbox, absl::StrCat("metrics of ", phase));
  e.context.outbox->SetActivity("metrics", /*waiting=*/false);
  RETORT_ASSIGN_OR_RETURN(measured.values, generated.Measure(reference));
  return measured;
}

// Results of one number of steps, in the order of the metrics.
std::vector<v1::EvaluationResult> ResultsOf(const Evaluation& e, int64_t steps,
                                            const std::vector<Measured>& sets) {
  absl::Duration sampling;
  for (const Measured& set : sets) sampling += set.sampling;
  const auto images = static_cast<double>(e.metrics.samples) * sets.size();
  std::vector<v1::EvaluationResult> results;
  for (size_t i = 0; i < sets[0].values.size(); ++i) {
    std::vector<double> values;
    for (const Measured& set : sets) values.push_back(set.values[i].value);
    const eval::MeanInterval interval = eval::MeanOf(values);
    const std::string& name = sets[0].values[i].name;
    v1::EvaluationResult& result = results.emplace_back();
    result.set_metric(absl::StrCat(name, "-", SuffixOf(e)));
    result.set_steps(steps);
    result.set_network_calls(sets[0].network_calls);
    result.set_value(interval.mean);
    result.set_low(interval.low);
    result.set_high(interval.high);
    result.set_seeds(sets.size());
    result.set_samples(e.metrics.samples);
    result.set_seconds_per_image(absl::ToDoubleSeconds(sampling) / images);
    result.set_setup(
        eval::SetupHash(name, e.metrics, *e.extractor, *e.dataset));
    RETORT_LOG(info, "{} {:.5g} [{:.5g}, {:.5g}] at {} steps, {} seed(s)",
               result.metric(), result.value(), result.low(), result.high(),
               steps, result.seeds());
  }
  return results;
}

absl::StatusOr<Evaluation> Prepare(const TaskContext& context,
                                   const v1::EvaluateSpec& spec) {
  ReportPhase(context.outbox, "loading model");
  context.outbox->SetActivity("loading model", /*waiting=*/false);
  RETORT_ASSIGN_OR_RETURN(const std::string model_dir,
                          context.ModelDir(spec.model()));
  RETORT_ASSIGN_OR_RETURN(const std::string extractor_dir,
                          context.ModelDir(spec.feature_extractor()));
  RETORT_ASSIGN_OR_RETURN(LoadedModel model, LoadModel(model_dir));
  const nn::NetworkConfig& config = model.sampler->config();
  RETORT_ASSIGN_OR_RETURN(
      auto extractor,
      eval::FeatureExtractor::Load(
          extractor_dir, {config.img_channels, config.img_resolution}));
  v1::DataSpec data = spec.data();
  if (data.resolution() == 0) data.set_resolution(config.img_resolution);
  RETORT_ASSIGN_OR_RETURN(auto dataset, LoadDataset(data));
  Evaluation e{context,
               spec,
               std::move(model),
               std::move(extractor),
               std::move(dataset),
               ToMetricOptions(spec),
               StepReport(context.outbox)};
  e.metrics.stop = [&context] { return context.StoppingAt("metrics"); };
  RETORT_RETURN_IF_ERROR(CheckImages(e));
  RETORT_RETURN_IF_ERROR(e.metrics.Check(*e.extractor, e.dataset->size()));
  return e;
}

}  // namespace

absl::StatusOr<TaskEnded> Evaluate(const TaskContext& context,
                                   const v1::EvaluateSpec& spec) {
  RETORT_ASSIGN_OR_RETURN(Evaluation e, Prepare(context, spec));
  context.outbox->SetActivity("real images", /*waiting=*/false);
  RETORT_ASSIGN_OR_RETURN(const eval::Reference reference, ReferenceOf(e));
  std::vector<int64_t> steps(spec.steps().begin(), spec.steps().end());
  if (steps.empty()) steps = {1, 2};
  TaskEnded ended = SucceededEnd();
  for (const int64_t n : steps) {
    std::vector<Measured> sets;
    for (int64_t i = 0; i < e.seeds(); ++i) {
      RETORT_ASSIGN_OR_RETURN(
          sets.emplace_back(),
          MeasureSet(e, reference, n, spec.seed() + static_cast<uint64_t>(i)));
    }
    for (v1::EvaluationResult& result : ResultsOf(e, n, sets)) {
      *ended.add_results() = std::move(result);
    }
  }
  return ended;
}

}  // namespace retort::worker
