#include "server/worker/train_task.h"

#include <torch/utils.h>

#include <memory>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/base/run_dir.h"
#include "core/base/status_macros.h"
#include "core/train/trainer.h"
#include "server/worker/job_fence.h"
#include "server/worker/join_gang.h"
#include "server/worker/loaded_model.h"
#include "server/worker/perceptual_distance.h"
#include "server/worker/progress_report.h"
#include "server/worker/spec_to_options.h"
#include "server/worker/student_jump.h"
#include "server/worker/validation.h"

namespace retort::worker {
namespace {

using internal::v1::TaskEnded;
using nlohmann::json;

json Lineage(const TaskContext& context) {
  return {{"job", context.assignment.job_name()},
          {"spec_sha256", context.assignment.spec_sha256()}};
}

// What the task is at before its first step, said by rank 0 for the gang.
void Phase(const TaskContext& context, const char* phase) {
  context.outbox->SetActivity(phase, /*waiting=*/false);
  if (context.assignment.rank() == 0) ReportPhase(context.outbox, phase);
}

// The images to train on: the spec's, or a step's worth to rehearse with.
absl::StatusOr<std::unique_ptr<data::Dataset>> Images(
    const TaskContext& context, const v1::DataSpec& spec, int64_t batch_size) {
  if (context.rehearsal == nullptr) return LoadDataset(spec);
  return MakeUpImages(*context.rehearsal, batch_size);
}

// A network from scratch, which has the classes of its data.
absl::StatusOr<std::shared_ptr<nn::EdmDenoiser>> MakeNetwork(
    const TaskContext& context, const NetworkFields& fields, uint64_t seed,
    const data::Dataset& dataset) {
  if (dataset.label_dim() == 0 && !fields.data.unconditional() &&
      context.rehearsal == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat(dataset.name(),
                     " has no labels (no dataset.json, or null in it); set "
                     "data.unconditional to train without classes"));
  }
  RETORT_RETURN_IF_ERROR(ToSchedule(fields.noise).Validate());
  RETORT_ASSIGN_OR_RETURN(
      const nn::NetworkConfig config,
      NewNetwork(fields, {dataset.resolution(), dataset.channels(),
                          dataset.label_dim()}));
  return nn::CreateDenoiser(config, seed);
}

// Measures the run while it trains, as its spec says, against what the teacher
// makes of the same noise if there is one.
absl::Status AddValidation(const TaskContext& context,
                           const v1::ValidationSpec& spec,
                           const math::NoiseSchedule& schedule,
                           const std::shared_ptr<nn::EdmDenoiser>& teacher,
                           train::TrainParts* parts) {
  if (spec.every() == 0 || !parts->comm->lead()) return absl::OkStatus();
  Phase(context, "preparing validation");
  RETORT_ASSIGN_OR_RETURN(
      std::shared_ptr<Validation> validation,
      Validation::Create(context, spec,
                         {parts->student.get(), teacher, parts->jump, schedule,
                          parts->dataset}));
  parts->validate = [validation](const io::TensorMap& weights) {
    return validation->Measure(weights);
  };
  return absl::OkStatus();
}

// Runs the trainer and says how it ended.
absl::StatusOr<TaskEnded> Run(const TaskContext& context,
                              const train::TrainOptions& options,
                              train::TrainParts parts) {
  TrainReport report(context.outbox);
  parts.job_dir = base::JobDir(context.assignment.job_dir());
  parts.start_from = context.assignment.start_from();
  parts.listener = &report;
  parts.control = context.control->flags();
  if (context.rehearsal == nullptr) parts.fence = FenceOf(context.assignment);
  RETORT_ASSIGN_OR_RETURN(auto trainer, train::Trainer::Create(options, parts));
  if (context.rehearsal != nullptr) {
    RETORT_RETURN_IF_ERROR(Rehearse(options, trainer.get(), context.rehearsal));
    return SucceededEnd();
  }
  Phase(context, "training");
  const absl::StatusOr<train::TrainResult> run = trainer->Run();
  if (absl::IsResourceExhausted(run.status())) {
    // A full disk is no reason to give the job up: it goes on from its last
    // good checkpoint.
    if (!context.control->stopping()) return DeferredEnd(run.status());
    return StoppedEnd(
        context.control->stop_reason(),
        absl::StrCat("without a new checkpoint: ", run.status().message()));
  }
  RETORT_ASSIGN_OR_RETURN(const train::TrainResult result, run);
  if (result.outcome != train::Outcome::kSucceeded) {
    return StoppedEnd(
        context.control->stop_reason(),
        absl::StrCat("at step ", result.step, "; its checkpoint is written"));
  }
  TaskEnded ended = SucceededEnd();
  if (parts.comm->lead()) ended.add_model_dirs("result");
  return ended;
}

// Tables of one teacher say nothing of another, and nothing that they give
// would look wrong.
absl::Status CheckSameTeacher(const v1::DistillSpec& spec,
                              const io::ModelManifest& teacher,
                              const StudentJump& jump) {
  const auto artefact = jump.manifest.find("artefact");
  if (artefact == jump.manifest.end()) return absl::OkStatus();
  const std::string hash = (*artefact)["lineage"].value("teacher_hash", "");
  if (hash == teacher.weights_sha256) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      spec.preconditioning_artifact(), " was estimated for a teacher with ",
      "weights ", hash, ", but ", spec.teacher(), " has ",
      teacher.weights_sha256, "; run an estimate_preconditioning job for this ",
      "teacher and name its result"));
}

// Starts the branch of the second time at zero: the student begins as its
// teacher, whatever s is. Only the last layers are zeroed; zeros before them
// would leave them without a gradient for ever.
void ZeroSecondTime(nn::EdmDenoiser& student) {
  torch::NoGradGuard no_grad;
  for (auto& item : student.named_parameters()) {
    if (absl::StrContains(item.key(), ".affine_s.")) item.value().zero_();
  }
}

// The student before its first step: its teacher, or (`teacher` null) a fresh
// network.
absl::StatusOr<std::shared_ptr<nn::EdmDenoiser>> FirstStudent(
    const TaskContext& context, const v1::DistillSpec& spec,
    train::Method method, const nn::EdmDenoiser* teacher,
    const data::Dataset& dataset) {
  const uint64_t seed = spec.training().seed();
  if (teacher == nullptr) {
    return MakeNetwork(context, NetworkFieldsOf(spec), seed, dataset);
  }
  RETORT_ASSIGN_OR_RETURN(auto student,
                          train::MakeStudent(method, *teacher, seed));
  for (at::Tensor& p : student->parameters()) p.requires_grad_(true);
  return student;
}

absl::StatusOr<TaskEnded> TrainTeacherAs(comm::Communicator& gang,
                                         const TaskContext& context,
                                         const v1::TrainTeacherSpec& spec) {
  Phase(context, "loading data");
  RETORT_ASSIGN_OR_RETURN(const at::Device device,
                          DeviceOf(context.assignment));
  RETORT_ASSIGN_OR_RETURN(
      const auto dataset,
      Images(context, spec.data(), ToTrainOptions(spec).batch_size));
  const math::NoiseSchedule schedule = ToSchedule(spec.noise());
  train::TrainParts parts;
  parts.comm = &gang;
  parts.dataset = dataset.get();
  RETORT_ASSIGN_OR_RETURN(parts.student,
                          MakeNetwork(context, NetworkFieldsOf(spec),
                                      spec.training().seed(), *dataset));
  parts.student->to(device);
  parts.preconditioning = {{"schedule", json(schedule)}};
  parts.lineage = Lineage(context);
  RETORT_RETURN_IF_ERROR(AddValidation(context, spec.training().validation(),
                                       schedule,
                                       /*teacher=*/nullptr, &parts));
  return Run(context, ToTrainOptions(spec), parts);
}

absl::StatusOr<TaskEnded> DistillAs(comm::Communicator& gang,
                                    const TaskContext& context,
                                    const v1::DistillSpec& spec) {
  RETORT_ASSIGN_OR_RETURN(const at::Device device,
                          DeviceOf(context.assignment));
  RETORT_ASSIGN_OR_RETURN(train::TrainOptions options, ToTrainOptions(spec));
  const bool data_alone = spec.method() == v1::DistillSpec::METHOD_CT;
  const bool from_teacher = !data_alone || !spec.teacher().empty();
  Phase(context, from_teacher ? "loading teacher and data" : "loading data");
  RETORT_ASSIGN_OR_RETURN(const auto dataset,
                          Images(context, spec.data(), options.batch_size));
  LoadedNetwork teacher;
  if (from_teacher) {
    RETORT_ASSIGN_OR_RETURN(const std::string teacher_dir,
                            context.ModelDir(spec.teacher()));
    RETORT_ASSIGN_OR_RETURN(teacher, LoadNetwork(teacher_dir));
  }
  std::string artefact_dir;
  if (!spec.preconditioning_artifact().empty()) {
    RETORT_ASSIGN_OR_RETURN(artefact_dir,
                            context.ModelDir(spec.preconditioning_artifact()));
  }
  RETORT_ASSIGN_OR_RETURN(
      const StudentJump jump,
      MakeStudentJump(JumpName(spec.preconditioning(), spec.method()),
                      ToSchedule(spec.noise()), artefact_dir));
  RETORT_RETURN_IF_ERROR(CheckSameTeacher(spec, teacher.manifest, jump));
  train::TrainParts parts;
  parts.comm = &gang;
  parts.dataset = dataset.get();
  // Consistency training takes no more than its first weights of a teacher.
  if (!data_alone) parts.teacher = teacher.network;
  parts.jump = jump.jump;
  RETORT_ASSIGN_OR_RETURN(parts.student,
                          FirstStudent(context, spec, options.method,
                                       teacher.network.get(), *dataset));
  parts.student->to(device);
  if (teacher.network != nullptr) teacher.network->to(device);
  const bool zero =
      !spec.has_zero_init_second_time() || spec.zero_init_second_time();
  if (zero && options.method == train::Method::kCtm) {
    ZeroSecondTime(*parts.student);
  }
  parts.preconditioning = jump.manifest;
  parts.preconditioning_tensors = jump.tensors;
  parts.lineage = Lineage(context);
  if (from_teacher) {
    parts.lineage["teacher"] = spec.teacher();
    parts.lineage["teacher_hash"] = teacher.manifest.weights_sha256;
  }
  if (!artefact_dir.empty()) {
    parts.lineage["preconditioning_artifact"] = spec.preconditioning_artifact();
  }
  if (spec.distance() == v1::DistillSpec::DISTANCE_LPIPS) {
    RETORT_ASSIGN_OR_RETURN(
        parts.perceptual, LoadPerceptual(context, spec.lpips(),
                                         parts.student->config().img_resolution,
                                         &options.distance));
    parts.lineage["lpips"] = {
        {"backbone", spec.lpips().backbone()},
        {"backbone_hash", options.distance.backbone_sha256},
        {"heads", spec.lpips().heads()},
        {"heads_hash", options.distance.heads_sha256}};
  }
  RETORT_RETURN_IF_ERROR(AddValidation(context, spec.training().validation(),
                                       ToSchedule(spec.noise()),
                                       teacher.network, &parts));
  teacher.network.reset();  // whoever needs it has it
  return Run(context, options, parts);
}

}  // namespace

absl::StatusOr<TaskEnded> TrainTeacher(const TaskContext& context,
                                       const v1::TrainTeacherSpec& spec) {
  return InGang(context, [&](comm::Communicator& gang) {
    return TrainTeacherAs(gang, context, spec);
  });
}

absl::StatusOr<TaskEnded> Distill(const TaskContext& context,
                                  const v1::DistillSpec& spec) {
  return InGang(context, [&](comm::Communicator& gang) {
    return DistillAs(gang, context, spec);
  });
}

}  // namespace retort::worker
