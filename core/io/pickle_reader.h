#ifndef RETORT_CORE_IO_PICKLE_READER_H_
#define RETORT_CORE_IO_PICKLE_READER_H_

#include <cstddef>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "core/io/pickle_value.h"

namespace retort::io {

// Reads one pickle (protocols 0 to 5) from the start of `bytes`, and sets
// `used` to its length. A pickle is a program for a stack machine; this one
// builds data and can do nothing else: a name outside the allow-list
// (pickle_globals.cc) is refused where it is mentioned, and calls of those on
// it become values of kind kObject that say what was to be called.
//
// `bytes` and `heap` outlive the values. Memory is bounded by the heap's
// limits and a small multiple of the file: no length in the file is trusted,
// text is not copied, and nothing recurses.
//
// InvalidArgument, with the offset, for anything else than a good pickle.
absl::StatusOr<const PickleValue*> ReadPickle(absl::string_view bytes,
                                              PickleHeap* heap, size_t* used);

}  // namespace retort::io

#endif  // RETORT_CORE_IO_PICKLE_READER_H_
