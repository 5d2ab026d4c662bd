#ifndef RETORT_SERVER_JOBS_JOB_FILTER_H_
#define RETORT_SERVER_JOBS_JOB_FILTER_H_

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "retort/v1/job_service.pb.h"
#include "server/jobs/job_state.h"

namespace retort::jobs {

// ListJobsRequest.filter, parsed: comparisons joined by AND, each
// `FIELD OPERATOR VALUE`.
//
//   field                          operators      value
//   state, task, method,           = != :         a name, short or in full, in
//   priority_class                                any case: running,
//                                                 STATE_RUNNING
//   priority                       = != < > :     a whole number
//   create_time                    = != < > :     2026-01-31, or RFC 3339
//                                                 (UTC where no zone is named)
//   display_name, job_id,          = != < > :     a text; `:` contains, and
//   labels.KEY                                    `:*` is there at all
//   labels                         :              a key that is there
//
// `:` of the others is `=`. What a job does not have (a label, a method) is ""
// and equals nothing else. Values with spaces or other characters than
// letters, digits and _ - . + / stand in "", with \" and \\ within.
//
// A value; thread-safe as such.
class JobFilter {
 public:
  // One that holds for every job.
  JobFilter() = default;

  // InvalidArgument (BadRequest on "filter") says at which character, counted
  // from 1, what was expected instead of what.
  static absl::StatusOr<JobFilter> Parse(absl::string_view text);

  bool Matches(const v1::Job& job) const;

  // The states that a job can be in for which this holds; nullopt if it says
  // nothing about them. For asking a store for fewer jobs.
  std::optional<std::vector<State>> States() const;

  // True if it holds for every job.
  bool empty() const { return comparisons_.empty(); }
  // As it was written.
  const std::string& text() const { return text_; }

  enum class Operator { kEqual, kNotEqual, kLess, kGreater, kHas };
  enum class Field {
    kState,
    kTask,
    kMethod,
    kPriority,
    kPriorityClass,
    kDisplayName,
    kJobId,
    kLabel,
    kLabels,
    kCreateTime
  };
  struct Comparison {
    Field field = Field::kState;
    std::string label;  // its key
    Operator op = Operator::kEqual;
    // Names of states, tasks and so on are their numbers.
    std::variant<int64_t, std::string, absl::Time> value;
  };

 private:
  std::string text_;
  std::vector<Comparison> comparisons_;
};

}  // namespace retort::jobs

#endif  // RETORT_SERVER_JOBS_JOB_FILTER_H_
