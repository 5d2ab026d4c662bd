#include <unistd.h>

#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/commands/commands.h"
#include "client/interrupt_note.h"
#include "client/output.h"
#include "client/progress_display.h"
#include "client/redial.h"
#include "client/result_text.h"
#include "core/base/status_macros.h"
#include "retort/v1/job_service.grpc.pb.h"

namespace retort::client {
namespace {

bool IsEnd(v1::Job::State state) {
  return state == v1::Job::STATE_SUCCEEDED || state == v1::Job::STATE_FAILED ||
         state == v1::Job::STATE_CANCELLED;
}

// Follows one job over as many streams as it takes.
class Watcher {
 public:
  Watcher(Context* context, const std::string& name)
      : context_(context),
        stub_(context->NewStub<v1::JobService>()),
        display_(stdout, !context->options.json && isatty(STDOUT_FILENO)) {
    request_.set_name(name);
  }

  absl::Status Run() {
    while (true) {
      const absl::Status status = ReadStream();
      // A stream that broke may have stopped at an end that a job was resumed
      // from since.
      if ((status.ok() && IsEnd(job_.state())) ||
          job_.state() == v1::Job::STATE_SUCCEEDED) {
        break;
      }
      if (!redial_.ShouldTry(status, absl::Now())) return status;
      Note("the server is away; the job may go on; trying again");
      absl::SleepFor(kRedialPause);
    }
    display_.Finish();
    PrintEnd();
    if (job_.state() != v1::Job::STATE_SUCCEEDED) {
      context_->exit_code = kExitJobFailed;
    }
    return absl::OkStatus();
  }

 private:
  absl::Status ReadStream() {
    auto call = context_->NewCall(Context::CallKind::kLong);
    auto stream = stub_->WatchJob(call.get(), request_);
    v1::WatchJobResponse update;
    while (stream->Read(&update)) {
      redial_.Heard();
      noted_ = false;
      job_ = update.job();
      // Progress carries the number of an event that was seen already.
      if (update.event().kind() != v1::JobEvent::KIND_PROGRESS) {
        request_.set_from_event(update.event().number() + 1);
      }
      if (context_->options.json) {
        puts(ToJson(update, /*indented=*/false).c_str());
        fflush(stdout);
      } else {
        display_.Show(update, absl::Now());
      }
    }
    return context_->Check(stream->Finish());
  }

  void Note(const std::string& text) {
    if (!std::exchange(noted_, true) && !context_->options.json) {
      display_.Note(text);
    }
  }

  void PrintEnd() {
    if (context_->options.json) return;
    for (const std::string& model : job_.models()) {
      puts(absl::StrCat("model: ", ShortName(model)).c_str());
    }
    for (const v1::EvaluationResult& r : job_.results()) {
      puts(ResultText(r).c_str());
    }
    if (job_.state() != v1::Job::STATE_SUCCEEDED) {
      puts(absl::StrCat("its log: retort jobs logs ", ShortName(job_.name()))
               .c_str());
    }
  }

  Context* const context_;
  const std::unique_ptr<v1::JobService::Stub> stub_;
  ProgressDisplay display_;
  Redial redial_;
  v1::WatchJobRequest request_;
  v1::Job job_;
  bool noted_ = false;
};

}  // namespace

absl::Status WatchJob(Context* context, const std::string& name) {
  if (!context->options.json) {
    SayWhenInterrupted(absl::StrCat(
        "stopped watching; the job goes on without that. Watch it again with: "
        "retort jobs watch ",
        WrittenName(name)));
  }
  return Watcher(context, name).Run();
}

void AddJobsWatch(CLI::App* parent, Context* context) {
  auto name = std::make_shared<std::string>();
  CLI::App* command =
      AddCommand(parent, context, "watch",
                 "Follow a job to its end; exit code 1 if it does not succeed",
                 [=] { return WatchJob(context, context->Job(*name)); });
  command->add_option("JOB", *name, "Id or full name")->required();
  command->footer(
      "Ctrl-C ends the watching, not the job. With --json each event is one "
      "line.\nExample:\n  retort jobs watch my-teacher && echo done");
}

}  // namespace retort::client
