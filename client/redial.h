#ifndef RETORT_CLIENT_REDIAL_H_
#define RETORT_CLIENT_REDIAL_H_

#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace retort::client {

// How long a server may be away, a restart for instance, before a command that
// follows a job gives up, and the pause before each try. The job itself does
// not mind.
inline constexpr absl::Duration kRedialPatience = absl::Minutes(2);
inline constexpr absl::Duration kRedialPause = absl::Seconds(1);

// Decides whether a stream that has ended is to be taken up again, where it
// was. One for each command that follows something:
//
//   Redial redial;
//   while (true) {
//     status = Read(stream, [&] { redial.Heard(); });
//     if (Done() || !redial.ShouldTry(status, absl::Now())) return status;
//     absl::SleepFor(kRedialPause);
//   }
//
// Not thread-safe.
class Redial {
 public:
  // The server answered: what happens next is another absence.
  void Heard() {
    heard_ = true;
    away_since_ = absl::InfiniteFuture();
  }

  // True if `status`, as the client has it, may come of a server that stops or
  // is being started, which was heard of before and has not been away for too
  // long.
  bool ShouldTry(const absl::Status& status, absl::Time now) {
    const bool away =
        status.ok() || absl::IsUnavailable(status) || absl::IsCancelled(status);
    if (!away || !heard_) return false;
    if (away_since_ == absl::InfiniteFuture()) away_since_ = now;
    return now - away_since_ <= kRedialPatience;
  }

 private:
  bool heard_ = false;
  absl::Time away_since_ = absl::InfiniteFuture();
};

}  // namespace retort::client

#endif  // RETORT_CLIENT_REDIAL_H_
