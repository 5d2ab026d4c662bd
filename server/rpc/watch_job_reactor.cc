#include "server/rpc/watch_job_reactor.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "server/jobs/job_state.h"
#include "server/jobs/timestamps.h"
#include "server/rpc/status.h"

namespace retort::rpc {
namespace {

constexpr int kEventsAtOnce = 100;

}  // namespace

WatchJobReactor* WatchJobReactor::Create(jobs::JobStore* store,
                                         const v1::WatchJobRequest& request) {
  std::shared_ptr<WatchJobReactor> reactor(new WatchJobReactor(store, request));
  WatchJobReactor* raw = reactor.get();
  raw->self_ = reactor;
  store->feed()->Subscribe(request.name(), reactor);
  raw->Pump();
  return raw;
}

WatchJobReactor::Next WatchJobReactor::Fetch(absl::Status* end) {
  *end = absl::OkStatus();
  if (events_.empty()) {
    // The state is read before the events, so that an end seen here has its
    // event among those read after it.
    const absl::StatusOr<jobs::JobRecord> record = store_->Get(name_);
    absl::StatusOr<std::vector<v1::WatchJobResponse>> events =
        record.ok() ? store_->ListEvents(name_, next_, kEventsAtOnce)
                    : record.status();
    if (!events.ok()) {
      *end = events.status();
      return Next::kEnd;
    }
    events_.assign(events->begin(), events->end());
    if (events_.empty()) {
      if (jobs::IsEnded(record->job.state())) return Next::kEnd;
      const auto progress = store_->feed()->GetProgress(name_);
      if (!progress.has_value() || progress->version <= progress_version_) {
        return Next::kNothing;
      }
      progress_version_ = progress->version;
      message_.Clear();
      v1::JobEvent* event = message_.mutable_event();
      event->set_number(std::max<int64_t>(next_ - 1, 0));
      event->set_kind(v1::JobEvent::KIND_PROGRESS);
      *event->mutable_time() = jobs::ToTimestamp(absl::Now());
      *message_.mutable_job() = record->job;
      // It may have come after the record was read.
      *message_.mutable_job()->mutable_progress() = progress->progress;
      return Next::kMessage;
    }
  }
  message_ = std::move(events_.front());
  events_.pop_front();
  next_ = message_.event().number() + 1;
  return Next::kMessage;
}

void WatchJobReactor::Pump() {
  while (true) {
    bool cancelled;
    {
      absl::MutexLock lock(&mutex_);
      if (busy_ || (!news_ && !cancelled_)) return;
      busy_ = true;
      news_ = false;
      cancelled = cancelled_;
    }
    absl::Status end = absl::CancelledError("cancelled");
    const Next next = cancelled ? Next::kEnd : Fetch(&end);
    if (next == Next::kMessage) {
      StartWrite(&message_);  // OnWriteDone goes on
      return;
    }
    if (next == Next::kEnd) {
      Finish(ToGrpc(end));  // busy_ stays: nothing comes after this
      return;
    }
    absl::MutexLock lock(&mutex_);
    busy_ = false;
  }
}

void WatchJobReactor::OnNews() {
  {
    absl::MutexLock lock(&mutex_);
    news_ = true;
  }
  Pump();
}

void WatchJobReactor::OnWriteDone(bool ok) {
  {
    absl::MutexLock lock(&mutex_);
    busy_ = false;
    news_ = true;  // there may be more
    if (!ok) cancelled_ = true;
  }
  Pump();
}

void WatchJobReactor::OnCancel() {
  {
    absl::MutexLock lock(&mutex_);
    cancelled_ = true;
  }
  Pump();
}

void WatchJobReactor::OnDone() {
  store_->feed()->Unsubscribe(name_, this);
  std::shared_ptr<WatchJobReactor> self = std::move(self_);
}

}  // namespace retort::rpc
