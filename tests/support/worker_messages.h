#ifndef RETORT_TESTS_SUPPORT_WORKER_MESSAGES_H_
#define RETORT_TESTS_SUPPORT_WORKER_MESSAGES_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "retort/internal/v1/worker.pb.h"

// What a replica says, for tests that play one.
namespace retort::testing {

inline internal::v1::AttachRequest ReadyMessage() {
  internal::v1::AttachRequest message;
  message.mutable_ready()->set_width(32);
  message.mutable_ready()->set_height(32);
  message.mutable_ready()->set_channels(1);
  message.mutable_ready()->set_classes(10);
  return message;
}

// The answer to request `id`: images that are one byte each.
inline internal::v1::AttachRequest AnswerMessage(int64_t id, int images = 1) {
  internal::v1::AttachRequest message;
  message.mutable_sample()->set_id(id);
  for (int i = 0; i < images; ++i) {
    message.mutable_sample()->mutable_response()->add_images("x");
  }
  message.mutable_sample()
      ->mutable_response()
      ->mutable_statistics()
      ->set_network_calls(2);
  return message;
}

inline internal::v1::AttachRequest ErrorMessage(int64_t id,
                                                absl::StatusCode code,
                                                const std::string& error) {
  internal::v1::AttachRequest message;
  message.mutable_sample()->set_id(id);
  message.mutable_sample()->set_code(static_cast<int>(code));
  message.mutable_sample()->set_error(error);
  return message;
}

}  // namespace retort::testing

#endif  // RETORT_TESTS_SUPPORT_WORKER_MESSAGES_H_
