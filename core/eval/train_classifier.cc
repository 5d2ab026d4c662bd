#include "core/eval/train_classifier.h"

#include <torch/optim/adamw.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/data/data_order.h"
#include "core/io/model_file.h"
#include "core/math/counter_random.h"

namespace retort::eval {
namespace {

absl::Status BadTraining(absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("train classifier: ", what));
}

absl::Status CheckData(const data::Dataset& train, const data::Dataset& test) {
  if (train.label_dim() < 2) {
    return BadTraining(
        absl::StrCat("data set '", train.name(), "' has no labels to learn"));
  }
  if (train.label_dim() != test.label_dim() ||
      train.channels() != test.channels() ||
      train.resolution() != test.resolution()) {
    return BadTraining(
        absl::StrCat("'", train.name(), "' and '", test.name(),
                     "' differ in classes, channels or resolution"));
  }
  return absl::OkStatus();
}

// Linear warm-up over 1/20 of the steps, then a cosine to zero.
double RateAt(double peak, int64_t step, int64_t steps) {
  const double warm_up = std::max<double>(1, static_cast<double>(steps) / 20);
  const double at = static_cast<double>(step);
  if (at < warm_up) return peak * (at + 1) / (warm_up + 1);
  const double done = (at - warm_up) / (static_cast<double>(steps) - warm_up);
  return peak * 0.5 * (1 + std::cos(M_PI * done));
}

// Mirrors half of the images. Draws depend on (seed, step) alone.
at::Tensor MirrorHalf(const at::Tensor& images, uint64_t seed, int64_t step) {
  const math::Stream stream = math::MakeStream(
      seed, math::RandomStream::kAugment, static_cast<uint64_t>(step));
  std::vector<int64_t> rows(images.size(0));
  std::iota(rows.begin(), rows.end(), 0);
  const at::Tensor mirror = math::UniformPerSample(stream, rows, 1) < 0.5;
  return at::where(mirror.view({-1, 1, 1, 1}), images.flip({3}), images);
}

// The loop's one step: returns the loss.
double Step(FmnistClassifier& net, torch::optim::Optimizer& optimizer,
            const at::Tensor& images, const at::Tensor& labels, double rate) {
  for (auto& group : optimizer.param_groups()) group.options().set_lr(rate);
  optimizer.zero_grad();
  const at::Tensor loss = torch::cross_entropy_loss(net(images), labels);
  loss.backward();
  optimizer.step();
  return loss.item<double>();
}

absl::Status RunTraining(
    const data::Dataset& train, TrainedClassifier* result,
    const std::function<void(const ClassifierProgress&)>& progress,
    const std::atomic<bool>* stop) {
  const ClassifierTrainOptions& options = result->options;
  result->net->train();
  torch::optim::AdamW optimizer(
      result->net->parameters(),
      torch::optim::AdamWOptions(options.learning_rate)
          .weight_decay(options.weight_decay));
  const int64_t batch = std::min(options.batch_size, train.size());
  const int64_t per_epoch = train.size() / batch;
  const int64_t report_every = std::max<int64_t>(1, per_epoch / 20);
  ClassifierProgress tick;
  tick.steps = per_epoch * options.epochs;
  double tick_loss = 0;
  double epoch_loss = 0;
  std::vector<int64_t> indices(batch);
  at::Tensor images, labels;
  for (int64_t step = 0; step < tick.steps; ++step) {
    if (stop != nullptr && stop->load()) {
      return absl::CancelledError("train classifier: stopped");
    }
    for (int64_t i = 0; i < batch; ++i) {
      indices[i] =
          data::ShuffledIndex(options.seed, step * batch + i, train.size());
    }
    RETORT_RETURN_IF_ERROR(train.Get(indices, &images, &labels));
    at::Tensor x = data::ToFloat(images);
    if (options.mirror) x = MirrorHalf(x, options.seed, step);
    const double loss = Step(result->net, optimizer, x, labels,
                             RateAt(options.learning_rate, step, tick.steps));
    if (!std::isfinite(loss)) {
      return absl::InternalError(absl::StrCat(
          "train classifier: the loss is not finite at step ", step,
          "; lower learning_rate, which is ", options.learning_rate));
    }
    tick_loss += loss;
    if (step >= tick.steps - per_epoch) epoch_loss += loss;
    if ((step + 1) % report_every == 0 && progress) {
      tick.step = step + 1;
      tick.loss = tick_loss / static_cast<double>(report_every);
      progress(tick);
      tick_loss = 0;
    }
  }
  result->train_loss = epoch_loss / static_cast<double>(per_epoch);
  return absl::OkStatus();
}

}  // namespace

absl::Status ClassifierTrainOptions::Validate() const {
  if (epochs < 1) return BadTraining("epochs must be at least 1");
  if (batch_size < 1) return BadTraining("batch_size must be at least 1");
  if (!(learning_rate > 0 && learning_rate <= 1)) {
    return BadTraining("learning_rate must lie in (0, 1]");
  }
  if (!(weight_decay >= 0 && weight_decay < 1)) {
    return BadTraining("weight_decay must lie in [0, 1)");
  }
  return absl::OkStatus();
}

nlohmann::json ClassifierTrainOptions::ToJson() const {
  return {{"widths", widths},
          {"epochs", epochs},
          {"batch_size", batch_size},
          {"learning_rate", learning_rate},
          {"weight_decay", weight_decay},
          {"mirror", mirror},
          {"seed", seed}};
}

absl::StatusOr<TrainedClassifier> TrainClassifier(
    const data::Dataset& train, const data::Dataset& test,
    const ClassifierTrainOptions& options,
    const std::function<void(const ClassifierProgress&)>& progress,
    const std::atomic<bool>* stop) {
  RETORT_RETURN_IF_ERROR(options.Validate());
  RETORT_RETURN_IF_ERROR(CheckData(train, test));
  ClassifierConfig config;
  config.resolution = train.resolution();
  config.channels = train.channels();
  config.classes = train.label_dim();
  config.widths = options.widths;
  RETORT_RETURN_IF_ERROR(config.Validate());
  TrainedClassifier result;
  result.options = options;
  result.train_data_hash = train.manifest_hash();
  result.test_data_hash = test.manifest_hash();
  result.test_size = test.size();
  try {
    result.net = FmnistClassifier(config, options.seed);
    RETORT_RETURN_IF_ERROR(RunTraining(train, &result, progress, stop));
  } catch (const c10::Error& e) {
    return absl::InternalError(
        absl::StrCat("train classifier: ", e.what_without_backtrace()));
  }
  RETORT_ASSIGN_OR_RETURN(result.test_accuracy,
                          ClassifierAccuracy(result.net, test));
  return result;
}

absl::StatusOr<double> ClassifierAccuracy(FmnistClassifier net,
                                          const data::Dataset& test,
                                          int64_t batch_size) {
  torch::NoGradGuard no_grad;
  net->eval();
  int64_t right = 0;
  at::Tensor images, labels;
  for (int64_t first = 0; first < test.size(); first += batch_size) {
    std::vector<int64_t> indices(std::min(batch_size, test.size() - first));
    std::iota(indices.begin(), indices.end(), first);
    RETORT_RETURN_IF_ERROR(test.Get(indices, &images, &labels));
    try {
      const at::Tensor guess = net(data::ToFloat(images)).argmax(1);
      right += guess.eq(labels).sum().item<int64_t>();
    } catch (const c10::Error& e) {
      return absl::InternalError(
          absl::StrCat("classify: ", e.what_without_backtrace()));
    }
  }
  return static_cast<double>(right) / static_cast<double>(test.size());
}

absl::StatusOr<io::ModelManifest> SaveClassifier(
    const std::string& dir, const TrainedClassifier& trained) {
  io::ModelManifest manifest;
  manifest.kind = "feature_extractor";
  manifest.network = trained.net->config().ToJson();
  manifest.lineage = {{"made_by",
                       "retort::eval::TrainClassifier: cross-entropy, AdamW, "
                       "linear warm-up and cosine decay"},
                      {"options", trained.options.ToJson()},
                      {"train_data", trained.train_data_hash},
                      {"test_data", trained.test_data_hash},
                      {"train_loss_last_epoch", trained.train_loss},
                      {"test_images", trained.test_size},
                      {"test_accuracy", trained.test_accuracy}};
  return io::WriteModelDir(dir, std::move(manifest), trained.net->StateDict());
}

}  // namespace retort::eval
