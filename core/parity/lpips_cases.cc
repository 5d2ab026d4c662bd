// Golden cases lpips_*: distances, their terms by layer and gradients, of the
// package lpips and of piq with either kind of pooling.

#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/distill/distance.h"
#include "core/distill/lpips.h"
#include "core/parity/lpips_support.h"
#include "core/parity/parity.h"

namespace retort::parity {
namespace {

using distill::Lpips;
using distill::LpipsOptions;
using nlohmann::json;

struct LpipsPrecision {
  std::string suffix;
  std::string tolerance;
  at::ScalarType dtype;
};

const LpipsPrecision kLpipsPrecisions[] = {{"_f32", "float32", at::kFloat},
                                           {"_f64", "float64", at::kDouble}};

// One way to call LPIPS that a case records: "distance" + infix.
struct LpipsVariant {
  std::string infix;
  LpipsOptions options;
  distill::DistanceOptions preparation;  // what the caller does first
  bool from_unit = false;  // the package's normalize=True, on [0, 1]
};

// The variants of a case. Images are stored in [-1, 1].
std::vector<LpipsVariant> VariantsOf(const CaseContext& c) {
  using Input = LpipsOptions::Input;
  using nn::Pooling;
  distill::DistanceOptions as_piq;
  as_piq.name = "lpips";
  as_piq.unit_range = true;
  if (c.config().value("upsample_to_224", false)) as_piq.resize = 224;
  const bool piq =
      absl::StrContains(c.name(), "piq") ||
      absl::StartsWith(
          c.json().value("source", json::object()).value("function", ""),
          "piq");
  const LpipsVariant plain =
      piq ? LpipsVariant{"", {"", Pooling::kMean, Input::kUnit}, as_piq}
          : LpipsVariant{
                "", {"", Pooling::kMax, Input::kSigned}, {.name = "lpips"}};
  return {plain,
          {"_normalize",
           {"", Pooling::kMax, Input::kSigned},
           {.name = "lpips"},
           true},
          {"_avgpool", {"", Pooling::kMean, Input::kUnit}, as_piq},
          {"_maxpool", {"", Pooling::kMax, Input::kUnit}, as_piq}};
}

absl::StatusOr<Tolerance> LpipsGradientTolerance(const CaseContext& c,
                                                 const LpipsPrecision& p) {
  const json& all = c.json().value("tolerance", json::object());
  for (const char* group : {"grad", "grads"}) {
    const json tolerance = all.value(group, json::object());
    if (tolerance.contains(p.tolerance + "_rel_l2")) {
      return Tolerance::RelL2(tolerance[p.tolerance + "_rel_l2"]);
    }
  }
  return c.ToleranceOf(p.tolerance);
}

at::Tensor PrepareForLpips(const distill::DistanceOptions& o,
                           const at::Tensor& x) {
  const at::Tensor y = o.unit_range ? (x + 1) / 2 : x;
  return o.resize == 0 ? y
                       : at::upsample_bilinear2d(y, {o.resize, o.resize},
                                                 /*align_corners=*/false);
}

// Compares what is recorded of one variant in one precision.
absl::Status RunVariant(CaseContext& c, const TensorMap& io,
                        const LpipsVariant& v, const LpipsPrecision& p,
                        std::set<std::string>* compared) {
  const std::string end = v.infix + p.suffix;
  const auto expected = [&](const std::string& name) {
    const auto found = io.find(name + end);
    if (found != io.end()) compared->insert(found->first);
    return found == io.end() ? at::Tensor() : found->second;
  };
  const at::Tensor distance = expected("distance");
  const at::Tensor per_layer = expected("per_layer");
  const at::Tensor grad0 = expected("grad_in0"), grad1 = expected("grad_in1");
  if (!distance.defined() && !per_layer.defined() && !grad0.defined() &&
      !grad1.defined()) {
    return absl::OkStatus();
  }
  RETORT_ASSIGN_OR_RETURN(const std::shared_ptr<const Lpips> lpips,
                          CaseLpips(c, v.options));
  RETORT_ASSIGN_OR_RETURN(const auto prepared,
                          distill::MakeDistance(v.preparation, lpips));
  RETORT_ASSIGN_OR_RETURN(const Tolerance tolerance,
                          c.ToleranceOf(p.tolerance));
  RETORT_ASSIGN_OR_RETURN(const Tolerance gradient,
                          LpipsGradientTolerance(c, p));
  RETORT_ASSIGN_OR_RETURN(at::Tensor a, c.Get(io, "in0"));
  RETORT_ASSIGN_OR_RETURN(at::Tensor b, c.Get(io, "in1"));
  a = a.to(p.dtype).clone().set_requires_grad(grad0.defined());
  b = b.to(p.dtype).clone().set_requires_grad(grad1.defined());
  const auto given = [&v](const at::Tensor& x) {
    return v.from_unit ? 2 * ((x + 1) / 2) - 1 : x;
  };
  const at::Tensor d = prepared->PerSample(given(a), given(b));
  if (distance.defined()) {
    c.Compare("distance" + end, d.detach(), distance, tolerance);
  }
  if (per_layer.defined()) {
    const at::Tensor terms =
        lpips->PerLayer(PrepareForLpips(v.preparation, given(a)),
                        PrepareForLpips(v.preparation, given(b)));
    c.Compare("per_layer" + end, terms.detach(), per_layer, tolerance);
  }
  if (d.requires_grad()) d.sum().backward();
  if (grad0.defined()) c.Compare("grad_in0" + end, a.grad(), grad0, gradient);
  if (grad1.defined()) c.Compare("grad_in1" + end, b.grad(), grad1, gradient);
  return absl::OkStatus();
}

absl::Status RunLpips(CaseContext& c) {
  RETORT_ASSIGN_OR_RETURN(const TensorMap io, c.Load("io.safetensors"));
  std::set<std::string> compared = {"in0", "in1"};
  for (const LpipsVariant& variant : VariantsOf(c)) {
    for (const LpipsPrecision& precision : kLpipsPrecisions) {
      RETORT_RETURN_IF_ERROR(RunVariant(c, io, variant, precision, &compared));
    }
  }
  for (const auto& [name, tensor] : io) {
    if (compared.count(name) == 0) c.NotCompared(name, "of no known kind");
  }
  return absl::OkStatus();
}

RETORT_PARITY_CASE("lpips_", RunLpips);

}  // namespace
}  // namespace retort::parity
