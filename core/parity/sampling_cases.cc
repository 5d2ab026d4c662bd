// Golden cases of sampling: consistency models (cm_sampling) and consistency
// trajectory models (ctm_sampling). Which sampler made which tensor is read
// from case.json: each result's "meaning" lists sampler, steps, grid indices
// ("ts") and options.

#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>
#include <optional>
#include <regex>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "core/base/status_macros.h"
#include "core/math/heun.h"
#include "core/math/jump.h"
#include "core/nn/consistency_model.h"
#include "core/parity/network_support.h"
#include "core/parity/parity.h"
#include "core/sample/run_plan.h"
#include "core/sample/sample_plan.h"

namespace retort::parity {
namespace {

using sample::PlannedStep;
using sample::SamplePlan;
using sample::Solver;

// What a "meaning" says.
struct SamplerRun {
  std::string sampler;
  int64_t steps = 0;
  std::vector<int64_t> ts;  // empty for "None"
  double gamma = 0;
  int64_t ind_1 = -1, ind_2 = -1;
  bool clip_denoised = false;
};

std::optional<std::string> MeaningField(const std::string& meaning,
                                        const std::string& pattern) {
  std::smatch match;
  if (!std::regex_search(meaning, match, std::regex(pattern))) return {};
  return match[1].str();
}

absl::StatusOr<SamplerRun> ParseSamplerRun(const std::string& meaning) {
  SamplerRun run;
  const auto sampler = MeaningField(meaning, "sampler=([a-z_]+)");
  const auto steps = MeaningField(meaning, "steps=([0-9]+)");
  if (!sampler || !steps || !absl::SimpleAtoi(*steps, &run.steps)) {
    return absl::InvalidArgumentError("no sampler and steps in: " + meaning);
  }
  run.sampler = *sampler;
  const std::string ts =
      MeaningField(meaning, "ts=[\\[(]([0-9, ]*)[\\])]").value_or("");
  for (absl::string_view part :
       absl::StrSplit(ts, absl::ByAnyChar(", "), absl::SkipEmpty())) {
    if (!absl::SimpleAtoi(part, &run.ts.emplace_back())) {
      return absl::InvalidArgumentError("bad ts in: " + meaning);
    }
  }
  if (const auto gamma = MeaningField(meaning, "'gamma': ([0-9.eE+-]+)")) {
    if (!absl::SimpleAtod(*gamma, &run.gamma)) {
      return absl::InvalidArgumentError("bad gamma in: " + meaning);
    }
  }
  if (const auto i = MeaningField(meaning, "ind_1=([0-9]+)"))
    run.ind_1 = std::stoll(*i);
  if (const auto i = MeaningField(meaning, "ind_2=([0-9]+)"))
    run.ind_2 = std::stoll(*i);
  run.clip_denoised = MeaningField(meaning, "clip_denoised=(True)").has_value();
  return run;
}

absl::StatusOr<std::vector<double>> PickTimes(const std::vector<double>& grid,
                                              const std::vector<int64_t>& ts) {
  std::vector<double> times;
  for (int64_t i : ts) {
    if (i < 0 || i >= static_cast<int64_t>(grid.size())) {
      return absl::InvalidArgumentError(
          absl::StrCat("index ", i, " is not on the grid"));
    }
    times.push_back(grid[i]);
  }
  return times;
}

// A case while it runs.
struct SamplingSetting {
  CaseContext* context;
  TensorMap io;
  math::NoiseSchedule schedule;
  std::shared_ptr<nn::EdmDenoiser> net;
  at::Tensor labels;           // one-hot; undefined without
  bool clip_denoised = false;  // of the whole case
};

// The recorded inputs of all network calls, compared as the calls come.
struct CallRecorder {
  std::vector<at::Tensor> x, t, s;

  sample::StepFunction Around(sample::StepFunction step) {
    return [this, step](const at::Tensor& y, const at::Tensor& from,
                        const at::Tensor& to) {
      x.push_back(y);
      t.push_back(from[0]);
      s.push_back(to[0]);
      return step(y, from, to);
    };
  }
};

SamplePlan EulerPlan(const std::vector<double>& times) {
  SamplePlan plan;
  plan.first_sigma = times.front();
  for (size_t i = 0; i + 1 < times.size(); ++i) {
    plan.steps.push_back({0, times[i], times[i + 1]});
  }
  return plan;
}

// The references take any list of times: the first noise is always that of
// sigma_max, times may repeat, and the last need not be sigma_min.
SamplePlan UnusualPlan(const SamplingSetting& c,
                       const sample::PlanOptions& options) {
  const double eps = c.schedule.sigma_min;
  const double gamma =
      options.solver == Solver::kConsistency ? 1 : options.gamma;
  SamplePlan plan;
  plan.solver = options.solver;
  plan.first_sigma = c.schedule.sigma_max;
  double noise = 0;
  for (size_t i = 0; i + 1 < options.times.size(); ++i) {
    const double next = options.times[i + 1];
    const double s = std::sqrt(1 - gamma * gamma) * (next - eps) + eps;
    plan.steps.push_back({noise, options.times[i], s});
    noise = std::sqrt(std::max(0.0, next * next - s * s));
  }
  return plan;
}

// Jumps of a consistency (trajectory) model at explicit times; `ends` is where
// the last jump ends.
absl::StatusOr<SamplePlan> JumpPlan(const SamplingSetting& c, Solver solver,
                                    const SamplerRun& run) {
  sample::PlanOptions options;
  options.solver = solver;
  options.schedule = c.schedule;
  options.gamma = run.gamma;
  if (run.ts.empty()) {
    options.steps = run.steps;
    return sample::MakePlan(options);
  }
  RETORT_ASSIGN_OR_RETURN(
      options.times, PickTimes(math::TimeGrid(c.schedule, run.steps), run.ts));
  const bool usual =
      run.ts.front() == 0 && run.ts.back() == run.steps - 1 &&
      std::adjacent_find(run.ts.begin(), run.ts.end(),
                         std::greater_equal<int64_t>()) == run.ts.end();
  if (usual) {
    options.times.pop_back();
    return sample::MakePlan(options);
  }
  return UnusualPlan(c, options);
}

// CTM's sample_gamma: jump past, add noise back up, jump to the end.
absl::StatusOr<SamplePlan> TwoJumpPlan(const SamplingSetting& c,
                                       const SamplerRun& run) {
  const std::vector<double> grid = math::TimeGrid(c.schedule, run.steps);
  RETORT_ASSIGN_OR_RETURN(std::vector<double> t,
                          PickTimes(grid, {run.ind_1, run.ind_2}));
  SamplePlan plan;
  plan.first_sigma = grid.front();
  plan.steps = {{0, grid.front(), t[0]},
                {std::sqrt(t[1] * t[1] - t[0] * t[0]), t[1], grid.back()}};
  return plan;
}

// The grid and, where the reference's diffusion samplers end, 0.
std::vector<double> GridAndZero(const SamplingSetting& c, int64_t n) {
  std::vector<double> times = math::TimeGrid(c.schedule, n);
  times.push_back(0);
  return times;
}

// A denoiser with s = t ("g"), for a network with two times; or a teacher's.
math::Denoiser DenoiserOf(const SamplingSetting& c, const SamplerRun& run,
                          CallRecorder* recorder) {
  const bool clip = c.clip_denoised || run.clip_denoised;
  // CTM's Euler sampler leaves s at its default, which is 1.
  const bool one = run.sampler == "euler";
  return
      [&c, clip, one, recorder](const at::Tensor& x, const at::Tensor& sigma) {
        const at::Tensor s = one ? at::ones_like(sigma) : sigma;
        recorder->x.push_back(x);
        recorder->t.push_back(sigma[0]);
        recorder->s.push_back(s[0]);
        const at::Tensor d = c.net->Denoise(x, sigma, c.labels, {}, s);
        return clip ? d.clamp(-1, 1) : d;
      };
}

absl::StatusOr<at::Tensor> RunDiffusion(const SamplingSetting& c,
                                        const SamplerRun& run,
                                        int64_t euler_nodes,
                                        const at::Tensor& latents,
                                        CallRecorder* recorder) {
  const math::Denoiser denoise = DenoiserOf(c, run, recorder);
  const auto no_noise = [](uint64_t, const at::Tensor& x) { return x; };
  if (run.sampler == "heun") {
    sample::PlanOptions options;
    options.solver = Solver::kHeun;
    options.schedule = c.schedule;
    options.steps = run.steps;
    RETORT_ASSIGN_OR_RETURN(SamplePlan plan, sample::MakePlan(options));
    return sample::RunPlan(
        plan, latents,
        [&](const at::Tensor& x, const at::Tensor& t, const at::Tensor& u) {
          return math::HeunStep(denoise, x, t, u);
        },
        no_noise);
  }
  // Euler's step is CTM's jump with a denoiser that ignores its end.
  const std::vector<double> times = GridAndZero(c, euler_nodes);
  return sample::RunPlan(
      EulerPlan(times), latents,
      [&](const at::Tensor& x, const at::Tensor& t, const at::Tensor& u) {
        at::Tensor a, b;
        math::CtmJump().Coefficients(t, u, &a, &b);
        return a.view({-1, 1, 1, 1}) * x +
               b.view({-1, 1, 1, 1}) * denoise(x, t);
      },
      no_noise);
}

// Runs a plan of jumps with the noise recorded under `name`.
absl::StatusOr<at::Tensor> RunJumps(
    const SamplingSetting& c, const SamplePlan& plan,
    const nn::ConsistencyModel& model, const std::string& name,
    const at::Tensor& latents, bool clip_denoised, CallRecorder* recorder) {
  at::Tensor noise;
  const auto found = c.io.find(name + ".noise");
  if (found != c.io.end()) noise = found->second;
  sample::RunOptions options;
  options.clip_denoised = clip_denoised;
  for (const PlannedStep& step : plan.steps) {
    if (step.noise > 0 && !noise.defined()) {
      return absl::NotFoundError("no recorded noise for " + name);
    }
  }
  return sample::RunPlan(
      plan, latents,
      recorder->Around(
          [&](const at::Tensor& x, const at::Tensor& t, const at::Tensor& s) {
            return model.Jump(x, t, s, c.labels);
          }),
      // The first recorded noise is added before step 1, which is draw 2.
      [&](uint64_t draw, const at::Tensor&) {
        return noise[static_cast<int64_t>(draw) - 2];
      },
      options);
}

absl::StatusOr<SamplingSetting> OpenSampling(CaseContext& c,
                                             nn::NetworkConfig network) {
  SamplingSetting setting{&c};
  RETORT_ASSIGN_OR_RETURN(setting.io, c.Load("io.safetensors"));
  setting.schedule.sigma_min = c.config().value("sigma_min", 0.002);
  setting.schedule.sigma_max = c.config().value("sigma_max", 80.0);
  setting.schedule.rho = c.config().value("rho", 7.0);
  setting.schedule.sigma_data = network.sigma_data;
  setting.clip_denoised = c.config().value("clip_denoised", false);
  RETORT_ASSIGN_OR_RETURN(
      setting.net,
      LoadCaseNetwork(c, network, "weights.safetensors", at::kDouble));
  if (const auto y = setting.io.find("y"); y != setting.io.end()) {
    if (network.label_dim > 0) {
      setting.labels = OneHot(y->second, network.label_dim, at::kDouble);
    }
  } else if (const auto l = setting.io.find("class_labels");
             l != setting.io.end()) {
    setting.labels = l->second.to(at::kDouble);
  }
  return setting;
}

// Calls `run` for each result named "<name><suffix>" with its "meaning".
absl::Status ForEachRun(
    const SamplingSetting& setting, const std::string& suffix,
    const std::function<absl::Status(const std::string&, const SamplerRun&)>&
        run) {
  const nlohmann::json& tensors =
      setting.context->json().at("files").at("io.safetensors");
  for (const auto& item : tensors.items()) {
    const std::string& key = item.key();
    if (key.size() <= suffix.size() ||
        key.compare(key.size() - suffix.size(), suffix.size(), suffix) != 0 ||
        !item.value().contains("meaning")) {
      continue;
    }
    RETORT_ASSIGN_OR_RETURN(
        SamplerRun parsed,
        ParseSamplerRun(item.value().at("meaning").get<std::string>()));
    RETORT_RETURN_IF_ERROR(
        run(key.substr(0, key.size() - suffix.size()), parsed));
  }
  return absl::OkStatus();
}

absl::StatusOr<nn::NetworkConfig> SamplingNetwork(CaseContext& context) {
  nlohmann::json config = context.config();
  RETORT_ASSIGN_OR_RETURN(const TensorMap io, context.Load("io.safetensors"));
  RETORT_ASSIGN_OR_RETURN(const at::Tensor latents, context.Get(io, "latents"));
  if (!config.contains("img_channels")) {
    config["img_channels"] = latents.size(1);
  }
  return CaseNetworkConfig(config);
}

absl::Status RunCmSampling(CaseContext& context) {
  RETORT_ASSIGN_OR_RETURN(nn::NetworkConfig network, SamplingNetwork(context));
  RETORT_ASSIGN_OR_RETURN(SamplingSetting c, OpenSampling(context, network));
  RETORT_ASSIGN_OR_RETURN(Tolerance tolerance, context.ToleranceOf("float64"));
  RETORT_ASSIGN_OR_RETURN(at::Tensor latents, context.Get(c.io, "latents"));
  const nn::ConsistencyModel model(
      c.net,
      std::make_shared<math::CmJump>(c.schedule.sigma_min, network.sigma_data));
  return ForEachRun(
      c, ".x_raw", [&](const std::string& name, const SamplerRun& run) {
        CallRecorder recorder;
        absl::StatusOr<at::Tensor> x;
        if (run.sampler == "heun" || run.sampler == "euler") {
          x = RunDiffusion(c, run, /*euler_nodes=*/run.steps, latents,
                           &recorder);
        } else {
          SamplerRun jumps = run;
          // A one-step run's "steps" is the grid it was trained on.
          if (run.sampler == "onestep") jumps.steps = 1;
          RETORT_ASSIGN_OR_RETURN(SamplePlan plan,
                                  JumpPlan(c, Solver::kConsistency, jumps));
          x = RunJumps(c, plan, model, name, latents,
                       run.clip_denoised || c.clip_denoised, &recorder);
          if (x.ok() && !run.ts.empty() && run.ts.back() != run.steps - 1) {
            // The reference adds noise after the last jump, too.
            const double t =
                math::TimeGrid(c.schedule, run.steps)[run.ts.back()];
            const double eps = c.schedule.sigma_min;
            *x = *x + std::sqrt(t * t - eps * eps) *
                          c.io.at(name + ".noise")[plan.steps.size() - 1];
          }
        }
        RETORT_RETURN_IF_ERROR(x.status());
        context.Compare(name + ".x_raw", *x, c.io.at(name + ".x_raw"),
                        tolerance);
        const auto clamped = c.io.find(name + ".x");
        if (clamped != c.io.end()) {
          context.Compare(clamped->first, x->clamp(-1, 1), clamped->second,
                          tolerance);
        }
        return absl::OkStatus();
      });
}

// Compares the levels and states of all network calls, where recorded.
void CompareCalls(const SamplingSetting& c, const std::string& name,
                  const CallRecorder& recorder, const Tolerance& tolerance) {
  const std::pair<const char*, const std::vector<at::Tensor>*> calls[] = {
      {".t", &recorder.t}, {".s", &recorder.s}, {".x_in", &recorder.x}};
  for (const auto& [suffix, values] : calls) {
    const auto found = c.io.find(name + suffix);
    if (found == c.io.end()) continue;
    c.context->Compare(found->first, at::stack(*values), found->second,
                       tolerance);
  }
}

absl::StatusOr<SamplePlan> CtmPlan(const SamplingSetting& c,
                                   const SamplerRun& run) {
  if (run.sampler == "gamma") return TwoJumpPlan(c, run);
  SamplerRun jumps = run;
  if (run.sampler == "exact") {
    jumps.gamma = 0;
  } else if (run.sampler == "cm_multistep") {
    jumps.gamma = 1;
  } else if (run.sampler != "gamma_multistep") {
    return absl::InvalidArgumentError("unknown sampler " + run.sampler);
  }
  return JumpPlan(c, Solver::kTrajectory, jumps);
}

absl::Status RunCtmSampling(CaseContext& context) {
  RETORT_ASSIGN_OR_RETURN(nn::NetworkConfig network, SamplingNetwork(context));
  RETORT_ASSIGN_OR_RETURN(SamplingSetting c, OpenSampling(context, network));
  RETORT_ASSIGN_OR_RETURN(Tolerance tolerance, context.ToleranceOf("float64"));
  RETORT_ASSIGN_OR_RETURN(at::Tensor latents, context.Get(c.io, "latents"));
  const nn::ConsistencyModel model(c.net, std::make_shared<math::CtmJump>());
  const bool clip_output = context.config().value("clip_output", false);
  return ForEachRun(
      c, ".x0", [&](const std::string& name, const SamplerRun& run) {
        CallRecorder recorder;
        absl::StatusOr<at::Tensor> x;
        if (run.sampler == "heun" || run.sampler == "euler") {
          x = RunDiffusion(c, run, /*euler_nodes=*/run.steps + 1, latents,
                           &recorder);
        } else {
          RETORT_ASSIGN_OR_RETURN(SamplePlan plan, CtmPlan(c, run));
          x = RunJumps(c, plan, model, name, latents, c.clip_denoised,
                       &recorder);
        }
        RETORT_RETURN_IF_ERROR(x.status());
        CompareCalls(c, name, recorder, tolerance);
        context.Compare(name + ".x0", clip_output ? x->clamp(-1, 1) : *x,
                        c.io.at(name + ".x0"), tolerance);
        return absl::OkStatus();
      });
}

RETORT_PARITY_CASE("cm_sampling", RunCmSampling);
RETORT_PARITY_CASE("ctm_sampling", RunCtmSampling);

}  // namespace
}  // namespace retort::parity
