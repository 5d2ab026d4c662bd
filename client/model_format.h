#ifndef RETORT_CLIENT_MODEL_FORMAT_H_
#define RETORT_CLIENT_MODEL_FORMAT_H_

#include <string>

#include "absl/status/statusor.h"
#include "retort/v1/model_service.pb.h"

namespace retort::client {

// Tells the format of a file of weights by its first bytes, and of a zip file
// also by the names at its end, whatever the file is called. A usage error for
// a file that is none of them or cannot be read. The server trusts none of it.
absl::StatusOr<v1::ImportModelHeader::Format> RecogniseFormat(
    const std::string& path);

}  // namespace retort::client

#endif  // RETORT_CLIENT_MODEL_FORMAT_H_
