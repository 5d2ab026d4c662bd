#ifndef RETORT_CLIENT_PROGRESS_DISPLAY_H_
#define RETORT_CLIENT_PROGRESS_DISPLAY_H_

#include <cstdio>
#include <string>

#include "absl/time/time.h"
#include "retort/v1/job_service.pb.h"

namespace retort::client {

// "training  120/400  63.1 images/s  loss 0.0123  ETA 2 m 03 s".
std::string ProgressText(const v1::JobProgress& progress);

// "[######--------------]" of so many characters inside.
std::string ProgressBar(double fraction, int width);

// "[######------]  30%  training  120/400 ...": one line of a terminal with so
// many columns, never more. Where room is short the bar is, then the text.
std::string BarLine(const v1::JobProgress& progress, int columns);

// Shows a job as it goes. On a terminal the last line is a bar that is drawn
// over; elsewhere there are plain lines, of progress at most one per tenth of
// the way or per half minute. Call with the events in order, then Finish().
class ProgressDisplay {
 public:
  // `out` is written to; `terminal` says whether lines may be drawn over.
  ProgressDisplay(FILE* out, bool terminal) : out_(out), terminal_(terminal) {}

  void Show(const v1::WatchJobResponse& update, absl::Time now);
  // Says something between the lines, such as that the server is gone.
  void Note(const std::string& text);
  void Finish();

 private:
  void Line(const std::string& text);
  void ShowProgress(const v1::Job& job, absl::Time now);

  FILE* const out_;
  const bool terminal_;
  bool bar_drawn_ = false;
  v1::Job::State state_ = v1::Job::STATE_UNSPECIFIED;
  std::string phase_;
  int tenth_ = -1;
  absl::Time last_progress_ = absl::InfinitePast();
};

}  // namespace retort::client

#endif  // RETORT_CLIENT_PROGRESS_DISPLAY_H_
