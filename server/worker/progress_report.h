#ifndef RETORT_SERVER_WORKER_PROGRESS_REPORT_H_
#define RETORT_SERVER_WORKER_PROGRESS_REPORT_H_

#include <cstdint>
#include <map>
#include <string>

#include "absl/time/time.h"
#include "core/train/progress.h"
#include "retort/internal/v1/worker.pb.h"
#include "server/worker/outbox.h"

namespace retort::worker {

// What a training run says, as messages to the server and lines in the log. Of
// several ranks, all but rank 0 only beat.
class TrainReport : public train::ProgressListener {
 public:
  explicit TrainReport(Outbox* outbox) : outbox_(outbox) {}

  void OnTick(const train::Tick& tick) override;
  void OnStep(int64_t step) override { outbox_->SetStep(step); }
  void OnActivity(const char* activity, bool waiting) override {
    outbox_->SetActivity(activity, waiting);
  }
  void OnCheckpoint(int64_t step, const std::string& directory,
                    const nlohmann::json& manifest) override;
  void OnValidation(int64_t step, const train::Metrics& metrics) override;
  void OnWarning(const std::string& message) override;

 private:
  Outbox* const outbox_;
  // Of the newest tick: a validation reports numbers, and no other progress.
  v1::JobProgress progress_;
};

// Progress of other tasks: steps of a phase, at most twice a second, with
// speed and remaining time counted from the first report of the task on.
class StepReport {
 public:
  explicit StepReport(Outbox* outbox) : outbox_(outbox) {}

  // `step` of `total`; `images` made or seen so far. The first and the last
  // report of a phase always go out.
  void Report(const std::string& phase, int64_t step, int64_t total,
              int64_t images);

 private:
  Outbox* const outbox_;
  std::string phase_;
  absl::Time phase_start_;
  int64_t first_step_ = 0;
  int64_t first_images_ = 0;
  absl::Time last_ = absl::InfinitePast();
};

// A progress message with a phase alone: what the task does before its first
// step.
void ReportPhase(Outbox* outbox, const std::string& phase);

// Numbers of a task that has done its `steps`, as metrics at that step.
void ReportMetrics(Outbox* outbox, const std::string& phase, int64_t steps,
                   const std::map<std::string, double>& metrics);

}  // namespace retort::worker

#endif  // RETORT_SERVER_WORKER_PROGRESS_REPORT_H_
