#ifndef RETORT_SERVER_EXECUTOR_CGROUP_H_
#define RETORT_SERVER_EXECUTOR_CGROUP_H_

#include <cstdint>
#include <string>
#include <vector>

// Control groups (version 2), where they are to be had: what a process starts
// stays in its group whatever it does, so a gang that is killed by its group
// leaves nothing behind. No controller is used, and none needs to be enabled.
//
// A server may make groups if its own group is its to write to: as root, or
// under systemd with Delegate=yes.
namespace retort::executor {

// The folder in which this process may make groups; empty, with the reason in
// the log at level debug, if it may not.
std::string FindCgroupParent();

// Makes a group below `parent` and moves processes into it. Returns its
// folder; empty if that fails, with everything as before.
std::string MakeCgroup(const std::string& parent, const std::string& name,
                       const std::vector<int64_t>& pids);

// The folder of a process's group if it was made by MakeCgroup with a name
// that begins with `prefix`, by this server or an earlier one; else empty.
std::string CgroupOf(int64_t pid, const std::string& prefix);

// Sends SIGKILL to all processes of a group.
void KillCgroup(const std::string& folder);

// True once the group is gone; false while a process is in it.
bool RemoveCgroup(const std::string& folder);

// Removes the groups below `parent` whose names begin with `prefix` and that no
// process is in: what gangs left that ended while there was no server.
void RemoveEmptyCgroups(const std::string& parent, const std::string& prefix);

}  // namespace retort::executor

#endif  // RETORT_SERVER_EXECUTOR_CGROUP_H_
