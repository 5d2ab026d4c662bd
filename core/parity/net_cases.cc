// Golden cases of the networks: edm_net_* and ctm_net_*.

#include <string>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/math/edm_precond.h"
#include "core/math/jump.h"
#include "core/nn/consistency_model.h"
#include "core/parity/network_support.h"

namespace retort::parity {
namespace {

// The recorded inputs and outputs of one precision.
struct Recorded {
  TensorMap io;
  at::ScalarType dtype;
  std::string suffix;  // "_f32" or "_f64"
  Tolerance tolerance;

  bool Has(const std::string& name) const {
    return io.count(name + suffix) > 0;
  }
  // An input, in the precision of the run; undefined if not recorded.
  at::Tensor Input(const std::string& name) const {
    const auto it = io.find(name);
    return it == io.end() ? at::Tensor() : it->second.to(dtype);
  }
};

void CompareOutput(CaseContext& c, const Recorded& r, const std::string& name,
                   const at::Tensor& actual) {
  if (r.Has(name)) {
    c.Compare(name + r.suffix, actual, r.io.at(name + r.suffix), r.tolerance);
  }
}

// F and D, with and without each kind of label.
absl::Status CompareOutputs(CaseContext& c, const Recorded& r,
                            nn::EdmDenoiser& net) {
  torch::NoGradGuard no_grad;
  RETORT_ASSIGN_OR_RETURN(const at::Tensor sigma32, c.Get(r.io, "sigma"));
  RETORT_ASSIGN_OR_RETURN(at::Tensor x, c.Get(r.io, "x"));
  x = x.to(r.dtype);
  const at::Tensor sigma = sigma32.to(at::kDouble);
  const at::Tensor labels = r.Input("class_labels");
  const at::Tensor augment = r.Input("augment_labels");
  const math::Scalings k = math::EdmScalings(sigma, net.config().sigma_data);
  const at::Tensor scaled = x * math::ExpandLike(k.c_in, x);
  const at::Tensor c_noise = k.c_noise.to(r.dtype);
  CompareOutput(c, r, "F", net.Raw(scaled, c_noise, labels));
  CompareOutput(c, r, "D", net.Denoise(x, sigma, labels));
  CompareOutput(c, r, "F_aug", net.Raw(scaled, c_noise, labels, augment));
  CompareOutput(c, r, "D_aug", net.Denoise(x, sigma, labels, augment));
  CompareOutput(c, r, "D_nolabel", net.Denoise(x, sigma));
  if (r.Has("D_scalar_sigma")) {
    RETORT_ASSIGN_OR_RETURN(const at::Tensor one, c.Get(r.io, "sigma_scalar"));
    CompareOutput(c, r, "D_scalar_sigma",
                  net.Denoise(x, one.to(at::kDouble), labels));
  }
  return absl::OkStatus();
}

// case.json lists the gradient norm of every parameter; null: it has none.
void CompareNorms(CaseContext& c, const std::string& suffix,
                  const nn::EdmDenoiser& net, const Tolerance& tolerance) {
  const auto norms = c.json().find("grad_l2_norms" + suffix);
  if (norms == c.json().end()) return;
  std::vector<double> actual, expected;
  for (const auto& p : net.named_parameters()) {
    const auto it = norms->find(p.key());
    if (it == norms->end()) continue;
    const at::Tensor grad = p.value().grad();
    actual.push_back(grad.defined() ? grad.to(at::kDouble).norm().item<double>()
                                    : 0);
    expected.push_back(it->is_null() ? 0 : it->get<double>());
  }
  c.Expect(absl::StrCat("every parameter's gradient norm is listed", suffix),
           actual.size() == norms->size());
  c.Compare("grad_l2_norms" + suffix, torch::tensor(actual, at::kDouble),
            torch::tensor(expected, at::kDouble), tolerance);
}

absl::Status CompareNetGradients(CaseContext& c, const Recorded& r,
                                 nn::EdmDenoiser& net) {
  RETORT_ASSIGN_OR_RETURN(const at::Tensor cotangent, c.Get(r.io, "cotangent"));
  RETORT_ASSIGN_OR_RETURN(const at::Tensor sigma, c.Get(r.io, "sigma"));
  const std::string key =
      r.dtype == at::kDouble ? "float64_rel_l2" : "float32_rel_l2";
  const Tolerance tolerance =
      Tolerance::RelL2(c.json().at("tolerance").at("grads").at(key));
  const at::Tensor x = r.Input("x").clone().set_requires_grad(true);
  const bool augmented =
      c.config().value("grad_uses", "") == "augment_labels given";
  const at::Tensor d =
      net.Denoise(x, sigma.to(at::kDouble), r.Input("class_labels"),
                  augmented ? r.Input("augment_labels") : at::Tensor());
  const at::Tensor loss = (d * cotangent.to(r.dtype)).sum();
  loss.backward();
  if (r.Has("loss")) {
    // A sum of thousands of terms of both signs: judge it against their size.
    const double size = (d * cotangent.to(r.dtype)).abs().sum().item<double>();
    Tolerance sum = r.tolerance;
    sum.atol *= std::max(1.0, size);
    sum.atol_times_max = false;
    c.Compare("loss" + r.suffix, loss, r.io.at("loss" + r.suffix), sum);
  }
  if (r.Has("grad_x")) {
    c.Compare("grad_x" + r.suffix, x.grad(), r.io.at("grad_x" + r.suffix),
              tolerance);
  }
  if (c.Has("grads.safetensors")) {
    RETORT_ASSIGN_OR_RETURN(const TensorMap grads, c.Load("grads.safetensors"));
    for (const auto& p : net.named_parameters()) {
      const auto it = grads.find(p.key() + "_f64");
      if (it == grads.end()) continue;
      c.Compare(absl::StrCat("grad ", p.key(), r.suffix), p.value().grad(),
                it->second, tolerance);
    }
  }
  CompareNorms(c, r.suffix, net, tolerance);
  return absl::OkStatus();
}

absl::Status RunEdmNet(CaseContext& c) {
  RETORT_ASSIGN_OR_RETURN(const nn::NetworkConfig config,
                          CaseNetworkConfig(c.config()));
  RETORT_ASSIGN_OR_RETURN(const TensorMap io, c.Load("io.safetensors"));
  for (const auto dtype : {at::kFloat, at::kDouble}) {
    const bool f64 = dtype == at::kDouble;
    RETORT_ASSIGN_OR_RETURN(const Tolerance tolerance,
                            c.ToleranceOf(f64 ? "float64" : "float32"));
    const Recorded r{io, dtype, f64 ? "_f64" : "_f32", tolerance};
    RETORT_ASSIGN_OR_RETURN(
        const auto net,
        LoadCaseNetwork(c, config, "weights.safetensors", dtype));
    RETORT_RETURN_IF_ERROR(CompareOutputs(c, r, *net));
    if (io.count("cotangent") > 0) {
      RETORT_RETURN_IF_ERROR(CompareNetGradients(c, r, *net));
    }
  }
  return absl::OkStatus();
}
RETORT_PARITY_CASE("edm_net_", RunEdmNet);

absl::Status CompareCtm(CaseContext& c, const Recorded& r,
                        const std::shared_ptr<nn::EdmDenoiser>& net) {
  torch::NoGradGuard no_grad;
  RETORT_ASSIGN_OR_RETURN(const at::Tensor t32, c.Get(r.io, "t"));
  RETORT_ASSIGN_OR_RETURN(const at::Tensor s32, c.Get(r.io, "s"));
  RETORT_ASSIGN_OR_RETURN(at::Tensor x, c.Get(r.io, "x"));
  x = x.to(r.dtype);
  const at::Tensor t = t32.to(at::kDouble);
  const at::Tensor s = s32.to(at::kDouble);
  const nn::NetworkConfig& config = net->config();
  at::Tensor labels;
  if (const auto y = r.io.find("y"); y != r.io.end()) {
    labels = OneHot(y->second, config.label_dim, r.dtype);
  }
  const math::Scalings k = math::EdmScalings(t, config.sigma_data);
  CompareOutput(c, r, "F",
                net->Raw(x * math::ExpandLike(k.c_in, x), k.c_noise.to(r.dtype),
                         labels, {}, (s.log() / 4).to(r.dtype)));
  CompareOutput(c, r, "g", net->Denoise(x, t, labels, {}, s));
  const nn::ConsistencyModel model(net, std::make_shared<math::CtmJump>());
  CompareOutput(c, r, "G", model.Jump(x, t, s, labels));
  return absl::OkStatus();
}

absl::Status RunCtmNet(CaseContext& c) {
  RETORT_ASSIGN_OR_RETURN(const nn::NetworkConfig config,
                          CaseNetworkConfig(c.config()));
  RETORT_ASSIGN_OR_RETURN(const TensorMap io, c.Load("io.safetensors"));
  for (const auto dtype : {at::kFloat, at::kDouble}) {
    const bool f64 = dtype == at::kDouble;
    RETORT_ASSIGN_OR_RETURN(const Tolerance tolerance,
                            c.ToleranceOf(f64 ? "float64" : "float32"));
    RETORT_ASSIGN_OR_RETURN(
        const auto net,
        LoadCaseNetwork(c, config, "weights.safetensors", dtype));
    RETORT_RETURN_IF_ERROR(
        CompareCtm(c, {io, dtype, f64 ? "_f64" : "_f32", tolerance}, net));
  }
  return absl::OkStatus();
}
RETORT_PARITY_CASE("ctm_net_", RunCtmNet);

}  // namespace
}  // namespace retort::parity
