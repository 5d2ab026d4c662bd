#ifndef RETORT_CORE_PARITY_PARITY_H_
#define RETORT_CORE_PARITY_PARITY_H_

#include <ATen/ATen.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "nlohmann/json.hpp"

// Golden cases: folders with a case.json (configuration, tolerances, formulas)
// and tensors recorded from reference implementations. `retort-parity`
// recomputes them and compares. An area adds a file core/parity/x_cases.cc:
//
//   absl::Status RunFid(CaseContext& c) {
//     RETORT_ASSIGN_OR_RETURN(io::TensorMap io, c.Load("io.safetensors"));
//     RETORT_ASSIGN_OR_RETURN(Tolerance tol, c.ToleranceOf("float64"));
//     RETORT_ASSIGN_OR_RETURN(at::Tensor x, c.Get(io, "features"));
//     ...
//     c.Compare("mean", mean, io.at("mean"), tol);
//     return absl::OkStatus();
//   }
//   RETORT_PARITY_CASE("fid", RunFid);
namespace retort::parity {

using TensorMap = std::map<std::string, at::Tensor>;

// A tensor agrees when everywhere
//   |actual - expected| <= atol * (atol_times_max ? max(1, max|expected|) : 1)
//                          + rtol * |expected|,
// or, if rel_l2 >= 0, when |actual - expected|_2 <= rel_l2 * |expected|_2 +
// atol (and the elementwise rule is not used).
struct Tolerance {
  double rtol = 0;
  double atol = 0;
  bool atol_times_max = false;
  double rel_l2 = -1;

  static Tolerance RelL2(double rel_l2, double atol = 0) {
    return {0, atol, false, rel_l2};
  }
};

// One line of the report.
struct TensorResult {
  enum class Rule { kElementwise, kWholeL2, kFact };

  std::string tensor;
  Rule rule = Rule::kElementwise;
  double max_abs_error = 0;
  double max_rel_error =
      0;  // max |a - b| / max(|b|, 1e-12); L2 ratio if rel_l2
  std::string allowed;
  bool ok = false;
};

// One case while it is checked: its files, and the results so far.
class CaseContext {
 public:
  CaseContext(std::string dir, nlohmann::json json);

  const std::string& dir() const { return dir_; }
  const nlohmann::json& json() const { return json_; }  // case.json
  // json()["case"], or the folder's name if that is missing.
  const std::string& name() const { return name_; }
  // json()["config"], or an empty object.
  const nlohmann::json& config() const { return config_; }

  // Reads a safetensors file of the case's folder, as stored. The result is
  // kept, so loading twice is cheap. Errors name the file.
  absl::StatusOr<TensorMap> Load(const std::string& file);
  bool Has(const std::string& file) const;  // a file of the folder

  // A tensor of a map, or NotFound with its name.
  static absl::StatusOr<at::Tensor> Get(const TensorMap& map,
                                        const std::string& name);

  // json()["tolerance"][key] with its rtol and atol (0 if missing); NotFound
  // if there is no such key. atol_times_max is set when the key's note says
  // "atol*max(1,".
  absl::StatusOr<Tolerance> ToleranceOf(const std::string& key) const;

  // Compares in float64 (int64 for integers) and records a line. Shapes must
  // be equal (a scalar may be [1]); NaNs are errors unless both have them.
  void Compare(const std::string& tensor, const at::Tensor& actual,
               const at::Tensor& expected, const Tolerance& tolerance);
  void CompareScalar(const std::string& tensor, double actual, double expected,
                     const Tolerance& tolerance);
  // Records whether something held that is no comparison of tensors.
  void Expect(const std::string& what, bool held);

  // Says in the report that a recorded tensor was left out, and why: it belongs
  // to an option of the reference that this project does not have.
  void NotCompared(const std::string& tensor, const std::string& why);

  // The case fails, with this reason.
  void Fail(const std::string& message);

  const std::vector<TensorResult>& results() const { return results_; }
  const std::vector<std::string>& failures() const { return failures_; }
  const std::vector<std::string>& notes() const { return notes_; }
  // True if something was compared and nothing failed.
  bool passed() const;

 private:
  std::string dir_;
  nlohmann::json json_;
  nlohmann::json config_;
  std::string name_;
  std::map<std::string, TensorMap> loaded_;
  std::vector<TensorResult> results_;
  std::vector<std::string> failures_;
  std::vector<std::string> notes_;
};

// An error that is returned, or a c10::Error or nlohmann exception that is
// thrown, fails the case.
using CaseFunction = absl::Status (*)(CaseContext& context);

// Makes `function` responsible for the cases whose name starts with `prefix`;
// the longest prefix wins. Called by RETORT_PARITY_CASE before main().
bool RegisterCase(const char* prefix, CaseFunction function);

// The function responsible for a case; null if there is none.
CaseFunction FindCase(absl::string_view name);

// All prefixes, sorted.
std::vector<std::string> RegisteredPrefixes();

// Runs one case folder. An unknown kind of case fails.
CaseContext RunCase(const std::string& dir);

#define RETORT_PARITY_CASE(prefix, function)                           \
  [[maybe_unused]] static const bool RETORT_PARITY_NAME(__COUNTER__) = \
      ::retort::parity::RegisterCase(prefix, function)
#define RETORT_PARITY_NAME(n) RETORT_PARITY_NAME_INNER(n)
#define RETORT_PARITY_NAME_INNER(n) retort_parity_case_##n

}  // namespace retort::parity

#endif  // RETORT_CORE_PARITY_PARITY_H_
