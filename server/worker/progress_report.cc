#include "server/worker/progress_report.h"

#include <utility>

#include "core/base/log.h"
#include "server/base/checkpoint_files.h"

namespace retort::worker {
namespace {

constexpr absl::Duration kInterval = absl::Milliseconds(500);

template <typename Timestamp>
void SetTime(absl::Time time, Timestamp* out) {
  const int64_t nanos = absl::ToUnixNanos(time);
  out->set_seconds(nanos / 1000000000);
  out->set_nanos(nanos % 1000000000);
}

void SetEta(absl::Duration remaining, v1::JobProgress* progress) {
  if (remaining < absl::ZeroDuration() || remaining > absl::Hours(24 * 3650)) {
    return;
  }
  progress->mutable_eta()->set_seconds(absl::ToInt64Seconds(remaining));
}

}  // namespace

void TrainReport::OnTick(const train::Tick& tick) {
  internal::v1::Progress message;
  v1::JobProgress* progress = message.mutable_progress();
  progress->set_step(tick.step);
  progress->set_total_steps(tick.iterations);
  progress->set_images(tick.images);
  progress->set_images_per_second(tick.images_per_second);
  progress->set_phase("training");
  SetEta(tick.remaining, progress);
  const auto loss = tick.metrics.find("loss");
  if (loss != tick.metrics.end()) progress->set_loss(loss->second);
  for (const auto& [name, value] : tick.metrics) {
    (*message.mutable_metrics())[name] = value;
  }
  (*message.mutable_metrics())["images_per_second"] = tick.images_per_second;
  SetTime(absl::Now(), message.mutable_time());
  progress_ = *progress;
  outbox_->SetStep(tick.step);
  outbox_->SendProgress(message);
  RETORT_LOG(info, "step {}/{}  {:.1f} images/s  loss {:.5g}", tick.step,
             tick.iterations, tick.images_per_second, progress->loss());
}

void TrainReport::OnCheckpoint(int64_t step, const std::string& directory,
                               const nlohmann::json&) {
  internal::v1::CheckpointWritten message;
  v1::Checkpoint* checkpoint = message.mutable_checkpoint();
  auto written = service::ReadCheckpoint(step, directory);
  // That it is there is news in any case.
  if (written.ok()) *checkpoint = *std::move(written);
  checkpoint->set_step(step);
  SetTime(absl::Now(), checkpoint->mutable_create_time());
  outbox_->SendCheckpoint(message);
  RETORT_LOG(info, "checkpoint of step {} written", step);
}

void TrainReport::OnValidation(int64_t step, const train::Metrics& metrics) {
  internal::v1::Progress message;
  *message.mutable_progress() = progress_;
  message.mutable_progress()->set_step(step);
  message.mutable_progress()->set_phase("training");
  for (const auto& [name, value] : metrics) {
    (*message.mutable_metrics())[name] = value;
    RETORT_LOG(info, "step {}  {} {:.5g}", step, name, value);
  }
  SetTime(absl::Now(), message.mutable_time());
  outbox_->SendProgress(message);
}

void TrainReport::OnWarning(const std::string& message) {
  outbox_->SendWarning(message);
}

void StepReport::Report(const std::string& phase, int64_t step, int64_t total,
                        int64_t images) {
  const absl::Time now = absl::Now();
  const bool first = phase != phase_;
  if (first) {
    phase_ = phase;
    phase_start_ = now;
    first_step_ = step;
    first_images_ = images;
    RETORT_LOG(info, "{}: {} steps", phase, total);
  }
  if (!first && step < total && now - last_ < kInterval) return;
  last_ = now;
  internal::v1::Progress message;
  v1::JobProgress* progress = message.mutable_progress();
  progress->set_phase(phase);
  progress->set_step(step);
  progress->set_total_steps(total);
  progress->set_images(images);
  const absl::Duration spent = now - phase_start_;
  if (step > first_step_) {
    progress->set_images_per_second((images - first_images_) /
                                    absl::ToDoubleSeconds(spent));
    SetEta(spent * (total - step) / (step - first_step_), progress);
  }
  SetTime(now, message.mutable_time());
  outbox_->SetStep(step);
  outbox_->SendProgress(message);
}

void ReportPhase(Outbox* outbox, const std::string& phase) {
  internal::v1::Progress message;
  message.mutable_progress()->set_phase(phase);
  SetTime(absl::Now(), message.mutable_time());
  outbox->SendProgress(message);
  RETORT_LOG(info, "{}", phase);
}

void ReportMetrics(Outbox* outbox, const std::string& phase, int64_t steps,
                   const std::map<std::string, double>& metrics) {
  internal::v1::Progress message;
  message.mutable_progress()->set_phase(phase);
  message.mutable_progress()->set_step(steps);
  message.mutable_progress()->set_total_steps(steps);
  for (const auto& [name, value] : metrics) {
    (*message.mutable_metrics())[name] = value;
  }
  SetTime(absl::Now(), message.mutable_time());
  outbox->SendProgress(message);
}

}  // namespace retort::worker
