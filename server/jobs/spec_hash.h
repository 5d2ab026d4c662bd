#ifndef RETORT_SERVER_JOBS_SPEC_HASH_H_
#define RETORT_SERVER_JOBS_SPEC_HASH_H_

#include <google/protobuf/message.h>

#include <string>

namespace retort::jobs {

// SHA-256 of a message's deterministic serialization: names a resolved spec in
// the lineage of what it makes, and tells repeated requests from misused
// request ids. Stable within one version of Protobuf.
std::string SpecSha256(const google::protobuf::Message& message);

}  // namespace retort::jobs

#endif  // RETORT_SERVER_JOBS_SPEC_HASH_H_
