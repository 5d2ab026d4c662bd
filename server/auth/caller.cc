#include "server/auth/caller.h"

#include <utility>

namespace retort::auth {

absl::string_view RightName(Right right) {
  switch (right) {
    case Right::kRead:
      return "read";
    case Right::kUse:
      return "use";
    case Right::kOperate:
      return "operate";
  }
  return "?";
}

const std::shared_ptr<const Caller>& Caller::Anyone() {
  static const auto* const anyone =
      new std::shared_ptr<const Caller>(std::make_shared<Caller>(Grant{
          .name = "anyone", .right = Right::kOperate, .all_projects = true}));
  return *anyone;
}

bool Caller::May(Right right, absl::string_view project) const {
  const std::string key(project);
  if (right == Right::kRead && grant_.reads.count(key) > 0) return true;
  return right <= grant_.right &&
         (grant_.all_projects || grant_.projects.count(key) > 0);
}

}  // namespace retort::auth
