#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/distill/cm_loss.h"
#include "core/distill/ctm_loss.h"
#include "core/distill/distance.h"
#include "core/distill/edm_loss.h"
#include "core/math/edm_precond.h"
#include "core/math/jump.h"
#include "core/nn/consistency_model.h"
#include "core/parity/lpips_support.h"
#include "core/parity/network_support.h"
#include "core/parity/parity.h"

// Golden cases edm_loss_*, cm_cd_loss_*, cm_ct_loss_* and ctm_loss_*: losses,
// what lies between, and gradients, in float32 and in float64.
namespace retort::parity {
namespace {

using nlohmann::json;

// One of the two runs that a case records.
struct Precision {
  std::string suffix;
  at::ScalarType dtype;
  Tolerance tolerance;
};

absl::StatusOr<std::vector<Precision>> Precisions(CaseContext& c,
                                                  const TensorMap& io,
                                                  const std::string& probe) {
  std::vector<Precision> found;
  if (io.count(probe + "_f32") > 0) {
    RETORT_ASSIGN_OR_RETURN(Tolerance tolerance, c.ToleranceOf("float32"));
    found.push_back({"_f32", at::kFloat, tolerance});
  }
  if (io.count(probe + "_f64") > 0) {
    RETORT_ASSIGN_OR_RETURN(Tolerance tolerance, c.ToleranceOf("float64"));
    found.push_back({"_f64", at::kDouble, tolerance});
  }
  if (found.empty()) {
    return absl::NotFoundError(
        absl::StrCat("io.safetensors has no ", probe, "_f32 or _f64"));
  }
  return found;
}

void CompareIfThere(CaseContext& c, const TensorMap& io,
                    const std::string& name, const Precision& p,
                    const at::Tensor& actual) {
  const auto expected = io.find(name + p.suffix);
  if (expected == io.end() || !actual.defined()) return;
  c.Compare(expected->first, actual.detach(), expected->second, p.tolerance);
}

// The case's tolerance for gradient tensors: its own if it has one, else that
// of every other tensor.
Tolerance GradientTolerance(const CaseContext& c, const Precision& p) {
  const json& all = c.json().value("tolerance", json::object());
  const std::string key =
      p.dtype == at::kFloat ? "float32_rel_l2" : "float64_rel_l2";
  if (all.contains("grads") && all["grads"].contains(key)) {
    return Tolerance::RelL2(all["grads"][key].get<double>());
  }
  return p.tolerance;
}

// Compares recorded gradients, and the recorded norm of every parameter's
// gradient (null: the parameter is not used).
absl::Status CompareGradients(CaseContext& c, nn::EdmDenoiser& net,
                              const Precision& p) {
  const Tolerance tolerance = GradientTolerance(c, p);
  TensorMap recorded;
  if (c.Has("grads.safetensors")) {
    RETORT_ASSIGN_OR_RETURN(recorded, c.Load("grads.safetensors"));
  }
  const json norms = c.json().value("grad_l2_norms" + p.suffix, json::object());
  std::vector<double> actual_norms, expected_norms;
  size_t seen = 0;
  for (const auto& item : net.named_parameters()) {
    const at::Tensor grad = item.value().grad();
    const auto expected = recorded.find(item.key() + p.suffix);
    if (expected != recorded.end()) {
      c.Compare("grad " + expected->first,
                grad.defined() ? grad : at::zeros_like(item.value()),
                expected->second, tolerance);
    }
    if (!norms.contains(item.key())) continue;
    ++seen;
    const json& norm = norms[item.key()];
    expected_norms.push_back(norm.is_null() ? 0 : norm.get<double>());
    actual_norms.push_back(
        grad.defined() ? grad.to(at::kDouble).norm().item<double>() : 0);
  }
  c.Expect(absl::StrCat("every parameter of grad_l2_norms", p.suffix,
                        " is one of the network's"),
           seen == norms.size());
  if (seen == 0) return absl::OkStatus();
  const double largest =
      *std::max_element(expected_norms.begin(), expected_norms.end());
  Tolerance norm_tolerance;
  norm_tolerance.rtol =
      tolerance.rel_l2 >= 0 ? tolerance.rel_l2 : p.tolerance.rtol;
  // Some gradients are 0 but for rounding (a bias before a normalisation).
  norm_tolerance.atol = 1e-3 * norm_tolerance.rtol * largest;
  if (p.dtype == at::kFloat && tolerance.rel_l2 < 0) {
    norm_tolerance.atol = p.tolerance.atol;
  }
  c.Compare("grad_l2_norms" + p.suffix, at::tensor(actual_norms, at::kDouble),
            at::tensor(expected_norms, at::kDouble), norm_tolerance);
  return absl::OkStatus();
}

at::Tensor Find(const TensorMap& io, const std::string& name) {
  const auto found = io.find(name);
  return found == io.end() ? at::Tensor() : found->second;
}

// One-hot labels from a case's class indices y; undefined if it has none.
at::Tensor CaseLabels(const TensorMap& io, const nn::NetworkConfig& network,
                      at::ScalarType dtype) {
  const at::Tensor y = Find(io, "y");
  if (!y.defined() || network.label_dim == 0) return at::Tensor();
  return OneHot(y, network.label_dim, dtype);
}

// --- EDM -------------------------------------------------------------------

absl::Status RunEdmLoss(CaseContext& c) {
  RETORT_ASSIGN_OR_RETURN(const nn::NetworkConfig network,
                          CaseNetworkConfig(c.config()));
  RETORT_ASSIGN_OR_RETURN(const TensorMap io, c.Load("io.safetensors"));
  const json settings = c.config().value("loss", json::object());
  distill::EdmLossOptions options;
  options.p_mean = settings.value("P_mean", options.p_mean);
  options.p_std = settings.value("P_std", options.p_std);
  options.sigma_data = settings.value("sigma_data", options.sigma_data);
  RETORT_ASSIGN_OR_RETURN(const auto precisions, Precisions(c, io, "loss"));
  RETORT_ASSIGN_OR_RETURN(const at::Tensor images, c.Get(io, "images"));
  RETORT_ASSIGN_OR_RETURN(const at::Tensor normal, c.Get(io, "rnd_normal"));
  RETORT_ASSIGN_OR_RETURN(const at::Tensor noise, c.Get(io, "noise"));
  for (const Precision& p : precisions) {
    RETORT_ASSIGN_OR_RETURN(
        const auto net,
        LoadCaseNetwork(c, network, "weights.safetensors", p.dtype));
    distill::LossBatch batch;
    batch.images = images.to(p.dtype);
    const at::Tensor labels = Find(io, "class_labels");
    if (labels.defined()) batch.labels = labels.to(p.dtype);
    const at::Tensor augment = Find(io, "augment_labels");
    if (augment.defined()) batch.augment = augment.to(p.dtype);
    const distill::EdmLossResult r = distill::EdmLoss(options).Evaluate(
        *net, batch, {normal.flatten(), noise});
    r.total.backward();
    CompareIfThere(c, io, "sigma", p, r.sigma);
    CompareIfThere(c, io, "loss", p, r.per_element);
    CompareIfThere(c, io, "loss_total", p, r.total);
    RETORT_RETURN_IF_ERROR(CompareGradients(c, *net, p));
  }
  return absl::OkStatus();
}

// --- Consistency models -----------------------------------------------------

// The network of the CM and CTM cases: "tiny" on EDM's defaults.
absl::StatusOr<nn::NetworkConfig> TinyNetwork(const CaseContext& c,
                                              const TensorMap& io) {
  json config = c.config();
  const json args = config.value("args", json::object());
  if (args.contains("sigma_data")) config["sigma_data"] = args["sigma_data"];
  const at::Tensor x0 = Find(io, "x0");
  if (!config.contains("img_channels") && x0.defined()) {
    config["img_channels"] = x0.size(1);
  }
  return CaseNetworkConfig(config);
}

math::NoiseSchedule CaseSchedule(const json& settings) {
  math::NoiseSchedule schedule;
  schedule.sigma_min = settings.value("sigma_min", schedule.sigma_min);
  schedule.sigma_max = settings.value("sigma_max", schedule.sigma_max);
  schedule.rho = settings.value("rho", schedule.rho);
  schedule.sigma_data = settings.value("sigma_data", schedule.sigma_data);
  return schedule;
}

// As openai/consistency_models calls piq: images of less than 256 pixels are
// resized to 224, and mapped to [0, 1].
absl::StatusOr<std::shared_ptr<const distill::Distance>> PiqLpips(
    CaseContext& c, int64_t side) {
  distill::DistanceOptions options;
  options.name = "lpips";
  options.resize = side < 256 ? 224 : 0;
  options.unit_range = true;
  RETORT_ASSIGN_OR_RETURN(const auto lpips, CaseLpips(c, {}));
  return distill::MakeDistance(options, lpips);
}

absl::StatusOr<std::shared_ptr<const distill::Distance>> CmDistance(
    CaseContext& c, const std::string& loss_norm, int64_t side) {
  if (loss_norm == "lpips") return PiqLpips(c, side);
  distill::DistanceOptions options;
  options.name = loss_norm;
  if (loss_norm == "l2-32") {
    options.name = "l2";
    options.resize = 32;
  }
  auto distance = distill::MakeDistance(options);
  if (distance.ok()) return distance;
  return absl::UnimplementedError(absl::StrCat(
      "loss_norm \"", loss_norm, "\": ", distance.status().message()));
}

// The teacher's two network calls in one Heun step.
void CompareTeacherCalls(CaseContext& c, const TensorMap& io,
                         const Precision& p, nn::EdmDenoiser& teacher,
                         const distill::CmLossResult& r,
                         const at::Tensor& labels) {
  torch::NoGradGuard no_grad;
  const at::Tensor d1 = teacher.Denoise(r.x_t, r.t, labels).to(at::kDouble);
  const at::Tensor slope = (r.x_t - d1) / math::ExpandLike(r.t, r.x_t);
  const at::Tensor euler = r.x_t + math::ExpandLike(r.u - r.t, r.x_t) * slope;
  CompareIfThere(c, io, "teacher_D1", p, d1);
  CompareIfThere(c, io, "teacher_D2", p, teacher.Denoise(euler, r.u, labels));
}

absl::Status RunCmLoss(CaseContext& c) {
  RETORT_ASSIGN_OR_RETURN(const TensorMap io, c.Load("io.safetensors"));
  RETORT_ASSIGN_OR_RETURN(const nn::NetworkConfig network, TinyNetwork(c, io));
  distill::CmLossOptions options;
  options.schedule = CaseSchedule(c.config());
  options.num_times = c.config().value("num_scales", options.num_times);
  RETORT_ASSIGN_OR_RETURN(options.weight,
                          distill::ParseCmWeight(c.config().value(
                              "weight_schedule", std::string("uniform"))));
  RETORT_ASSIGN_OR_RETURN(
      const auto distance,
      CmDistance(c, c.config().value("loss_norm", std::string("l2")),
                 network.img_resolution));
  RETORT_ASSIGN_OR_RETURN(const auto precisions, Precisions(c, io, "loss"));
  RETORT_ASSIGN_OR_RETURN(const at::Tensor x0, c.Get(io, "x0"));
  RETORT_ASSIGN_OR_RETURN(const at::Tensor noise, c.Get(io, "noise"));
  RETORT_ASSIGN_OR_RETURN(const at::Tensor indices, c.Get(io, "indices"));
  const auto jump = std::make_shared<math::CmJump>(options.schedule.sigma_min,
                                                   options.schedule.sigma_data);
  for (const Precision& p : precisions) {
    RETORT_ASSIGN_OR_RETURN(
        const auto student,
        LoadCaseNetwork(c, network, "student.safetensors", p.dtype));
    RETORT_ASSIGN_OR_RETURN(
        const auto target,
        LoadCaseNetwork(c, network, "target.safetensors", p.dtype));
    std::shared_ptr<nn::EdmDenoiser> teacher;
    if (c.Has("teacher.safetensors")) {
      RETORT_ASSIGN_OR_RETURN(
          teacher, LoadCaseNetwork(c, network, "teacher.safetensors", p.dtype));
    }
    const distill::LossBatch batch = {
        x0.to(p.dtype), CaseLabels(io, network, p.dtype), {}};
    const distill::CmLossResult r =
        distill::CmLoss(options, distance)
            .Evaluate(nn::ConsistencyModel(student, jump),
                      nn::ConsistencyModel(target, jump), teacher.get(), batch,
                      {indices, noise});
    r.total.backward();
    CompareIfThere(c, io, "t", p, r.t);
    CompareIfThere(c, io, "t2", p, r.u);
    CompareIfThere(c, io, "x_t", p, r.x_t);
    CompareIfThere(c, io, "x_t2", p, r.x_u);
    CompareIfThere(c, io, "distiller", p, r.estimate);
    CompareIfThere(c, io, "distiller_target", p, r.target);
    CompareIfThere(c, io, "loss", p, r.per_sample);
    if (teacher != nullptr) {
      CompareTeacherCalls(c, io, p, *teacher, r, batch.labels);
    }
    RETORT_RETURN_IF_ERROR(CompareGradients(c, *student, p));
  }
  return absl::OkStatus();
}

// --- Consistency trajectory models -------------------------------------------

// An error unless a setting that decides what is computed is absent or has the
// one value that we implement.
absl::Status CheckSetting(const json& args, const std::string& name,
                          const json& known) {
  const json value = args.value(name, known);
  if (value == known) return absl::OkStatus();
  return absl::UnimplementedError(
      absl::StrCat("args.", name, " = ", value.dump(), "; only ", known.dump(),
                   " is implemented"));
}

// Returns the choice that a setting names; the first one if it is absent.
template <typename T>
absl::StatusOr<T> Choice(
    const json& args, const std::string& name,
    const std::vector<std::pair<std::string, T>>& choices) {
  const std::string value = args.value(name, choices.front().first);
  for (const auto& [known, choice] : choices) {
    if (value == known) return choice;
  }
  return absl::UnimplementedError(
      absl::StrCat("args.", name, " = \"", value, "\" is not implemented"));
}

absl::StatusOr<distill::CtmLossOptions> CtmOptions(const CaseContext& c) {
  using distill::CtmEstimateOuter;
  using distill::CtmTargetInner;
  const json args = c.config().value("args", json::object());
  const std::vector<std::pair<std::string, json>> fixed = {
      {"training_mode", "ctm"},
      {"ctm_estimate_inner_type", "model"},
      {"outer_parametrization", "euler"},
      {"inner_parametrization", "edm"},
      {"loss_norm", "lpips"},
      {"time_continuous", false},
      {"self_learn", false},
      {"target_subtract", false},
      {"gan_training", false}};
  for (const auto& [name, known] : fixed) {
    RETORT_RETURN_IF_ERROR(CheckSetting(args, name, known));
  }
  distill::CtmLossOptions options;
  options.schedule = CaseSchedule(args);
  options.num_times = c.config().value("start_scales", options.num_times);
  options.max_ode_steps = options.num_times - 1;
  RETORT_ASSIGN_OR_RETURN(
      options.target_inner,
      Choice<CtmTargetInner>(args, "ctm_target_inner_type",
                             {{"model_sg", CtmTargetInner::kStudent},
                              {"target_model_sg", CtmTargetInner::kEma},
                              {"no", CtmTargetInner::kNone}}));
  RETORT_ASSIGN_OR_RETURN(
      options.estimate_outer,
      Choice<CtmEstimateOuter>(args, "ctm_estimate_outer_type",
                               {{"target_model_sg", CtmEstimateOuter::kEma},
                                {"model", CtmEstimateOuter::kStudent}}));
  if (args.value("ctm_target_matching", false)) {
    options.estimate_via = distill::CtmEstimateVia::kU;
  }
  const std::string weight =
      args.value("weight_schedule", std::string("uniform"));
  if (weight == "uniform_g") {
    options.jump_weight_exponent =
        args.value("weight_schedule_multiplier", 1.0);
  } else {
    RETORT_ASSIGN_OR_RETURN(options.weight, distill::ParseCmWeight(weight));
  }
  RETORT_ASSIGN_OR_RETURN(
      options.dsm_weight,
      distill::ParseCmWeight(args.value("diffusion_weight_schedule",
                                        std::string("karras_weight"))));
  options.consistency_weight = args.value("consistency_weight", 1.0);
  options.denoising_weight = args.value("diffusion_training", true)
                                 ? args.value("denoising_weight", 1.0)
                                 : 0;
  options.adaptive_weight = args.value("apply_adaptive_weight", true);
  options.adaptive_from_step = c.config().value("init_step", int64_t{0});
  RETORT_RETURN_IF_ERROR(options.Validate());
  return options;
}

absl::Status RunCtmLoss(CaseContext& c) {
  RETORT_ASSIGN_OR_RETURN(const TensorMap io, c.Load("io.safetensors"));
  RETORT_ASSIGN_OR_RETURN(nn::NetworkConfig network, TinyNetwork(c, io));
  network.two_times = false;
  nn::NetworkConfig two_times = network;
  two_times.two_times = true;
  RETORT_ASSIGN_OR_RETURN(const distill::CtmLossOptions options, CtmOptions(c));
  // A mean squared difference stands in for LPIPS in cases without its weights.
  distill::DistanceOptions distance_options;
  distance_options.name = "l2";
  distance_options.resize = 224;
  distance_options.unit_range = true;
  RETORT_ASSIGN_OR_RETURN(auto distance,
                          distill::MakeDistance(distance_options));
  if (c.Has("heads.safetensors")) {
    RETORT_ASSIGN_OR_RETURN(distance, PiqLpips(c, network.img_resolution));
  }
  RETORT_ASSIGN_OR_RETURN(const auto precisions,
                          Precisions(c, io, "total_loss"));
  RETORT_ASSIGN_OR_RETURN(const at::Tensor x0, c.Get(io, "x0"));
  distill::CtmDraws draws;
  draws.ode_steps = c.config().value("num_heun_step", int64_t{1});
  RETORT_ASSIGN_OR_RETURN(draws.index, c.Get(io, "indices"));
  RETORT_ASSIGN_OR_RETURN(draws.index_s, c.Get(io, "indices_s"));
  RETORT_ASSIGN_OR_RETURN(draws.noise, c.Get(io, "noise"));
  if (options.denoising_weight > 0) {
    RETORT_ASSIGN_OR_RETURN(draws.dsm_sigma, c.Get(io, "dsm_sigma"));
    RETORT_ASSIGN_OR_RETURN(draws.dsm_noise, c.Get(io, "dsm_noise"));
  }
  const auto jump = std::make_shared<math::CtmJump>();
  for (const Precision& p : precisions) {
    RETORT_ASSIGN_OR_RETURN(
        const auto student,
        LoadCaseNetwork(c, two_times, "student.safetensors", p.dtype));
    RETORT_ASSIGN_OR_RETURN(
        const auto target,
        LoadCaseNetwork(c, two_times, "target.safetensors", p.dtype));
    RETORT_ASSIGN_OR_RETURN(
        const auto teacher,
        LoadCaseNetwork(c, network, "teacher.safetensors", p.dtype));
    for (at::Tensor& w : target->parameters()) w.set_requires_grad(false);
    const distill::LossBatch batch = {
        x0.to(p.dtype), CaseLabels(io, network, p.dtype), {}};
    const distill::CtmLossResult r =
        distill::CtmLoss(options, distance)
            .EvaluateWithGradients(nn::ConsistencyModel(student, jump),
                                   nn::ConsistencyModel(target, jump), *teacher,
                                   batch, draws,
                                   c.config().value("step", int64_t{0}));
    CompareIfThere(c, io, "t", p, r.t);
    CompareIfThere(c, io, "t_dt", p, r.u);
    CompareIfThere(c, io, "s", p, r.s);
    CompareIfThere(c, io, "x_t", p, r.x_t);
    CompareIfThere(c, io, "x_u", p, r.x_u);
    CompareIfThere(c, io, "estimate", p, r.estimate);
    CompareIfThere(c, io, "target", p, r.target);
    CompareIfThere(c, io, "consistency_loss", p, r.consistency);
    CompareIfThere(c, io, "denoising_loss", p, r.denoising);
    CompareIfThere(c, io, "adaptive_weight", p,
                   at::scalar_tensor(r.adaptive_weight, at::kDouble));
    CompareIfThere(c, io, "total_loss", p, r.total);
    RETORT_RETURN_IF_ERROR(CompareGradients(c, *student, p));
  }
  return absl::OkStatus();
}

RETORT_PARITY_CASE("edm_loss_", RunEdmLoss);
RETORT_PARITY_CASE("cm_cd_loss_", RunCmLoss);
RETORT_PARITY_CASE("cm_ct_loss_", RunCmLoss);
RETORT_PARITY_CASE("ctm_loss_", RunCtmLoss);

}  // namespace
}  // namespace retort::parity
