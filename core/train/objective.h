#ifndef RETORT_CORE_TRAIN_OBJECTIVE_H_
#define RETORT_CORE_TRAIN_OBJECTIVE_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/comm/communicator.h"
#include "core/comm/gradient_reducer.h"
#include "core/distill/discriminator.h"
#include "core/distill/distance.h"
#include "core/distill/edm_loss.h"
#include "core/math/jump.h"
#include "core/nn/denoiser.h"
#include "core/train/train_options.h"

namespace retort::train {

// Named numbers of one step, for people. "loss" is always among them.
using Metrics = std::map<std::string, double>;

// One step's input: the batch, and what its randomness is a function of.
struct StepInput {
  // Position in the stream of data and randomness: iterations done, and those
  // that rollbacks have passed over.
  int64_t step = 0;
  // This rank's, by their indices within the step's global batch.
  std::vector<int64_t> samples;
  distill::LossBatch batch;
  // The loss is multiplied by this power of two before its gradient is taken,
  // and the gradient divided by it.
  double loss_scale = 1;
  // Iterations done, whatever was passed over: where a curriculum is.
  int64_t iteration = 0;
};

// What the loop minimises: binds a loss to its networks.
class Objective {
 public:
  virtual ~Objective() = default;

  // Draws, evaluates, and leaves the gradient in the student's parameters'
  // grad() (and the discriminator's in its own), replacing what was there;
  // TrainOptions::accumulation parts of the batch, one after another, give the
  // gradient of the whole, and of several ranks the mean of theirs, the same on
  // all. What is returned is of this rank's samples. Lets LibTorch's exceptions
  // and comm::LostContact through.
  virtual Metrics TakeGradients(const StepInput& input) = 0;
};

// The networks of a run. `teacher` and `target` are null where the method has
// none; `jump` is for CM and CTM, `perceptual` for their distance "lpips".
struct Networks {
  std::shared_ptr<nn::EdmDenoiser> student;
  std::shared_ptr<nn::EdmDenoiser> target;
  std::shared_ptr<nn::EdmDenoiser> teacher;
  std::shared_ptr<const math::JumpPrecond> jump;
  std::shared_ptr<distill::Discriminator> discriminator;  // null without gan
  std::shared_ptr<const distill::Distance> perceptual = nullptr;
  comm::Communicator* comm = nullptr;  // null: one rank
  comm::ReducerOptions reduction = {};
};

// Returns the objective of options.method. Makes all networks compute in
// options.precision. Puts the student (and the target)
// into train() mode and the teacher into eval(). InvalidArgument when a network
// that the method needs is missing or does not fit the others, or the distance
// does not fit the images.
absl::StatusOr<std::unique_ptr<Objective>> MakeObjective(
    const TrainOptions& options, const Networks& networks);

// Returns a student that starts from a teacher: the same network, with a second
// time for CTM (whose own layers start at random, from `seed`).
absl::StatusOr<std::shared_ptr<nn::EdmDenoiser>> MakeStudent(
    Method method, const nn::EdmDenoiser& teacher, uint64_t seed);

}  // namespace retort::train

#endif  // RETORT_CORE_TRAIN_OBJECTIVE_H_
