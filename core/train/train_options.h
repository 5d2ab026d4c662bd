#ifndef RETORT_CORE_TRAIN_TRAIN_OPTIONS_H_
#define RETORT_CORE_TRAIN_TRAIN_OPTIONS_H_

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "core/distill/cm_loss.h"
#include "core/distill/ctm_loss.h"
#include "core/distill/distance.h"
#include "core/distill/edm_loss.h"
#include "core/distill/gan_loss.h"
#include "core/math/consistency_schedule.h"
#include "core/train/loss_scale.h"
#include "core/train/optimizer.h"

namespace retort::train {

enum class Method {
  kEdm,  // a teacher, by denoising score matching
  kCm,   // a consistency model; without a teacher, consistency training
  kCtm,  // a consistency trajectory model
};

// Returns "edm", "cm", "ctm".
std::string MethodName(Method method);

// Number format of the U-Nets' activations and of their gradients. Weights,
// optimiser, averages, time embeddings, softmax and the output's combination
// are float32 always.
enum class Precision { kFp32, kBf16, kFp16 };

// What becomes of steps whose loss or gradient is not finite.
enum class NonfinitePolicy {
  kSkip,      // leave the step out; max_nonfinite_steps in a row end the run
  kRollBack,  // leave it out; so many in a row: back to the last good
              // checkpoint, on with the data after the bad stretch
  kReplace,   // NaN by 0, infinities by +-1e5 in the gradients (EDM's loop); a
              // loss that is not finite is left out all the same
};

// How the number of grid times N and the target's rate mu change over a run
// (Song et al. 2023, section 5 and appendix C; math::StageAt).
enum class Curriculum {
  kFixed,            // N = cm.num_times, mu = target_ema_rate
  kProgressive,      // N grows from curriculum_start to cm.num_times as the
                     // root of the step; ln mu = N(0) ln target_ema_rate/(N-1)
  kProgressiveGrid,  // N grows so, mu = target_ema_rate
};

// All that decides what a run computes, and how often it says so. With the same
// options, data and network a run gives the same weights, however often it was
// interrupted.
struct TrainOptions {
  Method method = Method::kEdm;
  int64_t iterations = 1000;  // optimiser steps; at least 1
  int64_t batch_size = 64;    // images per step, over all ranks
  uint64_t seed = 0;          // of data order, noise, times and dropout

  OptimizerOptions optimizer;
  double learning_rate = 4e-4;
  // Linear warm-up from 0 over so many images; 0 = none.
  int64_t lr_rampup_images = 0;
  // Scales gradients down to this norm; 0 = never.
  double max_gradient_norm = 0;
  Precision precision = Precision::kFp32;
  LossScaleOptions loss_scale;  // kFp16
  // Parts that a batch is cut into, one after another, to save memory; must
  // divide it. The gradient is that of the whole batch.
  int64_t accumulation = 1;
  NonfinitePolicy nonfinite_policy = NonfinitePolicy::kSkip;
  // So many non-finite steps in a row end the run with an error, or make it
  // roll back; at least 1.
  int64_t max_nonfinite_steps = 20;

  // Of each of EDM's augmentations (data::EdmAugmentation), in [0, 1]; 0 =
  // none. EDM only: the network needs augment_dim 9.
  double augment_probability = 0;

  // Averages of the weights. The first is what the resulting model holds; the
  // others are kept in the checkpoints. A positive ema_halflife_images puts an
  // average of EDM's form in front of the list.
  std::vector<double> ema_rates = {0.999};
  double ema_halflife_images = 0;
  double ema_rampup_ratio = 0.05;
  // Rate of the stop-gradient network of CM and CTM; 0: it is the student.
  double target_ema_rate = 0.999;
  // CM only. Those that grow reach cm.num_times at step `iterations`, which is
  // then a part of what a resumed run must agree on.
  Curriculum curriculum = Curriculum::kFixed;
  int64_t curriculum_start = 2;  // N(0), at least 2

  int64_t log_every = 10;          // steps per tick
  int64_t checkpoint_every = 500;  // steps; 0 = only when asked and at the end
  int64_t keep_checkpoints = 2;    // newest ones
  // Kept beside them: those whose step is a multiple of keep_every (itself a
  // multiple of checkpoint_every; 0: none), and the keep_best with the lowest
  // best_metric, one of Tick::metrics or of validation's.
  int64_t keep_every = 0;
  int64_t keep_best = 0;
  std::string best_metric = "loss";
  // Steps between calls of TrainParts::validate, which is also called before
  // the first and after the last; 0 = never.
  int64_t validate_every = 0;

  distill::DistanceOptions distance;  // CM, CTM
  distill::EdmLossOptions edm;
  distill::CmLossOptions cm;
  distill::CtmLossOptions ctm;
  distill::GanOptions gan;  // CM, CTM

  // InvalidArgument, naming the field and its range.
  absl::Status Validate() const;

  // N and mu of iteration `step`: a pure function of both.
  math::ConsistencyStage StageAt(int64_t step) const;

  // Returns the options that decide the weights after a given step: what a
  // resumed run must agree on. How long to train, and how often to log or save,
  // may change between runs.
  nlohmann::json Fingerprint() const;
};

}  // namespace retort::train

#endif  // RETORT_CORE_TRAIN_TRAIN_OPTIONS_H_
