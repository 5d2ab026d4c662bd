#include "client/progress_display.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/names.h"
#include "client/output.h"
#include "client/spec_file.h"
#include "client/terminal.h"

namespace retort::client {
namespace {

constexpr int kBarWidth = 24;
constexpr int kLeastBarWidth = 6;
constexpr absl::Duration kPlainInterval = absl::Seconds(30);

double Fraction(const v1::JobProgress& p) {
  return p.total_steps() > 0 ? static_cast<double>(p.step()) / p.total_steps()
                             : 0;
}

std::string StateName(v1::Job::State state) {
  const auto* value = v1::Job::State_descriptor()->FindValueByNumber(state);
  if (value == nullptr) return absl::StrCat("state ", state);
  return value->name().substr(sizeof("STATE_") - 1);
}

}  // namespace

std::string ProgressText(const v1::JobProgress& p) {
  std::string text = p.phase();
  auto add = [&text](const std::string& part) {
    absl::StrAppend(&text, text.empty() ? "" : "  ", part);
  };
  if (p.total_steps() > 0) add(absl::StrCat(p.step(), "/", p.total_steps()));
  if (p.images_per_second() > 0) {
    add(absl::StrFormat("%.1f images/s", p.images_per_second()));
  }
  if (p.loss() != 0) add(absl::StrFormat("loss %.4g", p.loss()));
  if (p.has_eta()) add(absl::StrCat("ETA ", Period(FromProto(p.eta()))));
  return text;
}

std::string ProgressBar(double fraction, int width) {
  const int full =
      std::clamp(static_cast<int>(fraction * width + 1e-9), 0, width);
  return absl::StrCat("[", std::string(full, '#'),
                      std::string(width - full, '-'), "]");
}

std::string BarLine(const v1::JobProgress& p, int columns) {
  const double fraction = Fraction(p);
  const std::string text =
      absl::StrFormat("%3.0f%%  %s", 100 * fraction, ProgressText(p));
  // Room for "^C", and for the cursor behind it.
  const int room = std::max(columns - 3, 0);
  // Beside the text there are brackets and a space.
  const int bar = std::min(room - static_cast<int>(text.size()) - 3, kBarWidth);
  if (bar >= kLeastBarWidth) {
    return absl::StrCat(ProgressBar(fraction, bar), " ", text);
  }
  return text.substr(0, room);
}

void ProgressDisplay::Show(const v1::WatchJobResponse& update, absl::Time now) {
  const v1::Job& job = update.job();
  if (job.state() != state_) {
    state_ = job.state();
    Line(absl::StrCat(ShortName(job.name()), ": ", StateName(state_),
                      job.state_reason().empty()
                          ? ""
                          : absl::StrCat(" (", job.state_reason(), ")")));
  }
  switch (update.event().kind()) {
    case v1::JobEvent::KIND_WARNING:
      Line(absl::StrCat("warning: ", update.event().message()));
      break;
    case v1::JobEvent::KIND_CHECKPOINT:
    case v1::JobEvent::KIND_RESULT:
      Line(update.event().message());
      break;
    default:
      break;
  }
  if (state_ == v1::Job::STATE_RUNNING && job.has_progress()) {
    ShowProgress(job, now);
  }
}

void ProgressDisplay::ShowProgress(const v1::Job& job, absl::Time now) {
  const v1::JobProgress& p = job.progress();
  const double fraction = Fraction(p);
  if (terminal_) {
    absl::FPrintF(out_, "\r%s\033[K",
                  BarLine(p, TerminalSizeOf(fileno(out_)).columns));
    fflush(out_);
    bar_drawn_ = true;
    return;
  }
  const int tenth = static_cast<int>(fraction * 10);
  if (tenth == tenth_ && p.phase() == phase_ &&
      now - last_progress_ < kPlainInterval) {
    return;
  }
  tenth_ = tenth;
  phase_ = p.phase();
  last_progress_ = now;
  Line(absl::StrFormat("%3.0f%%  %s", 100 * fraction, ProgressText(p)));
}

void ProgressDisplay::Note(const std::string& text) { Line(text); }

void ProgressDisplay::Line(const std::string& text) {
  if (bar_drawn_) fputs("\r\033[K", out_);
  bar_drawn_ = false;
  absl::FPrintF(out_, "%s\n", text);
  fflush(out_);
}

void ProgressDisplay::Finish() {
  if (bar_drawn_) fputs("\n", out_);
  bar_drawn_ = false;
}

}  // namespace retort::client
