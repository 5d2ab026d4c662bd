#include "server/worker/replica.h"

#include <algorithm>
#include <utility>

#include "core/base/log.h"
#include "core/base/status_macros.h"
#include "server/base/durations.h"
#include "server/worker/sample_images.h"

namespace retort::worker {
namespace {

using internal::v1::SampleAnswer;
using internal::v1::SampleTask;

// Images of the warm-up: enough for every kernel to see a full batch's shapes.
constexpr int64_t kWarmUpImages = 8;

SampleAnswer ErrorAnswer(int64_t id, const absl::Status& status) {
  SampleAnswer answer;
  answer.set_id(id);
  answer.set_code(static_cast<int>(status.code()));
  answer.set_error(std::string(status.message()));
  return answer;
}

absl::Status Expired() {
  return absl::DeadlineExceededError(
      "the time for this request was up before its images were made; allow "
      "more time or ask for fewer images");
}

}  // namespace

Replica::Replica(Outbox* outbox, base::Clock* clock)
    : outbox_(outbox), clock_(clock != nullptr ? clock : base::RealClock()) {}

absl::Status Replica::Load(const std::string& model_dir) {
  RETORT_ASSIGN_OR_RETURN(model_, LoadModel(model_dir));
  RETORT_RETURN_IF_ERROR(WarmUp());
  const nn::NetworkConfig& config = model_->sampler->config();
  internal::v1::ReplicaReady ready;
  ready.set_width(config.img_resolution);
  ready.set_height(config.img_resolution);
  ready.set_channels(config.img_channels);
  ready.set_classes(config.label_dim);
  outbox_->SendReady(ready);
  RETORT_LOG(info, "ready to draw images of {0}x{0} from a {1} model",
             config.img_resolution, model_->manifest.kind);
  return absl::OkStatus();
}

absl::Status Replica::WarmUp() {
  v1::SampleRequest request;
  request.set_samples(kWarmUpImages);
  RETORT_ASSIGN_OR_RETURN(const sample::SampleOptions options,
                          ToSampleOptions(request, *model_));
  return model_->sampler->Sample(options).status();
}

void Replica::Enqueue(const SampleTask& task) {
  absl::MutexLock lock(&mutex_);
  if (task.cancel()) {
    if (task.id() == running_id_) running_dropped_ = true;
    queue_.remove_if(
        [&](const Request& r) { return r.task.id() == task.id(); });
    return;
  }
  const absl::Time now = clock_->Now();
  Request request{task, now,
                  task.timeout_ms() > 0
                      ? now + absl::Milliseconds(task.timeout_ms())
                      : absl::InfiniteFuture()};
  const auto behind = std::find_if(queue_.begin(), queue_.end(), [&](auto& r) {
    return r.task.request().priority() < task.request().priority();
  });
  queue_.insert(behind, std::move(request));
}

void Replica::DropAll() {
  absl::MutexLock lock(&mutex_);
  queue_.clear();
  running_dropped_ = true;
}

void Replica::Drain() {
  absl::MutexLock lock(&mutex_);
  draining_ = true;
}

void Replica::Stop() {
  absl::MutexLock lock(&mutex_);
  stopped_ = true;
}

void Replica::Run() {
  while (true) {
    std::optional<Request> request = Next();
    if (!request.has_value()) break;
    Answer(*request);
  }
  RefuseRest();
}

std::optional<Replica::Request> Replica::Next() {
  absl::MutexLock lock(&mutex_);
  auto news = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return stopped_ || draining_ || !queue_.empty();
  };
  running_id_ = 0;
  mutex_.Await(absl::Condition(&news));
  if (stopped_ || queue_.empty()) return std::nullopt;
  Request request = std::move(queue_.front());
  queue_.pop_front();
  running_id_ = request.task.id();
  running_deadline_ = request.deadline;
  running_dropped_ = false;
  return request;
}

bool Replica::MustStop() {
  absl::MutexLock lock(&mutex_);
  return stopped_ || running_dropped_ || clock_->Now() >= running_deadline_;
}

void Replica::Answer(const Request& request) {
  const absl::Time start = clock_->Now();
  absl::StatusOr<v1::SampleResponse> response =
      start >= request.deadline ? Expired() : Sample(request, start);
  const int64_t id = request.task.id();
  if (response.ok()) {
    SampleAnswer answer;
    answer.set_id(id);
    *answer.mutable_response() = *std::move(response);
    outbox_->SendAnswer(std::move(answer));
    return;
  }
  absl::Status status = response.status();
  if (absl::IsCancelled(status)) {
    absl::MutexLock lock(&mutex_);
    if (running_dropped_) return;  // nobody waits
    status = stopped_ ? absl::UnavailableError("the replica is being stopped")
                      : Expired();
  }
  outbox_->SendAnswer(ErrorAnswer(id, status));
}

absl::StatusOr<v1::SampleResponse> Replica::Sample(const Request& request,
                                                   absl::Time start) {
  const v1::SampleRequest& wanted = request.task.request();
  RETORT_ASSIGN_OR_RETURN(sample::SampleOptions options,
                          ToSampleOptions(wanted, *model_));
  options.stop = [this] { return MustStop(); };
  RETORT_ASSIGN_OR_RETURN(const sample::SampleResult result,
                          model_->sampler->Sample(options));
  RETORT_ASSIGN_OR_RETURN(v1::SampleResponse response,
                          ToResponse(result, wanted.format()));
  v1::SampleStatistics* statistics = response.mutable_statistics();
  statistics->set_network_calls(result.network_calls);
  service::SetDuration(start - request.enqueued,
                       statistics->mutable_queue_time());
  service::SetDuration(clock_->Now() - start,
                       statistics->mutable_compute_time());
  return response;
}

void Replica::RefuseRest() {
  std::list<Request> rest;
  {
    absl::MutexLock lock(&mutex_);
    rest.swap(queue_);
  }
  for (const Request& request : rest) {
    outbox_->SendAnswer(
        ErrorAnswer(request.task.id(),
                    absl::UnavailableError("the replica is being stopped")));
  }
}

}  // namespace retort::worker
