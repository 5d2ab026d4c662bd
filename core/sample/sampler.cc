#include "core/sample/sampler.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/check.h"
#include "core/base/status_macros.h"
#include "core/math/heun.h"
#include "core/sample/run_plan.h"
#include "core/sample/sample_noise.h"

namespace retort::sample {
namespace {

absl::Status BadSampling(absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("sampling: ", what));
}

absl::StatusOr<std::vector<int64_t>> IndicesOf(const SampleOptions& options) {
  std::vector<int64_t> indices = options.indices;
  if (indices.empty()) {
    if (options.count < 1) {
      return BadSampling(
          absl::StrCat("count = ", options.count, " must be at least 1"));
    }
    if (options.first_index < 0 ||
        options.first_index >
            std::numeric_limits<int64_t>::max() - options.count) {
      return BadSampling(
          absl::StrCat("first_index = ", options.first_index,
                       " must not be negative, nor first_index + count "
                       "pass 2^63"));
    }
    indices.resize(options.count);
    std::iota(indices.begin(), indices.end(), options.first_index);
  }
  for (int64_t index : indices) {
    if (index < 0) {
      return BadSampling(absl::StrCat("image index ", index, " is negative"));
    }
  }
  return indices;
}

absl::StatusOr<std::vector<int64_t>> ClassesOf(
    const SampleOptions& options, const std::vector<int64_t>& indices,
    int64_t label_dim) {
  const std::vector<int64_t>& given = options.classes;
  if (label_dim == 0) {
    if (!given.empty()) {
      return BadSampling("the model is unconditional; leave the classes out");
    }
    return std::vector<int64_t>();
  }
  if (given.size() > 1 && given.size() != indices.size()) {
    return BadSampling(absl::StrCat(
        "there are ", given.size(), " classes for ", indices.size(),
        " images; give none, one, or one for each image"));
  }
  for (int64_t c : given) {
    if (c < 0 || c >= label_dim) {
      return BadSampling(
          absl::StrCat("class ", c, " must lie between 0 and ", label_dim - 1));
    }
  }
  std::vector<int64_t> classes(indices.size());
  for (size_t i = 0; i < indices.size(); ++i) {
    classes[i] = given.empty()       ? indices[i] % label_dim
                 : given.size() == 1 ? given.front()
                                     : given[i];
  }
  return classes;
}

absl::Status FromTorch(const c10::Error& e, bool memory, int64_t images) {
  const std::string what = e.what_without_backtrace();
  if (memory) {
    return absl::ResourceExhaustedError(
        absl::StrCat("sampling: out of memory with ", images,
                     " images in a batch; use a smaller batch_size: ", what));
  }
  return absl::InternalError(absl::StrCat("sampling: ", what));
}

}  // namespace

Sampler::Sampler(nn::ConsistencyModel model)
    : model_(std::move(model)), net_(model_->shared_denoiser()) {
  net_->eval();
}

Sampler::Sampler(std::shared_ptr<nn::EdmDenoiser> teacher)
    : net_(std::move(teacher)) {
  RETORT_CHECK(net_ != nullptr);
  net_->eval();
}

absl::Status Sampler::CheckSolver(Solver solver) const {
  if (is_teacher() != (solver == Solver::kHeun)) {
    return BadSampling(absl::StrCat(
        "solver '", std::string(SolverName(solver)), "' does not suit a ",
        is_teacher() ? "teacher; use 'heun'"
                     : "consistency model; use 'cm' or 'ctm'"));
  }
  if (solver == Solver::kTrajectory &&
      !(config().two_times && model_->jump().any_end())) {
    return BadSampling(
        "solver 'ctm' needs a consistency trajectory model, which knows "
        "where its jumps end; this is a consistency model: use 'cm'");
  }
  return absl::OkStatus();
}

at::Tensor Sampler::OneHot(absl::Span<const int64_t> classes) const {
  const int64_t label_dim = config().label_dim;
  if (label_dim == 0) return {};
  const int64_t n = static_cast<int64_t>(classes.size());
  at::Tensor labels = at::zeros({n, label_dim}, at::kFloat);
  for (int64_t i = 0; i < n; ++i) labels[i][classes[i]] = 1;
  return labels.to(device(), net_->dtype());
}

at::Tensor Sampler::Step(const at::Tensor& x, const at::Tensor& from,
                         const at::Tensor& to, const at::Tensor& labels) const {
  torch::NoGradGuard no_grad;
  if (model_.has_value()) {
    return model_->Jump(x, from, to, labels).to(at::kDouble);
  }
  const math::Denoiser denoise = [&](const at::Tensor& y,
                                     const at::Tensor& sigma) {
    return net_->Denoise(y, sigma, labels);
  };
  return math::HeunStep(denoise, x, from, to);
}

absl::StatusOr<at::Tensor> Sampler::SampleBatch(
    const SamplePlan& plan, const SampleOptions& options,
    absl::Span<const int64_t> indices,
    absl::Span<const int64_t> classes) const {
  const int64_t channels = config().img_channels;
  const int64_t size = config().img_resolution;
  const auto draw_noise = [&](uint64_t draw) {
    std::vector<NoiseKey> keys;
    for (int64_t index : indices) keys.push_back({options.seed, index, draw});
    return SampleNoise(keys, {channels, size, size}).to(device(), at::kDouble);
  };
  const at::Tensor labels = OneHot(classes);
  RunOptions run;
  run.clip_denoised = options.clip_denoised;
  run.stop = options.stop;
  return RunPlan(
      plan, draw_noise(0),
      [&](const at::Tensor& x, const at::Tensor& from, const at::Tensor& to) {
        return Step(x, from, to, labels);
      },
      [&](uint64_t draw, const at::Tensor&) { return draw_noise(draw); }, run);
}

absl::StatusOr<SampleResult> Sampler::Sample(
    const SampleOptions& options) const {
  RETORT_RETURN_IF_ERROR(CheckSolver(options.plan.solver));
  RETORT_ASSIGN_OR_RETURN(SamplePlan plan, MakePlan(options.plan));
  if (options.clip_denoised && plan.solver != Solver::kConsistency) {
    return BadSampling(
        "clip_denoised is for the solver 'cm', whose jumps all end in "
        "images; leave it out");
  }
  if (options.batch_size < 1) {
    return BadSampling(absl::StrCat("batch_size = ", options.batch_size,
                                    " must be at least 1"));
  }
  RETORT_ASSIGN_OR_RETURN(std::vector<int64_t> indices, IndicesOf(options));
  SampleResult result;
  RETORT_ASSIGN_OR_RETURN(result.classes,
                          ClassesOf(options, indices, config().label_dim));
  result.network_calls = plan.NetworkCalls();
  const int64_t total = static_cast<int64_t>(indices.size());
  std::vector<at::Tensor> batches;
  try {
    for (int64_t first = 0; first < total; first += options.batch_size) {
      const auto batch = absl::MakeSpan(indices).subspan(
          first, std::min(options.batch_size, total - first));
      RETORT_ASSIGN_OR_RETURN(
          at::Tensor x,
          SampleBatch(
              plan, options, batch,
              absl::MakeSpan(result.classes)
                  .subspan(result.classes.empty() ? 0 : first, batch.size())));
      batches.push_back(x.to(at::kCPU, at::kFloat));
      if (options.progress) {
        options.progress(first + static_cast<int64_t>(batch.size()), total);
      }
    }
    result.images = at::cat(batches);
  } catch (const c10::OutOfMemoryError& e) {
    return FromTorch(e, true, std::min(options.batch_size, total));
  } catch (const c10::Error& e) {
    return FromTorch(e, false, std::min(options.batch_size, total));
  }
  if (!at::isfinite(result.images).all().item<bool>()) {
    return absl::InternalError(
        "sampling: the model's images are not finite; its training diverged, "
        "use an earlier checkpoint");
  }
  return result;
}

}  // namespace retort::sample
