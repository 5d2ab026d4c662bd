#ifndef RETORT_SERVER_AUTH_CALLER_H_
#define RETORT_SERVER_AUTH_CALLER_H_

#include <memory>
#include <set>
#include <string>
#include <utility>

#include "absl/strings/string_view.h"

namespace retort::auth {

// What a method needs of its caller in a project. Each includes the ones
// before it.
enum class Right {
  kRead,     // get, list, watch, logs, metrics
  kUse,      // make, change and remove; sample; export
  kOperate,  // quotas, nodes, the highest priority class
};

// "read", "use", "operate".
absl::string_view RightName(Right right);

// Where a token or a client's certificate leads.
struct Grant {
  // Who it is, for the log and for error messages.
  std::string name;
  // In `projects`.
  Right right = Right::kRead;
  // All that there are, and `projects` is empty.
  bool all_projects = false;
  std::set<std::string> projects;
  // More projects, in which it may only read.
  std::set<std::string> reads;
};

// Who makes a call, and what they may do. Immutable, and so thread-safe.
class Caller {
 public:
  explicit Caller(Grant grant) : grant_(std::move(grant)) {}

  // The caller where there are no tokens: may do all.
  static const std::shared_ptr<const Caller>& Anyone();

  const std::string& name() const { return grant_.name; }
  // Those that it is for; none if it is for all.
  const std::set<std::string>& projects() const { return grant_.projects; }
  // The most it may do anywhere.
  Right right() const { return grant_.right; }

  bool May(Right right, absl::string_view project) const;
  bool MayRead(absl::string_view project) const {
    return May(Right::kRead, project);
  }
  bool MayUse(absl::string_view project) const {
    return May(Right::kUse, project);
  }
  bool MayOperate(absl::string_view project) const {
    return May(Right::kOperate, project);
  }
  // Whether it may operate the machines, which are no project's.
  bool OperatesAll() const {
    return grant_.all_projects && grant_.right == Right::kOperate;
  }

 private:
  const Grant grant_;
};

}  // namespace retort::auth

#endif  // RETORT_SERVER_AUTH_CALLER_H_
