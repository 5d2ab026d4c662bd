#include "core/train/objective.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/distill/cm_loss.h"
#include "core/distill/ctm_loss.h"
#include "core/math/counter_random.h"
#include "core/nn/consistency_model.h"

namespace retort::train {
namespace {

void ClearGradients(nn::EdmDenoiser& net) {
  for (const at::Tensor& p : net.parameters()) p.mutable_grad() = at::Tensor();
}

// Returns a seed for dropout masks that is a function of (seed, step); 0 when
// the network draws no masks.
uint64_t DropoutSeed(const nn::EdmDenoiser& net, uint64_t seed, int64_t step) {
  if (net.config().dropout == 0 && net.config().label_dropout == 0) return 0;
  const double u = math::UniformScalar(
      math::MakeStream(seed, math::RandomStream::kDropout, step), 0);
  return 1 + static_cast<uint64_t>(u * 9007199254740992.0);  // 2^53
}

at::IntArrayRef ImageShape(const distill::LossBatch& batch) {
  return batch.images.sizes().slice(1);
}

class EdmObjective : public Objective {
 public:
  EdmObjective(const TrainOptions& options, Networks networks)
      : seed_(options.seed),
        networks_(std::move(networks)),
        loss_(options.edm) {}

  Metrics TakeGradients(const StepInput& input) override {
    nn::EdmDenoiser& net = *networks_.student;
    ClearGradients(net);
    const uint64_t dropout = DropoutSeed(net, seed_, input.step);
    if (dropout != 0) torch::manual_seed(dropout);
    const distill::EdmLossResult r =
        loss_.Evaluate(net, input.batch,
                       distill::EdmLoss::Draw(seed_, input.step, input.samples,
                                              ImageShape(input.batch)));
    r.total.backward();
    return {{"loss", r.per_element.mean().item<double>()}};
  }

 private:
  const uint64_t seed_;
  const Networks networks_;
  const distill::EdmLoss loss_;
};

class CmObjective : public Objective {
 public:
  CmObjective(const TrainOptions& options, Networks networks,
              std::shared_ptr<const distill::Distance> distance)
      : seed_(options.seed),
        networks_(std::move(networks)),
        student_(networks_.student, networks_.jump),
        target_(networks_.target, networks_.jump),
        loss_(options.cm, std::move(distance)) {}

  Metrics TakeGradients(const StepInput& input) override {
    ClearGradients(*networks_.student);
    const distill::CmLossResult r = loss_.Evaluate(
        student_, target_, networks_.teacher.get(), input.batch,
        loss_.Draw(seed_, input.step, input.samples, ImageShape(input.batch)),
        DropoutSeed(*networks_.student, seed_, input.step));
    r.total.backward();
    return {{"loss", r.total.item<double>()}};
  }

 private:
  const uint64_t seed_;
  const Networks networks_;
  const nn::ConsistencyModel student_;
  const nn::ConsistencyModel target_;
  const distill::CmLoss loss_;
};

class CtmObjective : public Objective {
 public:
  CtmObjective(const TrainOptions& options, Networks networks,
               std::shared_ptr<const distill::Distance> distance)
      : seed_(options.seed),
        networks_(std::move(networks)),
        student_(networks_.student, networks_.jump),
        target_(networks_.target, networks_.jump),
        loss_(options.ctm, std::move(distance)) {}

  Metrics TakeGradients(const StepInput& input) override {
    const distill::CtmDraws draws =
        loss_.Draw(seed_, input.step, input.samples, ImageShape(input.batch));
    const distill::CtmLossResult r = loss_.EvaluateWithGradients(
        student_, target_, *networks_.teacher, input.batch, draws, input.step,
        DropoutSeed(*networks_.student, seed_, input.step));
    Metrics metrics = {
        {"loss", r.total.item<double>()},
        {"consistency_loss", r.consistency.mean().item<double>()},
        {"ode_steps", static_cast<double>(draws.ode_steps)}};
    if (r.denoising.defined()) {
      metrics["denoising_loss"] = r.denoising.mean().item<double>();
      metrics["adaptive_weight"] = r.adaptive_weight;
    }
    return metrics;
  }

 private:
  const uint64_t seed_;
  const Networks networks_;
  const nn::ConsistencyModel student_;
  const nn::ConsistencyModel target_;
  const distill::CtmLoss loss_;
};

absl::Status CheckFits(const nn::EdmDenoiser& student,
                       const nn::EdmDenoiser& teacher) {
  const nn::NetworkConfig& a = student.config();
  const nn::NetworkConfig& b = teacher.config();
  if (a.img_resolution == b.img_resolution &&
      a.img_channels == b.img_channels && a.label_dim == b.label_dim) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "the student takes ", a.img_channels, " x ", a.img_resolution,
      "^2 images with ", a.label_dim, " labels, the teacher ", b.img_channels,
      " x ", b.img_resolution, "^2 with ", b.label_dim,
      "; start the student from this teacher"));
}

absl::Status CheckNetworks(Method method, const Networks& n) {
  const bool two_times = n.student->config().two_times;
  if (two_times != (method == Method::kCtm)) {
    return absl::InvalidArgumentError(
        absl::StrCat("a network ", two_times ? "with" : "without",
                     " a second time cannot "
                     "be trained by ",
                     MethodName(method),
                     "; ctm needs one with, edm and "
                     "cm one without"));
  }
  if (method == Method::kEdm) return absl::OkStatus();
  if (n.jump == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat(MethodName(method), " needs a preconditioning"));
  }
  if (method == Method::kCtm && !n.jump->any_end()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "preconditioning ", n.jump->name(),
        " only jumps to sigma_min, which does not train ctm; use ctm, bcm or "
        "an analytic or fitted one"));
  }
  if (method == Method::kCtm && n.teacher == nullptr) {
    return absl::InvalidArgumentError("ctm needs a teacher");
  }
  if (n.teacher == nullptr) return absl::OkStatus();
  if (n.teacher->config().two_times) {
    return absl::InvalidArgumentError(
        "the teacher has a second time, so it is a ctm student; give a model "
        "of kind \"teacher\"");
  }
  return CheckFits(*n.student, *n.teacher);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Objective>> MakeObjective(
    const TrainOptions& options, const Networks& networks) {
  RETORT_RETURN_IF_ERROR(CheckNetworks(options.method, networks));
  networks.student->train();
  if (networks.target != nullptr) networks.target->train();
  if (networks.teacher != nullptr) networks.teacher->eval();
  std::unique_ptr<Objective> objective;
  if (options.method == Method::kEdm) {
    objective = std::make_unique<EdmObjective>(options, networks);
    return objective;
  }
  RETORT_ASSIGN_OR_RETURN(std::shared_ptr<const distill::Distance> distance,
                          distill::MakeDistance(options.distance));
  if (options.method == Method::kCm) {
    objective = std::make_unique<CmObjective>(options, networks, distance);
  } else {
    objective = std::make_unique<CtmObjective>(options, networks, distance);
  }
  return objective;
}

absl::StatusOr<std::shared_ptr<nn::EdmDenoiser>> MakeStudent(
    Method method, const nn::EdmDenoiser& teacher, uint64_t seed) {
  nn::NetworkConfig config = teacher.config();
  config.two_times = method == Method::kCtm;
  std::shared_ptr<nn::EdmDenoiser> student = nn::CreateDenoiser(config, seed);
  RETORT_RETURN_IF_ERROR(nn::InitFromTeacher(*student, teacher));
  return student;
}

}  // namespace retort::train
