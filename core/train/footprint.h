#ifndef RETORT_CORE_TRAIN_FOOTPRINT_H_
#define RETORT_CORE_TRAIN_FOOTPRINT_H_

#include <cstdint>
#include <string>

#include "core/nn/backbone.h"
#include "core/nn/network_config.h"
#include "core/train/train_options.h"

namespace retort::train {

// What decides how much memory a training process takes.
struct FootprintOptions {
  Method method = Method::kEdm;
  nn::NetworkConfig network;       // of the student (EDM: the teacher)
  int64_t teacher_parameters = 0;  // 0: there is no teacher
  int64_t images = 1;              // per process, of one part of its batch
  int64_t ranks = 1;               // processes that train together
  int64_t averages = 1;    // of the weights, besides the stop-gradient one
  bool half = false;       // activations of 16 bits
  bool denoising = true;   // CTM's second loss
  int64_t lpips_side = 0;  // of LPIPS' images; 0: another distance
  std::string lpips_backbone = "vgg16";
  nn::Pooling lpips_pooling = nn::Pooling::kMean;
  int64_t gan_channels = 0;  // of the discriminator's first layer; 0: none
};

// In bytes; docs/science.md says how they come about and how they compare with
// measurements.
struct Footprint {
  int64_t weights = 0;      // of all networks, averages included
  int64_t gradients = 0;    // at the peak of a step
  int64_t optimizer = 0;    // moments
  int64_t activations = 0;  // kept for the backward pass
  int64_t runtime = 0;      // code and buffers of LibTorch
  // What is written of a checkpoint while training goes on; host memory.
  int64_t checkpoint = 0;

  int64_t Total() const { return Step() + checkpoint; }
  // Without a checkpoint being written.
  int64_t Step() const {
    return weights + gradients + optimizer + activations + runtime;
  }
};

Footprint EstimateFootprint(const FootprintOptions& options);

// Bytes of one checkpoint: weights, moments, averages; the discriminator's too.
int64_t CheckpointBytes(const FootprintOptions& options);

// Bytes that a network needs to be called without gradients on so many images.
int64_t InferenceBytes(const nn::NetworkConfig& network, int64_t images);

}  // namespace retort::train

#endif  // RETORT_CORE_TRAIN_FOOTPRINT_H_
