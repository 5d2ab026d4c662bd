#ifndef RETORT_CLIENT_OUTPUT_H_
#define RETORT_CLIENT_OUTPUT_H_

#include <google/protobuf/duration.pb.h>
#include <google/protobuf/message.h>
#include <google/protobuf/timestamp.pb.h>

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

// What commands print. Results go to standard output, and nothing else does:
// not even that a list is empty, or goes on.
namespace retort::client {

// The message as JSON with the field names of the API and every field that is
// not a message; indented, or as one line.
std::string ToJson(const google::protobuf::Message& message,
                   bool indented = true);
void PrintJson(const google::protobuf::Message& message);

// Prints {"<list>": [...]} of messages.
template <typename Messages>
void PrintJsonList(absl::string_view list, const Messages& messages);

// Says something beside the result, on standard error.
void Note(absl::string_view text);
// That a list was cut off at its --limit.
void NoteMore();

// "1 job", "2 jobs".
std::string Counted(int64_t count, absl::string_view noun);

// "2 m ago"; "" for no time.
std::string Ago(const google::protobuf::Timestamp& time, absl::Time now);
// "2026-01-31 12:00:00" in local time.
std::string LocalTime(const google::protobuf::Timestamp& time);
// "1 h 02 m", "2 m 03 s", "4 s".
std::string Period(absl::Duration duration);
absl::Duration FromProto(const google::protobuf::Duration& duration);
absl::Time FromProto(const google::protobuf::Timestamp& time);
// "1.2 MiB".
std::string Bytes(int64_t bytes);

// Writes a file in one step; "-" is standard output. Exit code 2 on errors.
absl::Status WriteOutput(const std::string& path, absl::string_view bytes);

template <typename Messages>
void PrintJsonList(absl::string_view list, const Messages& messages) {
  std::string text = "{\"" + std::string(list) + "\": [";
  const char* separator = "\n";
  for (const auto& message : messages) {
    text += separator + ToJson(message);
    separator = ",\n";
  }
  text += "]}\n";
  fputs(text.c_str(), stdout);
}

}  // namespace retort::client

#endif  // RETORT_CLIENT_OUTPUT_H_
