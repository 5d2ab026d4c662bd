#ifndef RETORT_SERVER_JOBS_SPEC_PROBLEMS_H_
#define RETORT_SERVER_JOBS_SPEC_PROBLEMS_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "server/base/error.h"

namespace retort::jobs {

// Collects what is wrong with a spec, field by field. Not thread-safe.
class SpecProblems {
 public:
  // Adds a violation of `field`, a path below the spec.
  void Add(absl::string_view field, absl::string_view description) {
    violations_.push_back(
        {absl::StrCat("job.spec.", field), std::string(description)});
  }
  // Adds one unless `ok`.
  void Require(bool ok, absl::string_view field,
               absl::string_view description) {
    if (!ok) Add(field, description);
  }
  // Notes an error that is not about the form of one field (a missing model,
  // something that this build cannot do). The first one counts.
  void Fail(const absl::Status& status) {
    if (failure_.ok()) failure_ = status;
  }

  // Violations so far.
  size_t count() const { return violations_.size(); }

  // Violations first: they can be mended at once.
  absl::Status ToStatus() const {
    if (!violations_.empty()) {
      return service::BadFields(v1::ERROR_REASON_SPEC_INVALID, violations_);
    }
    return failure_;
  }

 private:
  std::vector<service::FieldViolation> violations_;
  absl::Status failure_;
};

}  // namespace retort::jobs

#endif  // RETORT_SERVER_JOBS_SPEC_PROBLEMS_H_
