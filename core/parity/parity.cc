#include "core/parity/parity.h"

#include <algorithm>
#include <cmath>
#include <exception>
#include <filesystem>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/file.h"
#include "core/base/status_macros.h"
#include "core/io/safetensors.h"

namespace retort::parity {
namespace {

namespace fs = std::filesystem;

// Filled before main() by RETORT_PARITY_CASE, hence a function's static.
std::map<std::string, CaseFunction>& Registry() {
  static auto* const registry = new std::map<std::string, CaseFunction>();
  return *registry;
}

std::string ShapeText(const at::Tensor& t) {
  return absl::StrCat(
      "[", absl::StrJoin(t.sizes().begin(), t.sizes().end(), ", "), "]");
}

std::string AllowedText(const Tolerance& t) {
  if (t.rel_l2 >= 0) return absl::StrCat("L2 ", t.rel_l2);
  return absl::StrCat("rtol ", t.rtol, " atol ", t.atol,
                      t.atol_times_max ? "*max" : "");
}

bool ShapesAgree(const at::Tensor& a, const at::Tensor& b) {
  return a.sizes() == b.sizes() || (a.numel() == 1 && b.numel() == 1);
}

double Max(const at::Tensor& t) {
  return t.numel() == 0 ? 0 : t.max().item<double>();
}

// Fills in the errors of two float64 vectors without NaN and infinities.
void Judge(const at::Tensor& a, const at::Tensor& b, const Tolerance& tolerance,
           TensorResult* r) {
  const at::Tensor difference = (a - b).abs();
  const double largest = Max(b.abs());
  r->max_abs_error = Max(difference);
  if (tolerance.rel_l2 >= 0) {
    const double error = difference.norm().item<double>();
    const double norm = b.norm().item<double>();
    r->max_rel_error = norm > 0 ? error / norm : error;
    r->ok = error <= tolerance.rel_l2 * norm + tolerance.atol;
    return;
  }
  r->max_rel_error =
      largest > 0 ? r->max_abs_error / largest : r->max_abs_error;
  const double atol =
      tolerance.atol * (tolerance.atol_times_max ? std::max(1.0, largest) : 1);
  r->ok = (difference <= b.abs() * tolerance.rtol + atol).all().item<bool>();
}

absl::StatusOr<nlohmann::json> ReadCase(const std::string& dir) {
  const std::string path = (fs::path(dir) / "case.json").string();
  RETORT_ASSIGN_OR_RETURN(const std::string text, base::ReadFile(path));
  nlohmann::json json =
      nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded() || !json.is_object()) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": not a JSON object"));
  }
  return json;
}

}  // namespace

CaseContext::CaseContext(std::string dir, nlohmann::json json)
    : dir_(std::move(dir)), json_(std::move(json)) {
  config_ = json_.is_object() ? json_.value("config", nlohmann::json::object())
                              : nlohmann::json::object();
  // A trailing slash would leave no name.
  fs::path folder = fs::path(dir_).lexically_normal();
  if (!folder.has_filename()) folder = folder.parent_path();
  name_ = folder.filename().string();
  if (json_.is_object() && json_.contains("case") &&
      json_["case"].is_string()) {
    name_ = json_["case"].get<std::string>();
  }
}

absl::StatusOr<TensorMap> CaseContext::Load(const std::string& file) {
  const auto it = loaded_.find(file);
  if (it != loaded_.end()) return it->second;
  RETORT_ASSIGN_OR_RETURN(
      io::SafetensorsFile read,
      io::ReadSafetensors((fs::path(dir_) / file).string()));
  return loaded_[file] = std::move(read.tensors);
}

bool CaseContext::Has(const std::string& file) const {
  std::error_code error;
  return fs::exists(fs::path(dir_) / file, error);
}

absl::StatusOr<at::Tensor> CaseContext::Get(const TensorMap& map,
                                            const std::string& name) {
  const auto it = map.find(name);
  if (it == map.end()) {
    return absl::NotFoundError(
        absl::StrCat("the case has no tensor \"", name, "\""));
  }
  return it->second;
}

absl::StatusOr<Tolerance> CaseContext::ToleranceOf(
    const std::string& key) const {
  const auto all = json_.find("tolerance");
  if (all == json_.end() || !all->is_object() || !all->contains(key)) {
    return absl::NotFoundError(
        absl::StrCat("case.json has no tolerance \"", key, "\""));
  }
  const nlohmann::json& t = (*all)[key];
  Tolerance tolerance;
  tolerance.rtol = t.value("rtol", 0.0);
  tolerance.atol = t.value("atol", 0.0);
  tolerance.atol_times_max =
      absl::StrContains(t.value("note", ""), "atol*max(1,");
  return tolerance;
}

void CaseContext::Compare(const std::string& tensor, const at::Tensor& actual,
                          const at::Tensor& expected,
                          const Tolerance& tolerance) {
  TensorResult r;
  r.tensor = tensor;
  if (tolerance.rel_l2 >= 0) r.rule = TensorResult::Rule::kWholeL2;
  r.allowed = AllowedText(tolerance);
  if (!actual.defined() || !expected.defined() ||
      !ShapesAgree(actual, expected)) {
    failures_.push_back(
        absl::StrCat(tensor, ": ",
                     !actual.defined() ? "nothing was computed"
                     : !expected.defined()
                         ? "nothing was recorded"
                         : absl::StrCat("shape ", ShapeText(actual),
                                        ", expected ", ShapeText(expected))));
    results_.push_back(std::move(r));
    return;
  }
  at::Tensor a = actual.detach().to(at::kCPU, at::kDouble).flatten();
  at::Tensor b = expected.detach().to(at::kCPU, at::kDouble).flatten();
  const at::Tensor finite = at::isfinite(b);
  // Infinities and NaNs must be the very same.
  const at::Tensor special =
      at::logical_or(a == b, at::logical_and(at::isnan(a), at::isnan(b)));
  if (!at::logical_or(finite, special).all().item<bool>() ||
      !at::isfinite(a.masked_select(finite)).all().item<bool>()) {
    failures_.push_back(
        absl::StrCat(tensor, ": infinities or NaNs in other places"));
    results_.push_back(std::move(r));
    return;
  }
  Judge(a.masked_select(finite), b.masked_select(finite), tolerance, &r);
  if (!r.ok) failures_.push_back(absl::StrCat(tensor, ": error too large"));
  results_.push_back(std::move(r));
}

void CaseContext::CompareScalar(const std::string& tensor, double actual,
                                double expected, const Tolerance& tolerance) {
  Compare(tensor, at::scalar_tensor(actual, at::kDouble),
          at::scalar_tensor(expected, at::kDouble), tolerance);
}

void CaseContext::Expect(const std::string& what, bool held) {
  TensorResult r;
  r.tensor = what;
  r.rule = TensorResult::Rule::kFact;
  r.allowed = "holds";
  r.ok = held;
  results_.push_back(r);
  if (!held) failures_.push_back(absl::StrCat(what, ": does not hold"));
}

void CaseContext::NotCompared(const std::string& tensor,
                              const std::string& why) {
  notes_.push_back(absl::StrCat(tensor, ": not compared, ", why));
}

void CaseContext::Fail(const std::string& message) {
  failures_.push_back(message);
}

bool CaseContext::passed() const {
  return failures_.empty() && !results_.empty();
}

bool RegisterCase(const char* prefix, CaseFunction function) {
  Registry()[prefix] = function;
  return true;
}

CaseFunction FindCase(absl::string_view name) {
  CaseFunction best = nullptr;
  size_t length = 0;
  for (const auto& [prefix, function] : Registry()) {
    if (absl::StartsWith(name, prefix) && prefix.size() >= length) {
      best = function;
      length = prefix.size();
    }
  }
  return best;
}

std::vector<std::string> RegisteredPrefixes() {
  std::vector<std::string> prefixes;
  for (const auto& [prefix, function] : Registry()) prefixes.push_back(prefix);
  return prefixes;
}

CaseContext RunCase(const std::string& dir) {
  absl::StatusOr<nlohmann::json> json = ReadCase(dir);
  CaseContext context(dir, json.ok() ? *json : nlohmann::json::object());
  if (!json.ok()) {
    context.Fail(std::string(json.status().message()));
    return context;
  }
  const CaseFunction function = FindCase(context.name());
  if (function == nullptr) {
    context.Fail(absl::StrCat(
        "unknown kind of case; this program knows the cases whose names start "
        "with ",
        absl::StrJoin(RegisteredPrefixes(), ", ")));
    return context;
  }
  try {
    const absl::Status status = function(context);
    if (!status.ok()) context.Fail(std::string(status.message()));
  } catch (const c10::Error& e) {
    context.Fail(absl::StrCat("LibTorch: ", e.what_without_backtrace()));
  } catch (const std::exception& e) {
    context.Fail(e.what());
  }
  if (context.results().empty() && context.failures().empty()) {
    context.Fail("nothing was compared");
  }
  return context;
}

}  // namespace retort::parity
