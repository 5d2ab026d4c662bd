#include "client/job_text.h"

#include "absl/strings/str_cat.h"
#include "client/names.h"

namespace retort::client {

std::string CancelledText(const v1::Job& job) {
  const std::string id = WrittenName(job.name());
  if (job.state() == v1::Job::STATE_CANCELLED) {
    return absl::StrCat("cancelled ", id);
  }
  return absl::StrCat("asked ", id,
                      " to end; it is cancelling, and still has its slots, "
                      "until its workers are gone (training writes a "
                      "checkpoint first); see it end with: retort jobs watch ",
                      id);
}

std::string PausedText(const v1::Job& job) {
  const std::string id = WrittenName(job.name());
  if (job.state() == v1::Job::STATE_PAUSED) {
    return absl::StrCat(id, " is paused; go on with: retort jobs resume ", id);
  }
  return absl::StrCat("asked ", id,
                      " to pause; it is pausing, and still has its slots, "
                      "until its workers are gone (training writes a "
                      "checkpoint first); wait for that with: retort jobs "
                      "pause ",
                      id, " --wait");
}

std::string TriesText(const v1::Job& job) {
  if (job.attempts() < 2) return "";
  return absl::StrCat(
      job.attempts(),
      " (starts of its workers, those after a pause or to make room too; the "
      "service gives up after failures in a row without a new checkpoint, "
      "which alone its events number: \"try 1 of 3\")");
}

std::string DrainedText(const v1::Node& node) {
  return absl::StrCat(node.name(), ": no new job starts there; ",
                      node.state_reason());
}

std::string UndrainedText(const v1::Node& node, bool was_usable) {
  if (!node.usable()) return DrainedText(node);
  return absl::StrCat(node.name(),
                      was_usable
                          ? " was not drained; jobs may start there as before"
                          : ": jobs may start there again");
}

}  // namespace retort::client
