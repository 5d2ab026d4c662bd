#include "core/base/write_fault.h"

#include <atomic>

#include "core/base/check.h"

namespace retort::base {
namespace {

std::atomic<int> fault_error{0};
std::atomic<int64_t> fault_budget{0};

}  // namespace

ScopedWriteFault::ScopedWriteFault(int64_t bytes, int error) {
  RETORT_CHECK(error != 0 && fault_error.load() == 0);
  fault_budget.store(bytes);
  fault_error.store(error);
}

ScopedWriteFault::~ScopedWriteFault() { fault_error.store(0); }

int ScopedWriteFault::Charge(int64_t bytes) {
  const int error = fault_error.load(std::memory_order_relaxed);
  if (error == 0) return 0;
  return fault_budget.fetch_sub(bytes) < bytes ? error : 0;
}

}  // namespace retort::base
