#include "core/comm/gradient_reducer.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <utility>

#include "core/base/check.h"

namespace retort::comm {

GradientReducer::GradientReducer(Communicator* comm,
                                 std::vector<at::Tensor> parameters,
                                 const ReducerOptions& options)
    : comm_(comm),
      parameters_(std::move(parameters)),
      overlap_(options.overlap),
      slots_(parameters_.size()) {
  MakeBuckets(options.bucket_bytes);
  for (size_t i = 0; i < parameters_.size(); ++i) {
    hooks_.push_back(parameters_[i].register_hook(
        [this, i](const at::Tensor& gradient) { Take(i, gradient); }));
  }
}

GradientReducer::~GradientReducer() {
  for (size_t i = 0; i < hooks_.size(); ++i) {
    parameters_[i].remove_hook(hooks_[i]);
  }
}

void GradientReducer::MakeBuckets(int64_t bytes) {
  std::vector<size_t> members;
  int64_t filled = 0;
  for (size_t i = parameters_.size(); i-- > 0;) {
    members.push_back(i);
    filled += static_cast<int64_t>(parameters_[i].nbytes());
    if (filled < bytes && i > 0) continue;
    AddBucket(members);
    members.clear();
    filled = 0;
  }
}

void GradientReducer::AddBucket(const std::vector<size_t>& parameters) {
  int64_t numbers = static_cast<int64_t>(parameters.size());
  for (const size_t i : parameters) numbers += parameters_[i].numel();
  Bucket bucket;
  bucket.parameters = parameters;
  bucket.flags.resize(parameters.size());
  const at::Tensor& first = parameters_[parameters.front()];
  bucket.flat = at::zeros({numbers}, first.options().requires_grad(false));
  int64_t at = 0;
  for (const size_t i : parameters) {
    const at::Tensor& p = parameters_[i];
    RETORT_CHECK(p.scalar_type() == first.scalar_type());
    slots_[i].bucket = buckets_.size();
    slots_[i].view = bucket.flat.narrow(0, at, p.numel()).view(p.sizes());
    at += p.numel();
  }
  buckets_.push_back(std::move(bucket));
}

void GradientReducer::Begin(const std::vector<at::Tensor>& before,
                            double factor) {
  RETORT_CHECK(!armed_);
  RETORT_CHECK(before.empty() || before.size() == parameters_.size());
  before_ = before;
  before_.resize(parameters_.size());
  factor_ = factor;
  next_ = 0;
  for (Slot& slot : slots_) slot.filled = false;
  for (Bucket& bucket : buckets_) {
    bucket.missing = bucket.parameters.size();
    std::fill(bucket.flags.begin(), bucket.flags.end(), 0.0f);
  }
  armed_ = true;
}

void GradientReducer::Take(size_t parameter, const at::Tensor& gradient) {
  if (!armed_ || !gradient.defined()) return;
  at::NoGradGuard no_grad;
  const Slot& slot = slots_[parameter];
  RETORT_CHECK(!slot.filled);  // autograd sums a leaf's gradients first
  slot.view.copy_(gradient);
  if (factor_ != 1) slot.view.mul_(factor_);
  if (before_[parameter].defined()) slot.view.add_(before_[parameter]);
  Fill(parameter);
  if (overlap_) LaunchReady();
}

void GradientReducer::Fill(size_t parameter) {
  Slot& slot = slots_[parameter];
  Bucket& bucket = buckets_[slot.bucket];
  slot.filled = true;
  --bucket.missing;
  for (size_t k = 0; k < bucket.parameters.size(); ++k) {
    if (bucket.parameters[k] == parameter) bucket.flags[k] = 1;
  }
}

void GradientReducer::LaunchReady() {
  for (; next_ < buckets_.size() && buckets_[next_].missing == 0; ++next_) {
    Bucket& bucket = buckets_[next_];
    const int64_t count = static_cast<int64_t>(bucket.flags.size());
    bucket.flat.narrow(0, bucket.flat.numel() - count, count)
        .copy_(at::tensor(bucket.flags));
    bucket.sum = comm_->AllReduce(bucket.flat);
  }
}

void GradientReducer::Flush() {
  RETORT_CHECK(armed_);
  armed_ = false;
  at::NoGradGuard no_grad;
  for (size_t i = 0; i < slots_.size(); ++i) {
    if (slots_[i].filled) continue;
    if (before_[i].defined()) {
      slots_[i].view.copy_(before_[i]);
      Fill(i);
    } else {
      slots_[i].view.zero_();
      --buckets_[slots_[i].bucket].missing;
    }
  }
  before_.clear();
  LaunchReady();
}

std::vector<at::Tensor> GradientReducer::Finish() {
  RETORT_CHECK(!armed_ && next_ == buckets_.size());
  at::NoGradGuard no_grad;
  std::vector<at::Tensor> means(parameters_.size());
  for (Bucket& bucket : buckets_) {
    bucket.sum->Wait();
    bucket.sum.reset();
    const int64_t count = static_cast<int64_t>(bucket.flags.size());
    const int64_t numbers = bucket.flat.numel() - count;
    const at::Tensor ranks = bucket.flat.narrow(0, numbers, count).cpu();
    bucket.flat.narrow(0, 0, numbers).div_(comm_->size());
    for (int64_t k = 0; k < count; ++k) {
      const size_t i = bucket.parameters[k];
      if (ranks[k].item<float>() > 0) means[i] = slots_[i].view;
    }
  }
  return means;
}

}  // namespace retort::comm
