#include "core/distill/ctm_loss.h"

#include <torch/autograd.h>

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/check.h"
#include "core/base/status_macros.h"
#include "core/distill/teacher_target.h"
#include "core/math/counter_random.h"
#include "core/math/edm_precond.h"

namespace retort::distill {
namespace {

using math::ExpandLike;
using math::RandomStream;
using torch::autograd::variable_list;

// f(x, t, s) where t > s; rows with t = s stay as they are, which is what any
// network's jump does with them, and cost no network call. `all` computes every
// row all the same.
at::Tensor JumpMovingRows(const nn::ConsistencyModel& model,
                          const at::Tensor& x, const at::Tensor& t,
                          const at::Tensor& s, const at::Tensor& labels,
                          bool all) {
  const at::Tensor moving = (t > s).nonzero().flatten();
  if (all || moving.numel() == t.numel()) return model.Jump(x, t, s, labels);
  if (moving.numel() == 0) return x;
  const auto pick = [&](const at::Tensor& v) {
    return v.defined() ? v.index_select(0, moving) : v;
  };
  const at::Tensor jumped = model.Jump(pick(x), pick(t), pick(s), pick(labels));
  return x.to(jumped.scalar_type()).index_copy(0, moving, jumped);
}

double LastLayerNorm(const variable_list& gradients, int64_t last) {
  const at::Tensor& g = gradients[last];
  return g.defined() ? g.to(at::kDouble).norm().item<double>() : 0;
}

std::vector<at::Tensor> TrainableParameters(const nn::EdmDenoiser& net) {
  std::vector<at::Tensor> parameters;
  for (const at::Tensor& p : net.parameters()) {
    if (p.requires_grad()) parameters.push_back(p);
  }
  return parameters;
}

int64_t IndexOf(const std::vector<at::Tensor>& parameters,
                const at::Tensor& wanted) {
  for (size_t i = 0; i < parameters.size(); ++i) {
    if (parameters[i].is_same(wanted)) return static_cast<int64_t>(i);
  }
  RETORT_CHECK(false);  // the last layer is always trained
  return -1;
}

// Sets grad() of each parameter to a g + b h; parameters that neither loss
// uses get none.
void SetCombinedGradients(const std::vector<at::Tensor>& parameters, double a,
                          const variable_list& g, double b,
                          const variable_list& h) {
  for (size_t i = 0; i < parameters.size(); ++i) {
    const at::Tensor first = g.empty() ? at::Tensor() : g[i];
    const at::Tensor second = h.empty() ? at::Tensor() : h[i];
    at::Tensor sum;
    if (first.defined()) sum = a == 1 ? first : first * a;
    if (second.defined()) {
      sum = sum.defined() ? at::add(sum, second, b) : second * b;
    }
    parameters[i].mutable_grad() = sum;
  }
}

// sum += factor g, where g is defined.
void AddTo(const variable_list& g, double factor, variable_list* sum) {
  torch::NoGradGuard no_grad;
  sum->resize(g.size());
  for (size_t i = 0; i < g.size(); ++i) {
    if (!g[i].defined()) continue;
    const at::Tensor term = factor == 1 ? g[i] : g[i] * factor;
    (*sum)[i] = (*sum)[i].defined() ? (*sum)[i] + term : term;
  }
}

// Inverse of the distribution of k: P(k) proportional to k, or to 1.
int64_t DrawSteps(double u, int64_t max_steps, bool weight_by_k) {
  if (!weight_by_k) {
    return std::min<int64_t>(1 + static_cast<int64_t>(u * max_steps),
                             max_steps);
  }
  const double total = 0.5 * max_steps * (max_steps + 1);
  double sum = 0;
  for (int64_t k = 1; k < max_steps; ++k) {
    sum += k;
    if (u * total < sum) return k;
  }
  return max_steps;
}

absl::Status OutOfRange(absl::string_view field, double value,
                        absl::string_view range) {
  return absl::InvalidArgumentError(
      absl::StrCat("ctm ", field, " is ", value, "; it must be ", range));
}

}  // namespace

absl::Status CtmLossOptions::Validate() const {
  RETORT_RETURN_IF_ERROR(schedule.Validate());
  if (num_times < 2) return OutOfRange("num_times", num_times, "at least 2");
  if (max_ode_steps < 1 || max_ode_steps > num_times - 1) {
    return OutOfRange(
        "max_ode_steps", max_ode_steps,
        absl::StrCat("in [1, num_times - 1 = ", num_times - 1, "]"));
  }
  if (!(consistency_weight > 0)) {
    return OutOfRange("consistency_weight", consistency_weight, "positive");
  }
  if (!(denoising_weight >= 0)) {
    return OutOfRange("denoising_weight", denoising_weight,
                      "0 (none) or positive");
  }
  if (!std::isfinite(jump_weight_exponent)) {
    return OutOfRange("jump_weight_exponent", jump_weight_exponent, "finite");
  }
  if (!(dsm_p_std > 0)) return OutOfRange("dsm_p_std", dsm_p_std, "positive");
  if (!(dsm_grid_fraction >= 0 && dsm_grid_fraction <= 1)) {
    return OutOfRange("dsm_grid_fraction", dsm_grid_fraction, "in [0, 1]");
  }
  return absl::OkStatus();
}

at::Tensor JumpWeight(const at::Tensor& t, const at::Tensor& s,
                      double exponent) {
  return (1 - s / t).pow(-exponent);
}

CtmLoss::CtmLoss(const CtmLossOptions& options,
                 std::shared_ptr<const Distance> distance)
    : options_(options),
      distance_(std::move(distance)),
      grid_(torch::tensor(math::TimeGrid(options.schedule, options.num_times),
                          at::kDouble)) {
  RETORT_CHECK(options.Validate().ok());
}

at::Tensor CtmLoss::DrawDsmSigma(uint64_t seed, int64_t step,
                                 absl::Span<const int64_t> samples) const {
  const math::Stream stream =
      math::MakeStream(seed, RandomStream::kDenoisingTime, step);
  const at::Tensor normal =
      math::NormalPerSample(stream, samples, {1}).flatten().to(at::kDouble);
  const at::Tensor uniform =
      math::UniformPerSample(
          math::MakeStream(seed, RandomStream::kDenoisingGridTime, step),
          samples, 1)
          .flatten();
  at::Tensor sigma = (normal * options_.dsm_p_std + options_.dsm_p_mean).exp();
  double* out = sigma.data_ptr<double>();
  for (size_t i = 0; i < samples.size(); ++i) {
    if (samples[i] % 2 == 0) continue;
    out[i] = math::TimeAt(options_.schedule, options_.dsm_grid_fraction *
                                                 uniform[i].item<double>());
  }
  return sigma;
}

CtmDraws CtmLoss::Draw(uint64_t seed, int64_t step,
                       absl::Span<const int64_t> samples,
                       at::IntArrayRef image_shape) const {
  const int64_t n = options_.num_times;
  CtmDraws draws;
  draws.ode_steps =
      DrawSteps(math::UniformScalar(
                    math::MakeStream(seed, RandomStream::kOdeSteps, step), 0),
                options_.max_ode_steps, options_.weight_steps_by_k);
  const at::Tensor u = math::UniformPerSample(
      math::MakeStream(seed, RandomStream::kTrainTime, step), samples, 2);
  const int64_t starts = n - draws.ode_steps;
  draws.index =
      (u.select(1, 0) * starts).floor().to(at::kLong).clamp(0, starts - 1);
  const at::Tensor first = draws.index + draws.ode_steps;
  const at::Tensor offset =
      (u.select(1, 1) * (n - first).to(at::kDouble)).floor().to(at::kLong);
  draws.index_s = (first + offset).clamp_max(n - 1);
  draws.noise = math::NormalPerSample(
      math::MakeStream(seed, RandomStream::kTrainNoise, step), samples,
      image_shape);
  if (options_.denoising_weight > 0) {
    draws.dsm_sigma = DrawDsmSigma(seed, step, samples);
    draws.dsm_noise = math::NormalPerSample(
        math::MakeStream(seed, RandomStream::kDenoisingNoise, step), samples,
        image_shape);
  }
  return draws;
}

void CtmLoss::Consistency(const nn::ConsistencyModel& student,
                          const nn::ConsistencyModel& target,
                          nn::EdmDenoiser& teacher, const LossBatch& batch,
                          const CtmDraws& draws, uint64_t dropout_seed,
                          CtmLossResult* r) const {
  const at::Tensor& c = batch.labels;
  const int64_t k = draws.ode_steps;
  const bool all = dropout_seed != 0;
  const auto same_masks = [&](uint64_t call) {
    if (dropout_seed != 0) torch::manual_seed(dropout_seed + call);
  };
  // Draws are made on the CPU, whatever the device.
  const at::Device device = batch.images.device();
  const at::Tensor grid = grid_.to(device);
  const at::Tensor index = draws.index.to(device);
  r->t = grid.index_select(0, index);
  r->u = grid.index_select(0, index + k);
  r->s = grid.index_select(0, draws.index_s.to(device));
  const at::Tensor eps = grid.slice(0, -1).expand_as(r->s);
  const at::Tensor noise = draws.noise.to(device, at::kDouble);
  r->x_t = batch.images.to(at::kDouble) + noise * ExpandLike(r->t, noise);
  r->x_u = HeunAlongGrid(teacher, r->x_t, grid, index, k, c);
  {
    torch::NoGradGuard no_grad;
    at::Tensor x = r->x_u, from = r->u;
    if (options_.target_inner != CtmTargetInner::kNone) {
      const bool ema = options_.target_inner == CtmTargetInner::kEma;
      same_masks(0);
      x = JumpMovingRows(ema ? target : student, x, from, r->s, c, all);
      from = r->s;
    }
    same_masks(1);
    r->target = JumpMovingRows(target, x, from, eps, c, all);
  }
  const at::Tensor& via =
      options_.estimate_via == CtmEstimateVia::kU ? r->u : r->s;
  same_masks(0);
  const at::Tensor x_via = student.Jump(r->x_t, r->t, via, c);
  same_masks(1);
  // CTM, Eq. 9: the gradient passes through the outer jump into x_via.
  const nn::ConsistencyModel& outer =
      options_.estimate_outer == CtmEstimateOuter::kStudent ? student : target;
  r->estimate = JumpMovingRows(outer, x_via, via, eps, c, all);
  r->target = r->target.to(r->estimate.scalar_type());
  r->consistency = distance_->PerSample(r->estimate, r->target);
  r->consistency =
      r->consistency * Weight(r->t, r->s).to(r->consistency.options());
}

at::Tensor CtmLoss::Weight(const at::Tensor& t, const at::Tensor& s) const {
  const at::Tensor weight =
      PairWeight(options_.weight, t, options_.schedule.sigma_data);
  if (options_.jump_weight_exponent == 0) return weight;
  return weight * JumpWeight(t, s, options_.jump_weight_exponent);
}

at::Tensor CtmLoss::Denoising(nn::EdmDenoiser& net, const LossBatch& batch,
                              const CtmDraws& draws) const {
  const at::Tensor& y = batch.images;
  const at::Tensor sigma = draws.dsm_sigma.to(y.device(), at::kDouble);
  const at::Tensor x =
      y + draws.dsm_noise.to(y.options()) * ExpandLike(sigma, y);
  const at::Tensor d =
      net.Denoise(x, sigma, batch.labels, batch.augment, sigma);
  const at::Tensor weight = ExpandLike(
      PairWeight(options_.dsm_weight, sigma, options_.schedule.sigma_data), y);
  // CTM, Eq. 11; kKarras is EDM's weight.
  return (weight * (d - y).square()).flatten(1).mean(1);
}

CtmLossResult CtmLoss::AddPart(const nn::ConsistencyModel& student,
                               const nn::ConsistencyModel& target,
                               nn::EdmDenoiser& teacher, const LossBatch& batch,
                               const CtmDraws& draws, const CtmPart& part,
                               CtmSums* sums) const {
  const std::vector<at::Tensor> parameters =
      TrainableParameters(student.denoiser());
  const auto add_gradients = [&](const at::Tensor& loss, variable_list* sum) {
    if (part.on_gradients) part.on_gradients(*sum, /*taken=*/false);
    const variable_list gradients = torch::autograd::grad(
        {loss * (part.share * part.loss_scale)}, parameters, {},
        /*retain_graph=*/false, /*create_graph=*/false, /*allow_unused=*/true);
    AddTo(gradients, 1 / part.loss_scale, sum);
    if (part.on_gradients) part.on_gradients(*sum, /*taken=*/true);
  };
  CtmLossResult r;
  Consistency(student, target, teacher, batch, draws, part.dropout_seed, &r);
  if (part.on_estimate) part.on_estimate(r.estimate);
  const at::Tensor l_ctm = r.consistency.mean();
  add_gradients(l_ctm, &sums->consistency_gradient);
  sums->consistency += part.share * l_ctm.item<double>();
  if (options_.denoising_weight == 0) return r;
  r.denoising = Denoising(student.denoiser(), batch, draws);
  const at::Tensor l_dsm = r.denoising.mean();
  add_gradients(l_dsm, &sums->denoising_gradient);
  sums->denoising += part.share * l_dsm.item<double>();
  return r;
}

CtmTotal CtmLoss::Combine(const nn::ConsistencyModel& student, int64_t step,
                          const CtmSums& sums) const {
  const std::vector<at::Tensor> parameters =
      TrainableParameters(student.denoiser());
  const variable_list& g_ctm = sums.consistency_gradient;
  const variable_list& g_dsm = sums.denoising_gradient;
  CtmTotal result;
  const int64_t last =
      IndexOf(parameters, student.denoiser().LastLayerWeight());
  const double ctm_norm = LastLayerNorm(g_ctm, last);
  result.last_layer_norm = options_.consistency_weight * ctm_norm;
  if (!g_dsm.empty() && options_.adaptive_weight &&
      step >= options_.adaptive_from_step) {
    // CTM, Eq. 12.
    const double ratio = ctm_norm / (LastLayerNorm(g_dsm, last) + 1e-4);
    // Gradients that overflowed (float16) give no ratio: they stay in the sum,
    // where the caller sees them, and the losses stay numbers.
    if (!std::isnan(ratio)) {
      result.adaptive_weight = std::min(std::max(ratio, 0.0), 1e4);
    }
  }
  const double dsm_weight = options_.denoising_weight * result.adaptive_weight;
  SetCombinedGradients(parameters, options_.consistency_weight, g_ctm,
                       dsm_weight, g_dsm);
  result.total = options_.consistency_weight * sums.consistency +
                 dsm_weight * sums.denoising;
  return result;
}

CtmLossResult CtmLoss::EvaluateWithGradients(
    const nn::ConsistencyModel& student, const nn::ConsistencyModel& target,
    nn::EdmDenoiser& teacher, const LossBatch& batch, const CtmDraws& draws,
    int64_t step, uint64_t dropout_seed) const {
  CtmSums sums;
  CtmLossResult r = AddPart(student, target, teacher, batch, draws,
                            {.dropout_seed = dropout_seed}, &sums);
  const CtmTotal combined = Combine(student, step, sums);
  r.adaptive_weight = combined.adaptive_weight;
  if (r.denoising.defined()) {
    r.denoising = r.denoising.detach() * combined.adaptive_weight;
  }
  r.total = at::scalar_tensor(combined.total, r.consistency.options());
  return r;
}

}  // namespace retort::distill
