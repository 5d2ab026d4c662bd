#include "server/jobs/student_fields.h"

#include <cmath>

#include "absl/strings/str_cat.h"

namespace retort::jobs {
namespace {

using Distill = v1::DistillSpec;

constexpr int64_t kMaxGridTimes = 4096;
constexpr double kTargetRate = 0.999;
// Where the authors' rate starts on ImageNet and LSUN; 0.999 would give a
// target that hardly moves once the grid has grown.
constexpr double kFirstTargetRate = 0.95;

void ResolveCurriculum(const std::string& at, Distill* task,
                       SpecProblems* problems) {
  if (task->curriculum() == Distill::CURRICULUM_UNSPECIFIED) {
    task->set_curriculum(Distill::CURRICULUM_FIXED);
  }
  problems->Require(Distill::Curriculum_IsValid(task->curriculum()),
                    at + ".curriculum",
                    "is unknown; use CURRICULUM_FIXED, CURRICULUM_PROGRESSIVE "
                    "or CURRICULUM_PROGRESSIVE_GRID");
  const std::string start = at + ".start_grid_size";
  if (task->curriculum() == Distill::CURRICULUM_FIXED) {
    problems->Require(task->start_grid_size() == 0, start,
                      "is for a curriculum; give curriculum: "
                      "CURRICULUM_PROGRESSIVE too, or leave this out");
    return;
  }
  problems->Require(task->method() != Distill::METHOD_CTM, at + ".curriculum",
                    "is for METHOD_CM and METHOD_CT only; leave it out for "
                    "METHOD_CTM");
  if (task->start_grid_size() == 0) task->set_start_grid_size(2);
  problems->Require(task->start_grid_size() >= 2 &&
                        task->start_grid_size() <= task->grid_size(),
                    start,
                    absl::StrCat("is ", task->start_grid_size(),
                                 "; must be in [2, grid_size, which is ",
                                 task->grid_size(), "]"));
}

void ResolveTargetRate(const std::string& at, Distill* task,
                       SpecProblems* problems) {
  if (task->target_ema_rate() == 0) {
    const bool first = task->curriculum() == Distill::CURRICULUM_PROGRESSIVE;
    task->set_target_ema_rate(first ? kFirstTargetRate : kTargetRate);
  }
  const double rate = task->target_ema_rate();
  problems->Require(
      (rate >= 0 && rate < 1) || rate == -1, at + ".target_ema_rate",
      absl::StrCat("is ", rate,
                   "; must be in [0, 1), or -1 for the student itself as the "
                   "target"));
}

// Fields that only consistency trajectory models have.
void ResolveTrajectory(const std::string& at, Distill* task,
                       SpecProblems* problems) {
  if (task->method() != Distill::METHOD_CTM) {
    const char* const kOnlyCtm = "is for METHOD_CTM only; leave it out";
    problems->Require(task->max_ode_steps() == 0 || task->max_ode_steps() == 1,
                      at + ".max_ode_steps", kOnlyCtm);
    problems->Require(task->dsm_weight() == 0 || task->dsm_weight() == -1,
                      at + ".dsm_weight", kOnlyCtm);
    problems->Require(!task->target_inner_ema(), at + ".target_inner_ema",
                      kOnlyCtm);
    problems->Require(!task->zero_init_second_time(),
                      at + ".zero_init_second_time", kOnlyCtm);
    task->set_max_ode_steps(1);
    task->set_dsm_weight(-1);
    return;
  }
  if (task->max_ode_steps() == 0)
    task->set_max_ode_steps(task->grid_size() - 1);
  if (task->dsm_weight() == 0) task->set_dsm_weight(1);
  if (!task->has_zero_init_second_time()) task->set_zero_init_second_time(true);
  problems->Require(
      task->max_ode_steps() >= 1 && task->max_ode_steps() < task->grid_size(),
      at + ".max_ode_steps",
      absl::StrCat("is ", task->max_ode_steps(), "; a grid of ",
                   task->grid_size(), " times has 1 to ", task->grid_size() - 1,
                   " steps"));
  problems->Require(
      (task->dsm_weight() > 0 && std::isfinite(task->dsm_weight())) ||
          task->dsm_weight() == -1,
      at + ".dsm_weight",
      absl::StrCat("is ", task->dsm_weight(),
                   "; must be positive, or -1 to train without it"));
}

}  // namespace

void ResolveStudentFields(const std::string& at, Distill* task,
                          SpecProblems* problems) {
  if (task->grid_size() == 0) task->set_grid_size(18);
  const bool grid =
      task->grid_size() >= 2 && task->grid_size() <= kMaxGridTimes;
  problems->Require(grid, at + ".grid_size",
                    absl::StrCat("is ", task->grid_size(), "; must be in [2, ",
                                 kMaxGridTimes, "]"));
  if (task->step_strategy() == Distill::STEP_STRATEGY_UNSPECIFIED) {
    task->set_step_strategy(Distill::STEP_STRATEGY_WEIGHTED);
  }
  problems->Require(Distill::StepStrategy_IsValid(task->step_strategy()),
                    at + ".step_strategy", "is unknown");
  if (task->weighting() == Distill::WEIGHTING_UNSPECIFIED) {
    task->set_weighting(Distill::WEIGHTING_UNIFORM);
  }
  problems->Require(Distill::Weighting_IsValid(task->weighting()),
                    at + ".weighting",
                    "is unknown; use WEIGHTING_UNIFORM, _KARRAS, _SNR, "
                    "_SNR_PLUS_ONE or _TRUNCATED_SNR");
  if (grid) {  // what follows is measured by it
    ResolveCurriculum(at, task, problems);
    ResolveTrajectory(at, task, problems);
  }
  ResolveTargetRate(at, task, problems);
}

void CheckTeacherOrNone(const std::string& at, const Distill& task,
                        SpecProblems* problems) {
  const bool alone =
      task.method() == Distill::METHOD_CT && task.teacher().empty();
  if (!alone) {
    problems->Require(!task.has_network(), at + ".network",
                      "is for METHOD_CT without a teacher only; leave it out: "
                      "a student has its teacher's network");
    return;
  }
  problems->Require(
      task.preconditioning_artifact().empty(), at + ".preconditioning_artifact",
      "holds tables of a teacher, and the job has none; name that teacher, "
      "whose weights then start the student, or leave this out");
  const v1::ValidationSpec& validation = task.training().validation();
  problems->Require(
      validation.every() == 0 || !validation.feature_extractor().empty(),
      at + ".training.validation.feature_extractor",
      "is missing: without a teacher there are no end points to measure "
      "distances to; name a model of kind FEATURE_EXTRACTOR, or leave "
      "validation out");
}

}  // namespace retort::jobs
