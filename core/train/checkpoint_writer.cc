#include "core/train/checkpoint_writer.h"

#include <torch/utils.h>

#include <exception>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/check.h"

namespace retort::train {

CheckpointWriter::~CheckpointWriter() {
  if (thread_.joinable()) thread_.join();
}

void CheckpointWriter::Start(const Checkpoint& checkpoint, bool remove_old) {
  RETORT_CHECK(!step_.has_value());
  torch::NoGradGuard no_grad;
  for (const auto& [name, tensor] : checkpoint.tensors) {
    at::Tensor& copy = copy_[name];
    if (!copy.defined()) {
      copy = at::empty(tensor.sizes(),
                       tensor.options().device(at::kCPU).requires_grad(false));
    }
    copy.copy_(tensor);
  }
  step_ = checkpoint.step;
  // Shares the copies' memory.
  thread_ = std::thread([this, remove_old,
                         copied = Checkpoint{checkpoint.step, copy_,
                                             checkpoint.state}] {
    Written written{copied.step, absl::InternalError("")};
    try {
      written.manifest = store_->Save(copied, remove_old);
    } catch (const std::exception& error) {
      written.manifest = absl::InternalError(absl::StrCat(
          "saving the checkpoint of step ", copied.step, ": ", error.what()));
    }
    absl::MutexLock lock(&mutex_);
    written_ = std::move(written);
  });
}

std::optional<CheckpointWriter::Written> CheckpointWriter::Take() {
  {
    absl::MutexLock lock(&mutex_);
    if (!written_.has_value()) return std::nullopt;
  }
  return Wait();
}

std::optional<CheckpointWriter::Written> CheckpointWriter::Wait() {
  if (!step_.has_value()) return std::nullopt;
  thread_.join();
  step_.reset();
  absl::MutexLock lock(&mutex_);
  std::optional<Written> written = std::move(written_);
  written_.reset();
  return written;
}

}  // namespace retort::train
