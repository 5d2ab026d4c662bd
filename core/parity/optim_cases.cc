#include <algorithm>
#include <limits>
#include <memory>
#include <regex>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/parity/parity.h"
#include "core/train/ema.h"
#include "core/train/optimizer.h"

// Golden cases optim_*: parameters after each step of a recorded sequence of
// gradients, moments and averages; and EDM's loop around Adam.
namespace retort::parity {
namespace {

using nlohmann::json;

// An optimiser's name, options and learning rate.
struct Setting {
  train::OptimizerOptions options;
  double learning_rate = 0;
};

// Reads what a case says about a run: "RAdam {'lr': 0.01, 'betas': (0.9,
// 0.999)}", a class and its arguments as Python prints them.
absl::StatusOr<Setting> ParseSetting(const std::string& meaning) {
  const size_t brace = meaning.find('{');
  if (brace == std::string::npos) {
    return absl::InvalidArgumentError("no optimizer settings in: " + meaning);
  }
  Setting setting;
  setting.options.name = meaning.compare(0, 5, "RAdam") == 0 ? "radam" : "adam";
  std::string text = meaning.substr(brace);
  std::replace(text.begin(), text.end(), '\'', '"');
  std::replace(text.begin(), text.end(), '(', '[');
  std::replace(text.begin(), text.end(), ')', ']');
  const json values = json::parse(text);
  setting.learning_rate = values.value("lr", 1e-3);
  setting.options.weight_decay = values.value("weight_decay", 0.0);
  setting.options.eps = values.value("eps", 1e-8);
  if (values.contains("betas")) {
    setting.options.beta1 = values["betas"][0].get<double>();
    setting.options.beta2 = values["betas"][1].get<double>();
  }
  return setting;
}

// Every "<name>.ema_<rate>_f64" of a case and its average.
struct NamedEma {
  std::string key;
  double rate = 0;
  train::Ema ema;
};

std::vector<NamedEma> Averages(const TensorMap& io, const std::string& name,
                               const std::string& suffix,
                               const at::Tensor& parameter) {
  std::vector<NamedEma> found;
  const std::string prefix = name + ".ema_";
  for (const auto& [key, tensor] : io) {
    if (key.compare(0, prefix.size(), prefix) != 0) continue;
    if (key.size() < suffix.size() ||
        key.compare(key.size() - suffix.size(), suffix.size(), suffix) != 0) {
      continue;
    }
    const double rate = std::stod(key.substr(prefix.size()));
    found.push_back({key, rate, train::Ema({parameter})});
  }
  return found;
}

absl::Status RunSequence(CaseContext& c, const TensorMap& io,
                         const std::string& name, const std::string& suffix,
                         at::ScalarType dtype, const Tolerance& tolerance) {
  const json& about =
      c.json()["files"]["io.safetensors"][name + ".params" + suffix];
  RETORT_ASSIGN_OR_RETURN(const Setting setting,
                          ParseSetting(about.value("meaning", "")));
  RETORT_ASSIGN_OR_RETURN(const at::Tensor p0, c.Get(io, "p0"));
  RETORT_ASSIGN_OR_RETURN(const at::Tensor grads, c.Get(io, "grads"));
  at::Tensor p = p0.to(dtype).clone();
  RETORT_ASSIGN_OR_RETURN(const auto optimizer,
                          train::MakeOptimizer({p}, setting.options));
  std::vector<NamedEma> averages = Averages(io, name, suffix, p);
  std::vector<at::Tensor> history;
  for (int64_t k = 0; k < grads.size(0); ++k) {
    p.mutable_grad() = grads[k].to(dtype);
    optimizer->Step(setting.learning_rate);
    for (NamedEma& a : averages) a.ema.Update({p}, a.rate);
    history.push_back(p.clone());
  }
  const std::string params = name + ".params" + suffix;
  c.Compare(params, at::stack(history), io.at(params), tolerance);
  const auto compare = [&](const std::string& key, const at::Tensor& value) {
    if (io.count(key) > 0) c.Compare(key, value, io.at(key), tolerance);
  };
  compare(name + ".exp_avg" + suffix, optimizer->exp_avg()[0]);
  compare(name + ".exp_avg_sq" + suffix, optimizer->exp_avg_sq()[0]);
  for (const NamedEma& a : averages) compare(a.key, a.ema.values()[0]);
  return absl::OkStatus();
}

// Puts the non-finite numbers of a sentence like "[step 3][0,0] = nan, [4][1,1]
// = +inf" into the gradients.
void Poison(const std::string& sentence, at::Tensor& grads) {
  const std::regex entry(
      R"(\[(?:step )?(\d+)\]\[(\d+),(\d+)\] = ([+-]?)(nan|inf))");
  for (std::sregex_iterator it(sentence.begin(), sentence.end(), entry), end;
       it != end; ++it) {
    double value = (*it)[5] == "nan" ? std::numeric_limits<double>::quiet_NaN()
                                     : std::numeric_limits<double>::infinity();
    if ((*it)[4] == "-") value = -value;
    grads[std::stol((*it)[1])][std::stol((*it)[2])][std::stol((*it)[3])].fill_(
        value);
  }
}

// EDM's own word for "none" is null.
double NumberOr(const json& object, const char* key, double otherwise) {
  const auto found = object.find(key);
  return found == object.end() || found->is_null() ? otherwise
                                                   : found->get<double>();
}

absl::Status RunEdmLoop(CaseContext& c, const TensorMap& io,
                        const Tolerance& tolerance) {
  const json loop = c.json().value("edm_loop", json::object());
  const int64_t batch = loop.value("batch_size", int64_t{512});
  const double lr = loop.value("lr", 1e-3);
  const double rampup = 1000 * NumberOr(loop, "lr_rampup_kimg", 0);
  const double halflife = 1000 * NumberOr(loop, "ema_halflife_kimg", 0);
  const double ratio = NumberOr(loop, "ema_rampup_ratio", 0);
  RETORT_ASSIGN_OR_RETURN(const at::Tensor p0, c.Get(io, "p0"));
  at::Tensor grads = io.at("grads").to(at::kDouble).clone();
  Poison(loop.value("grads", std::string()), grads);
  at::Tensor p = p0.to(at::kDouble).clone();
  RETORT_ASSIGN_OR_RETURN(const auto optimizer, train::MakeOptimizer({p}, {}));
  train::Ema ema({p});
  std::vector<at::Tensor> params, averages;
  std::vector<double> rates, betas;
  for (int64_t k = 0; k < grads.size(0); ++k) {
    const int64_t images = k * batch;
    rates.push_back(lr * std::min(images / std::max(rampup, 1e-8), 1.0));
    betas.push_back(train::HalflifeRate(batch, halflife, ratio, images));
    p.mutable_grad() = grads[k].clone();
    train::ReplaceNonFiniteGradients({p});
    optimizer->Step(rates.back());
    ema.Update({p}, betas.back());
    params.push_back(p.clone());
    averages.push_back(ema.values()[0].clone());
  }
  const auto compare = [&](const std::string& key, const at::Tensor& value) {
    if (io.count(key) > 0) c.Compare(key, value, io.at(key), tolerance);
  };
  compare("edm.lr_f64", at::tensor(rates, at::kDouble));
  compare("edm.ema_beta_f64", at::tensor(betas, at::kDouble));
  compare("edm.params_f64", at::stack(params));
  compare("edm.ema_f64", at::stack(averages));
  return absl::OkStatus();
}

absl::Status RunOptim(CaseContext& c) {
  torch::NoGradGuard no_grad;
  RETORT_ASSIGN_OR_RETURN(const TensorMap io, c.Load("io.safetensors"));
  RETORT_ASSIGN_OR_RETURN(const Tolerance f32, c.ToleranceOf("float32"));
  RETORT_ASSIGN_OR_RETURN(const Tolerance f64, c.ToleranceOf("float64"));
  for (const auto& [key, tensor] : io) {
    const size_t dot = key.find(".params_f");
    if (dot == std::string::npos) continue;
    const std::string name = key.substr(0, dot);
    const bool single = key.find("_f32", dot) != std::string::npos;
    if (name == "edm") {
      RETORT_RETURN_IF_ERROR(RunEdmLoop(c, io, f64));
    } else {
      RETORT_RETURN_IF_ERROR(RunSequence(c, io, name, single ? "_f32" : "_f64",
                                         single ? at::kFloat : at::kDouble,
                                         single ? f32 : f64));
    }
  }
  return absl::OkStatus();
}

RETORT_PARITY_CASE("optim_", RunOptim);

}  // namespace
}  // namespace retort::parity
