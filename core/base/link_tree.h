#ifndef RETORT_CORE_BASE_LINK_TREE_H_
#define RETORT_CORE_BASE_LINK_TREE_H_

#include <string>

#include "absl/status/status.h"

namespace retort::base {

// Makes directory `to` (new, or empty) hold what directory `from` holds: hard
// links to its files where the file system allows them, else copies. For
// files that are never changed in place, only replaced or removed: each of
// both trees may be removed without the other noticing. Symbolic links and
// other things that are no files are refused (InvalidArgument). On the disk
// when it returns OK; on an error `to` may hold a part, for the caller to
// remove. NotFound if `from`, or a file of it, is gone; else the codes of
// core/base/file.h.
absl::Status LinkTree(const std::string& from, const std::string& to);

}  // namespace retort::base

#endif  // RETORT_CORE_BASE_LINK_TREE_H_
