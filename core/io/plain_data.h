#ifndef RETORT_CORE_IO_PLAIN_DATA_H_
#define RETORT_CORE_IO_PLAIN_DATA_H_

#include <nlohmann/json.hpp>

#include "absl/status/statusor.h"
#include "core/io/pickle_value.h"

namespace retort::io {

// Turns numbers, texts, None, lists, tuples and dicts with texts as keys into
// JSON, and numpy's scalars into numbers. Infinities stay what they are, so
// that the result may hold what JSON cannot write. InvalidArgument for
// anything else, and for more or deeper data than a configuration has.
absl::StatusOr<nlohmann::json> PlainData(const PickleValue& value);

}  // namespace retort::io

#endif  // RETORT_CORE_IO_PLAIN_DATA_H_
