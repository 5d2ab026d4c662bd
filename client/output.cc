#include "client/output.h"

#include <google/protobuf/util/json_util.h>

#include <algorithm>
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/call_status.h"
#include "core/base/file.h"

namespace retort::client {

std::string ToJson(const google::protobuf::Message& message, bool indented) {
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  options.always_print_primitive_fields = true;
  options.add_whitespace = indented;
  std::string text;
  (void)google::protobuf::util::MessageToJsonString(message, &text, options);
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

void PrintJson(const google::protobuf::Message& message) {
  puts(ToJson(message).c_str());
}

void Note(absl::string_view text) { absl::FPrintF(stderr, "%s\n", text); }

void NoteMore() { Note("there are more; a larger --limit shows them"); }

std::string Counted(int64_t count, absl::string_view noun) {
  return absl::StrCat(count, " ", noun, count == 1 ? "" : "s");
}

absl::Duration FromProto(const google::protobuf::Duration& duration) {
  return absl::Seconds(duration.seconds()) +
         absl::Nanoseconds(duration.nanos());
}

absl::Time FromProto(const google::protobuf::Timestamp& time) {
  return absl::FromUnixSeconds(time.seconds()) +
         absl::Nanoseconds(time.nanos());
}

std::string Period(absl::Duration duration) {
  const int64_t s = std::max<int64_t>(
      0, absl::ToInt64Seconds(duration + absl::Milliseconds(500)));
  if (s >= 86400)
    return absl::StrFormat("%d d %02d h", s / 86400, s % 86400 / 3600);
  if (s >= 3600) return absl::StrFormat("%d h %02d m", s / 3600, s % 3600 / 60);
  if (s >= 60) return absl::StrFormat("%d m %02d s", s / 60, s % 60);
  return absl::StrFormat("%d s", s);
}

std::string Ago(const google::protobuf::Timestamp& time, absl::Time now) {
  if (time.seconds() == 0) return "";
  return absl::StrCat(Period(now - FromProto(time)), " ago");
}

std::string LocalTime(const google::protobuf::Timestamp& time) {
  if (time.seconds() == 0) return "";
  return absl::FormatTime("%Y-%m-%d %H:%M:%S", FromProto(time),
                          absl::LocalTimeZone());
}

std::string Bytes(int64_t bytes) {
  if (bytes < 1024) return absl::StrCat(bytes, " B");
  double value = bytes;
  const char* unit = "";
  for (const char* u : {"KiB", "MiB", "GiB", "TiB"}) {
    if (value < 1024) break;
    value /= 1024;
    unit = u;
  }
  return absl::StrFormat("%.1f %s", value, unit);
}

absl::Status WriteOutput(const std::string& path, absl::string_view bytes) {
  if (path == "-") {
    const size_t written = fwrite(bytes.data(), 1, bytes.size(), stdout);
    if (written == bytes.size() && fflush(stdout) == 0) return absl::OkStatus();
    return UsageError("cannot write to standard output");
  }
  const absl::Status status = base::AtomicWriteFile(path, bytes);
  return status.ok() ? status : UsageError(status.message());
}

}  // namespace retort::client
