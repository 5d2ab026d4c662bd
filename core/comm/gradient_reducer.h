#ifndef RETORT_CORE_COMM_GRADIENT_REDUCER_H_
#define RETORT_CORE_COMM_GRADIENT_REDUCER_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "core/comm/communicator.h"

namespace retort::comm {

struct ReducerOptions {
  // Gradients are summed in pieces of about this size. Small ones begin
  // earlier, large ones use the network better.
  int64_t bucket_bytes = int64_t{25} << 20;
  // Sum each piece as soon as it is complete, while the backward pass goes on;
  // otherwise all of them after it. For measurements: the result is the same.
  bool overlap = true;
};

// Means of gradients over the ranks, taken while the backward pass still runs.
//
//   GradientReducer reducer(comm, parameters, options);
//   each step:
//     reducer.Begin(before);           // what earlier parts of the batch gave
//     loss.backward();                 // or torch::autograd::grad
//     reducer.Flush();
//     ... other work ...
//     gradients = reducer.Finish();
//
// Hooks on the parameters copy each gradient, as autograd has it, into flat
// buckets that lie in reverse order of the parameters; a bucket is summed once
// it and all before it are full, so that all ranks launch the same sums in the
// same order whatever order their gradients come in. The hooks see gradients of
// torch::autograd::grad as well as those of backward(), which is why c10d's own
// reducer does not do: it hears of the latter alone.
//
// Holds a copy of all gradients. Hooks do nothing outside of Begin() to
// Flush(), so several reducers may share parameters. Not thread-safe; must
// outlive every pass that begins while it lives.
class GradientReducer {
 public:
  // `parameters` are leaves that require gradients, in the same order on all
  // ranks. `comm` is not owned and outlives this.
  GradientReducer(Communicator* comm, std::vector<at::Tensor> parameters,
                  const ReducerOptions& options = {});
  ~GradientReducer();
  GradientReducer(const GradientReducer&) = delete;
  GradientReducer& operator=(const GradientReducer&) = delete;

  // From now on each gradient g of a parameter counts as before + factor g.
  // `before` is per parameter, undefined where there is nothing; empty: nothing
  // at all. They must not change before Flush().
  void Begin(const std::vector<at::Tensor>& before, double factor = 1);

  // The backward pass is over: parameters without a gradient in it count as
  // their `before`. Throws LostContact.
  void Flush();

  // Waits for the sums and returns the means over the ranks, per parameter;
  // undefined where no rank had any (a rank that has none counts as zero). They
  // lie in this object's memory until the next Begin(). Throws LostContact.
  std::vector<at::Tensor> Finish();

  const std::vector<at::Tensor>& parameters() const { return parameters_; }

 private:
  struct Slot {
    size_t bucket = 0;
    at::Tensor view;  // of the parameter's shape, into the bucket
    bool filled = false;
  };
  // Ends with one number per parameter: on how many ranks it has a gradient.
  struct Bucket {
    at::Tensor flat;
    std::vector<size_t> parameters;  // indices
    std::vector<float> flags;
    size_t missing = 0;
    std::unique_ptr<Pending> sum;
  };

  void MakeBuckets(int64_t bytes);
  void AddBucket(const std::vector<size_t>& parameters);
  void Take(size_t parameter, const at::Tensor& gradient);
  void Fill(size_t parameter);
  void LaunchReady();

  Communicator* const comm_;
  const std::vector<at::Tensor> parameters_;
  const bool overlap_;
  std::vector<Slot> slots_;  // per parameter
  std::vector<Bucket> buckets_;
  std::vector<unsigned> hooks_;
  std::vector<at::Tensor> before_;
  double factor_ = 1;
  bool armed_ = false;
  size_t next_ = 0;  // bucket to launch
};

}  // namespace retort::comm

#endif  // RETORT_CORE_COMM_GRADIENT_REDUCER_H_
