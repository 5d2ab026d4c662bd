#ifndef RETORT_CORE_TRAIN_GUARDED_H_
#define RETORT_CORE_TRAIN_GUARDED_H_

#include <c10/util/Exception.h>

#include <exception>
#include <new>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "core/comm/communicator.h"

namespace retort::train {

inline absl::Status OutOfMemory(const std::string& what) {
  return absl::FailedPreconditionError(
      absl::StrCat("out of memory while training: ", what,
                   ". Use a smaller batch_size, or a machine with more "
                   "memory."));
}

inline absl::Status FromException(const c10::Error& error) {
  const std::string what = error.what_without_backtrace();
  const bool memory =
      dynamic_cast<const c10::OutOfMemoryError*>(&error) != nullptr ||
      what.find("not enough memory") != std::string::npos;
  if (memory) return OutOfMemory(what);
  return absl::InternalError(absl::StrCat("while training: ", what));
}

// Calls `body`; what LibTorch throws becomes a status.
template <typename Body>
auto Guarded(const Body& body) -> decltype(body()) {
  try {
    return body();
  } catch (const comm::LostContact& lost) {
    return absl::UnavailableError(lost.what());
  } catch (const c10::Error& error) {
    return FromException(error);
  } catch (const std::bad_alloc& error) {
    return OutOfMemory(error.what());
  } catch (const std::exception& error) {
    return absl::InternalError(absl::StrCat("while training: ", error.what()));
  }
}

}  // namespace retort::train

#endif  // RETORT_CORE_TRAIN_GUARDED_H_
