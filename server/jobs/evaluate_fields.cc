#include "server/jobs/evaluate_fields.h"

#include <algorithm>
#include <limits>
#include <set>

#include "absl/strings/str_cat.h"

namespace retort::jobs {
namespace {

constexpr int kMaxSeeds = 100;
constexpr int64_t kDefaultKeptFeatures = 10000;
constexpr int64_t kMaxKeptFeatures = 50000;

void CheckMetrics(const v1::EvaluateSpec& task, SpecProblems* problems) {
  std::set<int> seen;
  for (const int metric : task.metrics()) {
    if (!v1::EvaluateSpec::Metric_IsValid(metric) ||
        metric == v1::EvaluateSpec::METRIC_UNSPECIFIED) {
      problems->Add("evaluate.metrics",
                    absl::StrCat("holds ", metric,
                                 ", which is no metric; use METRIC_FRECHET, "
                                 "METRIC_KID, METRIC_INCEPTION_SCORE, "
                                 "METRIC_PRECISION_RECALL"));
    } else if (!seen.insert(metric).second) {
      problems->Add(
          "evaluate.metrics",
          absl::StrCat("holds ",
                       v1::EvaluateSpec::Metric_Name(
                           static_cast<v1::EvaluateSpec::Metric>(metric)),
                       " twice; name each metric once"));
    }
  }
}

}  // namespace

void ResolveMetrics(v1::EvaluateSpec* task, SpecProblems* problems) {
  if (task->metrics().empty()) {
    task->add_metrics(v1::EvaluateSpec::METRIC_FRECHET);
  }
  if (task->seeds() == 0) task->set_seeds(1);
  if (task->kept_features() == 0) task->set_kept_features(kDefaultKeptFeatures);
  if (task->neighbours() == 0) task->set_neighbours(3);
  CheckMetrics(*task, problems);
  problems->Require(
      task->seeds() >= 1 && task->seeds() <= kMaxSeeds, "evaluate.seeds",
      absl::StrCat("is ", task->seeds(), "; must be in [1, ", kMaxSeeds, "]"));
  problems->Require(
      task->seeds() < 1 ||
          task->seed() <=
              std::numeric_limits<uint64_t>::max() - (task->seeds() - 1),
      "evaluate.seed",
      absl::StrCat("is ", task->seed(), ", and evaluate.seeds counts up from ",
                   "it beyond 2^64 - 1; choose a smaller one"));
  problems->Require(
      task->kept_features() >= 2 && task->kept_features() <= kMaxKeptFeatures,
      "evaluate.kept_features",
      absl::StrCat("is ", task->kept_features(), "; must be in [2, ",
                   kMaxKeptFeatures, "]"));
  const auto& metrics = task->metrics();
  const bool neighbours =
      std::find(metrics.begin(), metrics.end(),
                v1::EvaluateSpec::METRIC_PRECISION_RECALL) != metrics.end();
  const int64_t most = std::min(task->samples(), task->kept_features()) - 1;
  problems->Require(
      task->neighbours() >= 1 && (!neighbours || task->neighbours() <= most),
      "evaluate.neighbours",
      absl::StrCat("is ", task->neighbours(), "; must be at least 1 and ",
                   "less than samples and kept_features, ", most,
                   " at most here"));
}

}  // namespace retort::jobs
