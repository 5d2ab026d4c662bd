#include "server/rpc/stream_logs_reactor.h"

#include <chrono>
#include <utility>

#include "server/jobs/job_state.h"
#include "server/rpc/status.h"

namespace retort::rpc {
namespace {

constexpr std::chrono::milliseconds kPollPeriod(250);

}  // namespace

StreamLogsReactor* StreamLogsReactor::Create(
    jobs::JobStore* store, const std::string& log_path,
    const v1::StreamLogsRequest& request) {
  std::shared_ptr<StreamLogsReactor> reactor(
      new StreamLogsReactor(store, log_path, request));
  StreamLogsReactor* raw = reactor.get();
  raw->self_ = std::move(reactor);
  raw->Step();
  return raw;
}

void StreamLogsReactor::Step() {
  bool cancelled;
  {
    absl::MutexLock lock(&mutex_);
    alarm_.reset();
    cancelled = cancelled_;
  }
  if (cancelled) {
    Finish(grpc::Status(grpc::StatusCode::CANCELLED, "cancelled"));
    return;
  }
  // Read before the file, so that all that a job wrote is seen at its end.
  const absl::StatusOr<jobs::JobRecord> record = store_->Get(name_);
  if (!record.ok()) {
    Finish(ToGrpc(record.status()));
    return;
  }
  const bool last = !follow_ || jobs::IsEnded(record->job.state());
  message_.Clear();
  for (std::string& line : file_.Next(/*at_end=*/last)) {
    message_.add_lines(std::move(line));
  }
  message_.set_next_byte(file_.offset());
  // One who follows hears at once that somebody is there.
  const bool greet = follow_ && !std::exchange(greeted_, true);
  if (!message_.lines().empty() || greet) {
    StartWrite(&message_);
  } else if (last) {
    Finish(grpc::Status::OK);
  } else {
    WaitForMore();
  }
}

void StreamLogsReactor::WaitForMore() {
  auto alarm = std::make_shared<grpc::Alarm>();
  {
    absl::MutexLock lock(&mutex_);
    alarm_ = alarm;
  }
  alarm->Set(std::chrono::system_clock::now() + kPollPeriod,
             [this](bool) { Step(); });
}

void StreamLogsReactor::OnWriteDone(bool ok) {
  if (!ok) {
    absl::MutexLock lock(&mutex_);
    cancelled_ = true;
  }
  Step();
}

void StreamLogsReactor::OnCancel() {
  absl::MutexLock lock(&mutex_);
  // The next step, a fraction of a second away at most, ends the call.
  cancelled_ = true;
}

void StreamLogsReactor::OnDone() {
  std::shared_ptr<StreamLogsReactor> self = std::move(self_);
}

}  // namespace retort::rpc
