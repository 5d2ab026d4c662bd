#include "core/train/objective.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/check.h"
#include "core/base/status_macros.h"
#include "core/distill/cm_loss.h"
#include "core/distill/ctm_loss.h"
#include "core/math/counter_random.h"
#include "core/nn/consistency_model.h"
#include "core/train/adversary.h"
#include "core/train/optimizer.h"

namespace retort::train {
namespace {

void ClearGradients(nn::EdmDenoiser& net) {
  for (const at::Tensor& p : net.parameters()) p.mutable_grad() = at::Tensor();
}

// Returns a seed for dropout masks that is a function of (seed, step, first
// sample); 0 when the network draws no masks.
uint64_t DropoutSeed(const nn::EdmDenoiser& net, uint64_t seed,
                     const StepInput& part) {
  if (net.config().dropout == 0 && net.config().label_dropout == 0) return 0;
  const double u = math::UniformScalar(
      math::MakeStream(seed, math::RandomStream::kDropout, part.step),
      part.samples.front());
  return 1 + static_cast<uint64_t>(u * 9007199254740992.0);  // 2^53
}

// The parts that a step's input is cut into. Draws are by sample, so that the
// cut changes none (but dropout masks, which are drawn by part).
std::vector<StepInput> Cut(const StepInput& input, int64_t parts) {
  const int64_t n = static_cast<int64_t>(input.samples.size()) / parts;
  RETORT_CHECK(n * parts == static_cast<int64_t>(input.samples.size()));
  std::vector<StepInput> cut(parts, input);
  for (int64_t i = 0; parts > 1 && i < parts; ++i) {
    const auto first = input.samples.begin() + i * n;
    cut[i].samples.assign(first, first + n);
    for (at::Tensor* t :
         {&cut[i].batch.images, &cut[i].batch.labels, &cut[i].batch.augment}) {
      if (t->defined()) *t = t->narrow(0, i * n, n);
    }
  }
  return cut;
}

// Means gradients of a module over the ranks; null with one rank or no module.
std::unique_ptr<comm::GradientReducer> MakeReducer(
    const Networks& networks, const torch::nn::Module* module) {
  if (networks.comm == nullptr || networks.comm->size() == 1 ||
      module == nullptr) {
    return nullptr;
  }
  std::vector<at::Tensor> parameters;
  for (const at::Tensor& p : module->parameters()) {
    if (p.requires_grad()) parameters.push_back(p);
  }
  return std::make_unique<comm::GradientReducer>(
      networks.comm, std::move(parameters), networks.reduction);
}

// The student's gradient of a loss that is run backward part by part.
class StudentGradient {
 public:
  explicit StudentGradient(const Networks& networks)
      : net_(*networks.student), reducer_(MakeReducer(networks, &net_)) {}

  // Adds the gradient of one of `parts` parts, at the loss scale. The last one
  // takes the others along to the other ranks.
  void Backward(const at::Tensor& total, const StepInput& part, int64_t parts,
                bool last) {
    const bool reduce = reducer_ != nullptr && last;
    if (reduce) reducer_->Begin(Gradients(reducer_->parameters()));
    (total * (part.loss_scale / parts)).backward();
    if (reduce) reducer_->Flush();
  }

  // After the last part: leaves the whole batch's in grad().
  void Finish(double loss_scale) {
    if (reducer_ != nullptr) {
      SetGradients(reducer_->parameters(), reducer_->Finish());
    }
    if (loss_scale != 1) ScaleGradients(net_.parameters(), 1 / loss_scale);
  }

 private:
  nn::EdmDenoiser& net_;
  const std::unique_ptr<comm::GradientReducer> reducer_;
};

// Those of a discriminator's step.
struct AdversaryReducers {
  explicit AdversaryReducers(const Networks& networks) {
    if (networks.discriminator == nullptr) return;
    student = MakeReducer(networks, networks.student.get());
    own = MakeReducer(networks, networks.discriminator.get());
  }
  AdversarialStep::Reducers get() const { return {student.get(), own.get()}; }

  std::unique_ptr<comm::GradientReducer> student, own;
};

// Norm of the gradient of the last layer's weight.
double LastGradientNorm(const nn::EdmDenoiser& net) {
  const at::Tensor& g = net.LastLayerWeight().grad();
  return g.defined() ? g.to(at::kDouble).norm().item<double>() : 0;
}

at::ScalarType ComputeType(Precision precision) {
  switch (precision) {
    case Precision::kBf16:
      return at::kBFloat16;
    case Precision::kFp16:
      return at::kHalf;
    case Precision::kFp32:
      break;
  }
  return at::kFloat;
}

at::IntArrayRef ImageShape(const distill::LossBatch& batch) {
  return batch.images.sizes().slice(1);
}

class EdmObjective : public Objective {
 public:
  EdmObjective(const TrainOptions& options, Networks networks)
      : seed_(options.seed),
        parts_(options.accumulation),
        networks_(std::move(networks)),
        gradient_(networks_),
        loss_(options.edm) {}

  Metrics TakeGradients(const StepInput& input) override {
    nn::EdmDenoiser& net = *networks_.student;
    ClearGradients(net);
    double loss = 0;
    int64_t done = 0;
    for (const StepInput& part : Cut(input, parts_)) {
      const uint64_t dropout = DropoutSeed(net, seed_, part);
      if (dropout != 0) torch::manual_seed(dropout);
      const distill::EdmLossResult r =
          loss_.Evaluate(net, part.batch,
                         distill::EdmLoss::Draw(seed_, part.step, part.samples,
                                                ImageShape(part.batch)));
      gradient_.Backward(r.total, part, parts_, ++done == parts_);
      loss += r.per_element.mean().item<double>() / parts_;
    }
    gradient_.Finish(input.loss_scale);
    return {{"loss", loss}};
  }

 private:
  const uint64_t seed_;
  const int64_t parts_;
  const Networks networks_;
  StudentGradient gradient_;
  const distill::EdmLoss loss_;
};

class CmObjective : public Objective {
 public:
  CmObjective(const TrainOptions& options, Networks networks,
              std::shared_ptr<const distill::Distance> distance)
      : options_(options),
        seed_(options.seed),
        parts_(options.accumulation),
        gan_(options.gan),
        networks_(std::move(networks)),
        student_(networks_.student, networks_.jump),
        target_(networks_.target, networks_.jump),
        gradient_(networks_),
        adversary_reducers_(networks_),
        distance_(std::move(distance)) {}

  Metrics TakeGradients(const StepInput& input) override {
    ClearGradients(*networks_.student);
    AdversarialStep adversary(gan_, networks_.discriminator.get(),
                              *networks_.student, input.step,
                              adversary_reducers_.get());
    const math::ConsistencyStage stage = options_.StageAt(input.iteration);
    distill::CmLossOptions cm = options_.cm;
    cm.num_times = stage.num_times;
    const distill::CmLoss loss(cm, distance_);
    double sum = 0;
    int64_t done = 0;
    for (const StepInput& part : Cut(input, parts_)) {
      const distill::CmLossResult r = loss.Evaluate(
          student_, target_, networks_.teacher.get(), part.batch,
          loss.Draw(seed_, part.step, part.samples, ImageShape(part.batch)),
          DropoutSeed(*networks_.student, seed_, part));
      const bool last = ++done == parts_;
      const AdversarialStep::Part own = {part.batch, 1.0 / parts_,
                                         part.loss_scale, last};
      adversary.TakeStudentGradients(r.estimate, own);
      gradient_.Backward(r.total, part, parts_, last);
      adversary.TakeOwnGradients(r.estimate, own);
      sum += r.total.item<double>() / parts_;
    }
    gradient_.Finish(input.loss_scale);
    Metrics metrics;
    sum += adversary.Combine(LastGradientNorm(*networks_.student), &metrics);
    metrics["loss"] = sum;
    if (options_.curriculum != Curriculum::kFixed) {
      metrics["grid_size"] = static_cast<double>(stage.num_times);
      metrics["target_ema_rate"] = stage.target_ema;
    }
    return metrics;
  }

 private:
  const TrainOptions options_;
  const uint64_t seed_;
  const int64_t parts_;
  const distill::GanOptions gan_;
  const Networks networks_;
  const nn::ConsistencyModel student_;
  const nn::ConsistencyModel target_;
  StudentGradient gradient_;
  const AdversaryReducers adversary_reducers_;
  const std::shared_ptr<const distill::Distance> distance_;
};

class CtmObjective : public Objective {
 public:
  CtmObjective(const TrainOptions& options, Networks networks,
               std::shared_ptr<const distill::Distance> distance)
      : seed_(options.seed),
        parts_(options.accumulation),
        gan_(options.gan),
        networks_(std::move(networks)),
        student_(networks_.student, networks_.jump),
        target_(networks_.target, networks_.jump),
        consistency_(MakeReducer(networks_, networks_.student.get())),
        denoising_(options.ctm.denoising_weight > 0
                       ? MakeReducer(networks_, networks_.student.get())
                       : nullptr),
        adversary_reducers_(networks_),
        loss_(options.ctm, std::move(distance)) {}

  Metrics TakeGradients(const StepInput& input) override {
    AdversarialStep adversary(gan_, networks_.discriminator.get(),
                              *networks_.student, input.step,
                              adversary_reducers_.get());
    distill::CtmSums sums;
    int64_t k = 0;  // one for the whole batch: a function of (seed, step)
    int64_t done = 0;
    for (const StepInput& part : Cut(input, parts_)) {
      k = AddPart(part, ++done == parts_, &adversary, &sums);
    }
    if (consistency_ != nullptr) {
      sums.consistency_gradient = consistency_->Finish();
    }
    if (denoising_ != nullptr) sums.denoising_gradient = denoising_->Finish();
    const distill::CtmTotal r = loss_.Combine(student_, input.step, sums);
    Metrics metrics;
    metrics["loss"] = r.total + adversary.Combine(r.last_layer_norm, &metrics);
    metrics["consistency_loss"] = sums.consistency;
    metrics["ode_steps"] = static_cast<double>(k);
    if (!sums.denoising_gradient.empty()) {
      metrics["denoising_loss"] = sums.denoising * r.adaptive_weight;
      metrics["adaptive_weight"] = r.adaptive_weight;
    }
    return metrics;
  }

 private:
  // Returns the number of the teacher's steps.
  int64_t AddPart(const StepInput& part, bool last, AdversarialStep* adversary,
                  distill::CtmSums* sums) {
    const distill::CtmDraws draws =
        loss_.Draw(seed_, part.step, part.samples, ImageShape(part.batch));
    const AdversarialStep::Part own = {part.batch, 1.0 / parts_,
                                       part.loss_scale, last};
    distill::CtmPart options = {1.0 / parts_, part.loss_scale,
                                DropoutSeed(*networks_.student, seed_, part)};
    options.on_estimate = [&](const at::Tensor& estimate) {
      adversary->TakeStudentGradients(estimate, own);
    };
    if (last && consistency_ != nullptr) {
      options.on_gradients = [&](const std::vector<at::Tensor>& sum,
                                 bool taken) {
        comm::GradientReducer& reducer =
            &sum == &sums->consistency_gradient ? *consistency_ : *denoising_;
        if (taken) {
          reducer.Flush();
        } else {
          reducer.Begin(sum, 1 / part.loss_scale);
        }
      };
    }
    const distill::CtmLossResult r =
        loss_.AddPart(student_, target_, *networks_.teacher, part.batch, draws,
                      options, sums);
    adversary->TakeOwnGradients(r.estimate, own);
    return draws.ode_steps;
  }

  const uint64_t seed_;
  const int64_t parts_;
  const distill::GanOptions gan_;
  const Networks networks_;
  const nn::ConsistencyModel student_;
  const nn::ConsistencyModel target_;
  // Apart, since their weight depends on both.
  const std::unique_ptr<comm::GradientReducer> consistency_, denoising_;
  const AdversaryReducers adversary_reducers_;
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
  for (const auto& net :
       {networks.student, networks.target, networks.teacher}) {
    if (net != nullptr) net->set_compute_dtype(ComputeType(options.precision));
  }
  networks.student->train();
  if (networks.target != nullptr) networks.target->train();
  if (networks.teacher != nullptr) networks.teacher->eval();
  std::unique_ptr<Objective> objective;
  if (options.method == Method::kEdm) {
    objective = std::make_unique<EdmObjective>(options, networks);
    return objective;
  }
  RETORT_ASSIGN_OR_RETURN(
      std::shared_ptr<const distill::Distance> distance,
      distill::MakeDistance(options.distance, networks.perceptual));
  const nn::NetworkConfig& images = networks.student->config();
  RETORT_RETURN_IF_ERROR(
      distance->CheckImages(images.img_channels, images.img_resolution));
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
