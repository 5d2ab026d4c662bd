#include "core/comm/communicator.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <cstring>

namespace retort::comm {
namespace {

class Done : public Pending {
 public:
  void Wait() override {}
};

}  // namespace

std::vector<double> Communicator::Sum(const std::vector<double>& values) {
  if (size() == 1 || values.empty()) return values;
  const at::Tensor sums = at::tensor(values, at::kDouble).to(device());
  AllReduce(sums)->Wait();
  const at::Tensor here = sums.cpu();
  const double* data = here.const_data_ptr<double>();
  return {data, data + values.size()};
}

std::string Communicator::BroadcastText(const std::string& text) {
  if (size() == 1) return text;
  at::Tensor length =
      at::full({1}, static_cast<int64_t>(text.size()), at::kLong).to(device());
  Broadcast(length);
  const int64_t n = length.item<int64_t>();
  if (n == 0) return "";
  at::Tensor bytes = at::zeros({n}, at::kByte);
  if (lead()) memcpy(bytes.mutable_data_ptr<uint8_t>(), text.data(), n);
  bytes = bytes.to(device());
  Broadcast(bytes);
  bytes = bytes.cpu();
  return {reinterpret_cast<const char*>(bytes.const_data_ptr<uint8_t>()),
          static_cast<size_t>(n)};
}

void Communicator::BroadcastAll(const std::vector<at::Tensor>& tensors) {
  if (size() == 1) return;
  at::NoGradGuard no_grad;
  for (const at::Tensor& tensor : tensors) {
    const at::Tensor here = tensor.detach().to(device()).contiguous();
    Broadcast(here);
    if (!here.is_alias_of(tensor)) tensor.detach().copy_(here);
  }
}

std::unique_ptr<Pending> SingleCommunicator::AllReduce(const at::Tensor&) {
  return std::make_unique<Done>();
}

}  // namespace retort::comm
