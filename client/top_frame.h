#ifndef RETORT_CLIENT_TOP_FRAME_H_
#define RETORT_CLIENT_TOP_FRAME_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "client/output.h"
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
Table QuotaTable(const v1::ListQuotasResponse& quotas);
Table NodeTable(const v1::Cluster& cluster);
Table RunningTable(const std::vector<v1::Job>& jobs, absl::string_view project);

// The whole: nodes with bars, running jobs, the queue with its reasons, the
// projects. Lines end with newlines.
std::string TopFrame(const TopData& data, absl::string_view project,
                     absl::Time now);

// Cuts a text to a terminal's size, so that each of its lines is one there.
std::string CutTo(absl::string_view text, int columns, int rows);

}  // namespace retort::client

#endif  // RETORT_CLIENT_TOP_FRAME_H_
