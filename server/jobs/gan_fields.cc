#include "server/jobs/gan_fields.h"

#include <cmath>

#include "absl/strings/str_cat.h"

namespace retort::jobs {
namespace {

constexpr double kR1Weight = 0.1;
constexpr int kGanChannels = 32;
constexpr int kMostGanChannels = 1024;
constexpr double kGanLearningRate = 2e-4;

}  // namespace

void ResolveGanFields(const std::string& at, v1::DistillSpec* task,
                      SpecProblems* problems) {
  if (!task->has_gan()) return;
  v1::GanSpec* gan = task->mutable_gan();
  const std::string field = at + ".gan";
  const double weight = gan->weight();
  problems->Require(weight >= 0 && std::isfinite(weight), field + ".weight",
                    absl::StrCat("is ", weight,
                                 "; must be positive, or left out to train "
                                 "without a discriminator"));
  if (weight == 0) {
    problems->Require(gan->r1_weight() == 0 && gan->start_step() == 0 &&
                          gan->channels() == 0 && gan->learning_rate() == 0,
                      field + ".weight",
                      "is missing, and without it there is no discriminator; "
                      "give one, such as 1, or leave gan out");
  }
  if (!(weight > 0)) return;
  if (gan->r1_weight() == 0) gan->set_r1_weight(kR1Weight);
  if (gan->channels() == 0) gan->set_channels(kGanChannels);
  if (gan->learning_rate() == 0) gan->set_learning_rate(kGanLearningRate);
  problems->Require(
      (gan->r1_weight() > 0 && std::isfinite(gan->r1_weight())) ||
          gan->r1_weight() == -1,
      field + ".r1_weight",
      absl::StrCat("is ", gan->r1_weight(),
                   "; must be positive, or -1 to train without it"));
  problems->Require(gan->start_step() >= 0, field + ".start_step",
                    absl::StrCat("is ", gan->start_step(),
                                 "; must be a number of steps, or left out"));
  problems->Require(gan->channels() >= 1 && gan->channels() <= kMostGanChannels,
                    field + ".channels",
                    absl::StrCat("is ", gan->channels(), "; must be in [1, ",
                                 kMostGanChannels, "]"));
  problems->Require(gan->learning_rate() > 0 && gan->learning_rate() <= 1,
                    field + ".learning_rate",
                    absl::StrCat("is ", gan->learning_rate(),
                                 "; must be in (0, 1], usually 1e-5 to 1e-3"));
}

}  // namespace retort::jobs
