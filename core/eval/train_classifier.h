#ifndef RETORT_CORE_EVAL_TRAIN_CLASSIFIER_H_
#define RETORT_CORE_EVAL_TRAIN_CLASSIFIER_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/data/dataset.h"
#include "core/eval/classifier.h"
#include "core/io/model_manifest.h"

namespace retort::eval {

// How to train the classifier. The defaults reach about 92 % on
// Fashion-MNIST's test images in a few minutes of one CPU thread.
struct ClassifierTrainOptions {
  std::vector<int64_t> widths = ClassifierConfig().widths;
  int64_t epochs = 10;
  int64_t batch_size = 128;
  // AdamW's peak rate: reached after a twentieth of the steps, then a cosine
  // falls to zero.
  double learning_rate = 4e-3;
  double weight_decay = 1e-2;
  // Mirrors half of the images.
  bool mirror = true;
  // Weights, data order and augmentation follow from it; same seed, data,
  // thread count and machine, same weights.
  uint64_t seed = 0;

  // InvalidArgument, naming the field.
  absl::Status Validate() const;
  nlohmann::json ToJson() const;
};

struct ClassifierProgress {
  int64_t step = 0;  // done, of `steps`
  int64_t steps = 0;
  double loss = 0;  // mean since the last report
};

struct TrainedClassifier {
  FmnistClassifier net{nullptr};
  ClassifierTrainOptions options;
  double train_loss = 0;     // mean over the last epoch
  double test_accuracy = 0;  // fraction, on all test images, at the end
  int64_t test_size = 0;
  std::string train_data_hash;
  std::string test_data_hash;
};

// Trains by cross-entropy on `train` and measures the accuracy on `test` once,
// at the end: no choice is made by looking at it. `progress` (may be empty)
// is called about 20 times an epoch; `stop` (may be null) is polled each step.
//
// Errors: InvalidArgument for bad options, or data sets without labels or
// that do not fit together; Cancelled when stopped; Internal when the loss is
// not finite; what the data set or LibTorch reports.
absl::StatusOr<TrainedClassifier> TrainClassifier(
    const data::Dataset& train, const data::Dataset& test,
    const ClassifierTrainOptions& options,
    const std::function<void(const ClassifierProgress&)>& progress = {},
    const std::atomic<bool>* stop = nullptr);

// Returns the fraction of `test` that the classifier, put into eval mode, gets
// right.
absl::StatusOr<double> ClassifierAccuracy(FmnistClassifier net,
                                          const data::Dataset& test,
                                          int64_t batch_size = 500);

// Writes a model directory of kind "feature_extractor" (core/io/model_file.h)
// whose lineage says how the classifier was trained and how good it is.
absl::StatusOr<io::ModelManifest> SaveClassifier(
    const std::string& dir, const TrainedClassifier& trained);

}  // namespace retort::eval

#endif  // RETORT_CORE_EVAL_TRAIN_CLASSIFIER_H_
