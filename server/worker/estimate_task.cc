#include "server/worker/estimate_task.h"

#include <algorithm>
#include <map>

#include "core/analytic/precondition.h"
#include "core/base/log.h"
#include "core/base/run_dir.h"
#include "core/base/status_macros.h"
#include "core/train/fence.h"
#include "server/worker/job_fence.h"
#include "server/worker/loaded_model.h"
#include "server/worker/progress_report.h"
#include "server/worker/spec_to_options.h"

namespace retort::worker {

using internal::v1::TaskEnded;

namespace {

// What the estimation cost, to the log and as metrics of the job.
void ReportCost(const TaskContext& context,
                const analytic::PreconditioningArtefact& artefact,
                int64_t steps) {
  double worst_l = 0;
  for (const analytic::KnotStatistics& knot : artefact.statistics.knots) {
    worst_l = std::max(worst_l, knot.l_se);
  }
  std::map<std::string, double> metrics = {
      {"largest_error_of_l", worst_l},
      {"forward_passes", static_cast<double>(artefact.forward_equivalents())},
      {"seconds", artefact.seconds}};
  const auto share = artefact.CostShare();
  if (share) metrics["cost_share"] = *share;
  ReportMetrics(context.outbox, "estimated", steps, metrics);
  const std::string sentence = analytic::CostSentence(artefact);
  RETORT_LOG(info, "{}", sentence);
  if (share && *share > analytic::kLargestCostShare) {
    context.outbox->SendWarning(sentence);
  }
}

}  // namespace

absl::StatusOr<TaskEnded> EstimatePreconditioning(
    const TaskContext& context, const v1::EstimatePreconditioningSpec& spec) {
  const base::JobDir dir(context.assignment.job_dir());
  const train::Fence fence = FenceOf(context.assignment);
  train::SweepTemporaries(fence, dir);
  ReportPhase(context.outbox, "loading teacher and data");
  context.outbox->SetActivity("loading teacher and data", /*waiting=*/false);
  RETORT_ASSIGN_OR_RETURN(const auto dataset, LoadDataset(spec.data()));
  RETORT_ASSIGN_OR_RETURN(const std::string teacher_dir,
                          context.ModelDir(spec.teacher()));
  RETORT_ASSIGN_OR_RETURN(LoadedNetwork teacher, LoadNetwork(teacher_dir));
  RETORT_ASSIGN_OR_RETURN(
      const analytic::TeacherSource source,
      analytic::MakeTeacherSource(teacher.network, *dataset,
                                  teacher.manifest.weights_sha256));
  const analytic::PreconditionOptions options = ToPreconditionOptions(spec);
  StepReport report(context.outbox);
  // Steps are network calls, which is what the time goes by.
  const int64_t total = options.MaxNetworkCalls();
  RETORT_ASSIGN_OR_RETURN(
      const analytic::PreconditioningArtefact artefact,
      analytic::EstimatePreconditioning(
          source, options, base::RealClock(),
          [&](const analytic::EstimateProgress& p) {
            const auto step = static_cast<int64_t>(p.fraction * total);
            report.Report("teacher " + p.stage, step, total, step);
          },
          [&] { return context.StoppingAt("estimating"); }));
  RETORT_RETURN_IF_ERROR(WriteWhenThereIsRoom(context, [&] {
    return train::PlaceDir(
        fence, dir.result_dir(), [&](const std::string& directory) {
          return analytic::WriteArtefact(artefact, directory).status();
        });
  }));
  ReportCost(context, artefact, total);
  if (artefact.moments) {
    RETORT_ASSIGN_OR_RETURN(const std::string gaps,
                            analytic::GapTable(artefact));
    RETORT_LOG(info, "state gaps with the teacher as the student:\n{}", gaps);
  }
  TaskEnded ended = SucceededEnd();
  ended.add_model_dirs("result");
  return ended;
}

}  // namespace retort::worker
