#ifndef RETORT_CLIENT_TOP_FRAME_H_
#define RETORT_CLIENT_TOP_FRAME_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "client/table.h"
#include "retort/v1/cluster_service.pb.h"
#include "retort/v1/job_service.pb.h"

// What `retort top` and the commands about parts of the cluster print.
namespace retort::client {

// What a frame is drawn from.
struct TopData {
  v1::Cluster cluster;
  std::vector<v1::Job> running;
  v1::ListQueueResponse queue;  // the first of it
  v1::ListQuotasResponse quotas;
};

// "projects/vision" for "vision" and for itself.
std::string ProjectName(absl::string_view project);

// Jobs of `project` are called by their ids alone.
Table QueueTable(const v1::ListQueueResponse& queue, absl::string_view project,
                 absl::Time now);
// For the help of commands that print it.
inline constexpr char kQuotaColumns[] =
    "GPU-H/MONTH: GPU-hours used in this calendar month (UTC), and how many "
    "may be.\nUSAGE: GPU-hours used, those of a day ago counting half, and so "
    "on; the fair\nshare goes by it, divided by WEIGHT.\n";
Table QuotaTable(const v1::ListQuotasResponse& quotas);
Table NodeTable(const v1::Cluster& cluster);
Table RunningTable(const std::vector<v1::Job>& jobs, absl::string_view project);

// A line about the running jobs that are of none of the projects in `quotas`,
// which are those that the caller may read; "" if there are none.
std::string OthersText(const v1::Cluster& cluster,
                       const v1::ListQuotasResponse& quotas);

// The whole: nodes with bars, running jobs, the queue with its reasons, the
// projects. Lines end with newlines, and have at most `columns` characters:
// tables lose what matters least.
std::string TopFrame(const TopData& data, absl::string_view project,
                     absl::Time now, int columns);

// Cuts a text to a terminal's size, so that each of its lines is one there.
// The last one says how many are left out.
std::vector<std::string> CutTo(absl::string_view text, int columns, int rows);

}  // namespace retort::client

#endif  // RETORT_CLIENT_TOP_FRAME_H_
