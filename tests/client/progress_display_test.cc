#include "client/progress_display.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace retort::client {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

v1::WatchJobResponse At(int64_t step) {
  v1::WatchJobResponse update;
  update.mutable_event()->set_kind(v1::JobEvent::KIND_PROGRESS);
  v1::Job* job = update.mutable_job();
  job->set_name("projects/p/jobs/j");
  job->set_state(v1::Job::STATE_RUNNING);
  job->mutable_progress()->set_step(step);
  job->mutable_progress()->set_total_steps(100);
  job->mutable_progress()->set_phase("training");
  return update;
}

// What the display writes for the updates, one second apart.
std::string Shown(bool terminal,
                  const std::vector<v1::WatchJobResponse>& updates) {
  char* text = nullptr;
  size_t size = 0;
  FILE* out = open_memstream(&text, &size);
  ProgressDisplay display(out, terminal);
  absl::Time now = absl::UnixEpoch();
  for (const v1::WatchJobResponse& update : updates) {
    display.Show(update, now += absl::Seconds(1));
  }
  display.Finish();
  fclose(out);
  std::string result(text, size);
  free(text);
  return result;
}

TEST(ProgressDisplayTest, TextHasStepsSpeedLossAndEta) {
  v1::JobProgress p = At(20).job().progress();
  p.set_images_per_second(63.14);
  p.set_loss(0.01234);
  p.mutable_eta()->set_seconds(123);
  EXPECT_EQ(ProgressText(p),
            "training  20/100  63.1 images/s  loss 0.01234  ETA 2 m 03 s");
}

TEST(ProgressDisplayTest, BarFillsWithTheFraction) {
  EXPECT_EQ(ProgressBar(0, 4), "[----]");
  EXPECT_EQ(ProgressBar(0.5, 4), "[##--]");
  EXPECT_EQ(ProgressBar(1, 4), "[####]");
  EXPECT_EQ(ProgressBar(7, 4), "[####]");
}

TEST(ProgressDisplayTest, TheBarIsNeverLongerThanTheTerminal) {
  v1::JobProgress p = At(20).job().progress();
  p.set_images_per_second(63.14);
  p.set_loss(0.01234);
  p.mutable_eta()->set_seconds(123);
  EXPECT_THAT(BarLine(p, 120), HasSubstr("[####--------------------]  20%  "));
  EXPECT_THAT(BarLine(p, 80), HasSubstr("ETA 2 m 03 s"));
  for (const int columns : {100, 80, 40, 1}) {
    const std::string line = BarLine(p, columns);
    EXPECT_LT(line.size(), static_cast<size_t>(columns));
  }
}

TEST(ProgressDisplayTest, TellsOfCheckpointsEverywhere) {
  for (const bool terminal : {false, true}) {
    v1::WatchJobResponse update = At(20);
    update.mutable_event()->set_kind(v1::JobEvent::KIND_CHECKPOINT);
    update.mutable_event()->set_message("checkpoint of step 20");
    EXPECT_THAT(Shown(terminal, {update}),
                HasSubstr("checkpoint of step 20\n"));
  }
}

TEST(ProgressDisplayTest, DrawsOverTheBarOnATerminal) {
  const std::string shown = Shown(true, {At(10), At(11), At(12)});
  EXPECT_THAT(shown, HasSubstr("j: RUNNING\n"));
  EXPECT_THAT(shown, HasSubstr("\r[##"));
  EXPECT_THAT(shown, HasSubstr("12/100"));
}

TEST(ProgressDisplayTest, WritesFewPlainLinesElsewhere) {
  const std::string shown = Shown(false, {At(10), At(11), At(12), At(20)});
  EXPECT_THAT(shown, HasSubstr("10/100"));
  EXPECT_THAT(shown, Not(HasSubstr("11/100")));
  EXPECT_THAT(shown, HasSubstr("20/100"));
  EXPECT_THAT(shown, Not(HasSubstr("\r")));
}

}  // namespace
}  // namespace retort::client
