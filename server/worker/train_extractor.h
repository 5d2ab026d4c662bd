#ifndef RETORT_SERVER_WORKER_TRAIN_EXTRACTOR_H_
#define RETORT_SERVER_WORKER_TRAIN_EXTRACTOR_H_

#include <string>

#include "core/eval/train_classifier.h"

namespace retort::worker {

struct ExtractorOptions {
  std::string out;       // folder of the model; replaced when there is one
  std::string data_dir;  // "": where the distribution puts Fashion-MNIST
  int resolution = 32;   // or 16
  int threads = 2;
  eval::ClassifierTrainOptions train;
};

// Trains the classifier behind FD-FMNIST, says how it goes on stderr, writes
// the model. Returns an exit code.
int TrainExtractor(const ExtractorOptions& options);

}  // namespace retort::worker

#endif  // RETORT_SERVER_WORKER_TRAIN_EXTRACTOR_H_
