// Golden cases of time grids and EDM's sampler: edm_schedule, edm_sampler_*.

#include <algorithm>
#include <limits>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "core/base/status_macros.h"
#include "core/math/edm_precond.h"
#include "core/math/heun.h"
#include "core/math/noise_schedule.h"
#include "core/parity/network_support.h"

namespace retort::parity {
namespace {

at::Tensor GridThenZero(const math::NoiseSchedule& schedule, int64_t n) {
  std::vector<double> grid = math::TimeGrid(schedule, n);
  grid.push_back(0);
  return torch::tensor(grid, at::kDouble);
}

absl::Status RunSchedule(CaseContext& c) {
  RETORT_ASSIGN_OR_RETURN(const TensorMap io, c.Load("io.safetensors"));
  RETORT_ASSIGN_OR_RETURN(const Tolerance f64, c.ToleranceOf("float64"));
  RETORT_ASSIGN_OR_RETURN(const Tolerance f32, c.ToleranceOf("float32"));
  const auto schedule = c.config().get<math::NoiseSchedule>();
  for (const auto& [name, expected] : io) {
    // t_steps_N18_rho7
    const std::vector<std::string> parts = absl::StrSplit(name, '_');
    int64_t n = 0;
    double rho = 0;
    if (parts.size() != 4 || parts[0] != "t" ||
        !absl::SimpleAtoi(parts[2].substr(1), &n) ||
        !absl::SimpleAtod(parts[3].substr(3), &rho)) {
      continue;
    }
    math::NoiseSchedule s = schedule;
    s.rho = rho;
    c.Compare(name, GridThenZero(s, n), expected, f64);
  }
  RETORT_ASSIGN_OR_RETURN(const at::Tensor sigma, c.Get(io, "sigma"));
  const math::Scalings k =
      math::EdmScalings(sigma.to(at::kDouble), schedule.sigma_data);
  const std::vector<std::pair<std::string, at::Tensor>> scalars = {
      {"c_skip", k.c_skip},
      {"c_out", k.c_out},
      {"c_in", k.c_in},
      {"c_noise", k.c_noise}};
  for (const auto& [name, actual] : scalars) {
    RETORT_ASSIGN_OR_RETURN(const at::Tensor expected, c.Get(io, name));
    c.Compare(name, actual, expected, f32);
  }
  return absl::OkStatus();
}
RETORT_PARITY_CASE("edm_schedule", RunSchedule);

// JSON has no infinity: case files write the word.
double NumberOrInfinity(const nlohmann::json& object, const char* key,
                        double otherwise) {
  const auto found = object.find(key);
  if (found == object.end()) return otherwise;
  if (found->is_null() || (found->is_string() && *found == "inf")) {
    return std::numeric_limits<double>::infinity();
  }
  return found->get<double>();
}

math::HeunOptions SamplerOptions(const nlohmann::json& config,
                                 const TensorMap& io) {
  const nlohmann::json& sampler = config.at("sampler");
  math::HeunOptions options;
  options.schedule = sampler.get<math::NoiseSchedule>();
  // The network's own range narrows the sampler's.
  options.schedule.sigma_min =
      std::max(options.schedule.sigma_min, config.value("sigma_min", 0.0));
  options.schedule.sigma_max =
      std::min(options.schedule.sigma_max,
               NumberOrInfinity(config, "sigma_max",
                                std::numeric_limits<double>::infinity()));
  options.num_steps = sampler.value("num_steps", int64_t{18});
  options.s_churn = sampler.value("S_churn", 0.0);
  options.s_min = sampler.value("S_min", 0.0);
  options.s_max = NumberOrInfinity(sampler, "S_max", options.s_max);
  options.s_noise = sampler.value("S_noise", 1.0);
  const auto noise = io.find("noise");
  if (noise != io.end()) {
    options.noise = [all = noise->second](int64_t step, const at::Tensor&) {
      return all.select(0, step);
    };
  }
  return options;
}

absl::Status RunSamplerIn(CaseContext& c, const TensorMap& io,
                          at::ScalarType dtype) {
  torch::NoGradGuard no_grad;
  const std::string kind = dtype == at::kDouble ? "f64net" : "f32net";
  RETORT_ASSIGN_OR_RETURN(
      const Tolerance tolerance,
      c.ToleranceOf(dtype == at::kDouble ? "float64_net" : "float32_net"));
  RETORT_ASSIGN_OR_RETURN(const nn::NetworkConfig config,
                          CaseNetworkConfig(c.config()));
  RETORT_ASSIGN_OR_RETURN(
      const auto net, LoadCaseNetwork(c, config, "weights.safetensors", dtype));
  RETORT_ASSIGN_OR_RETURN(const at::Tensor latents, c.Get(io, "latents"));
  RETORT_ASSIGN_OR_RETURN(const at::Tensor final, c.Get(io, "x_final_" + kind));
  at::Tensor labels;
  if (io.count("class_labels") > 0) labels = io.at("class_labels");
  std::vector<at::Tensor> call_x, call_sigma, call_d;
  const math::Denoiser denoiser = [&](const at::Tensor& x,
                                      const at::Tensor& sigma) {
    call_x.push_back(x);
    call_sigma.push_back(sigma[0]);
    call_d.push_back(net->Denoise(x, sigma, labels).to(at::kDouble));
    return call_d.back();
  };
  const at::Tensor actual =
      math::HeunSample(denoiser, latents, SamplerOptions(c.config(), io));
  c.Compare("x_final_" + kind, actual, final, tolerance);
  const std::vector<std::pair<std::string, std::vector<at::Tensor>*>> calls = {
      {"call_sigma_", &call_sigma}, {"call_x_", &call_x}, {"call_D_", &call_d}};
  for (const auto& [name, recorded] : calls) {
    const auto it = io.find(name + kind);
    if (it == io.end()) continue;
    c.Compare(name + kind, at::stack(*recorded), it->second, tolerance);
  }
  return absl::OkStatus();
}

absl::Status RunSampler(CaseContext& c) {
  RETORT_ASSIGN_OR_RETURN(const TensorMap io, c.Load("io.safetensors"));
  RETORT_RETURN_IF_ERROR(RunSamplerIn(c, io, at::kFloat));
  return RunSamplerIn(c, io, at::kDouble);
}
RETORT_PARITY_CASE("edm_sampler_", RunSampler);

}  // namespace
}  // namespace retort::parity
