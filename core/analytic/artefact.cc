#include "core/analytic/artefact.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/analytic/analytic_table.h"
#include "core/analytic/fitted_table.h"
#include "core/analytic/plot.h"
#include "core/base/sha256.h"
#include "core/base/status_macros.h"
#include "core/io/model_file.h"

namespace retort::analytic {
namespace {

using nlohmann::json;

// 2: with a spectral fit or s.
constexpr int kArtefactVersion = 2;

// More than anybody has time for, and far from overflow.
constexpr int64_t kMaxCalls = int64_t{1} << 50;

// The float64 columns of the statistics, by tensor name.
struct Column {
  const char* name;
  double KnotStatistics::*field;
};
constexpr Column kColumns[] = {
    {"knots.t", &KnotStatistics::t},
    {"knots.l", &KnotStatistics::l},
    {"knots.l_se", &KnotStatistics::l_se},
    {"knots.g_mean_square", &KnotStatistics::g_mean_square},
    {"knots.g_mean_square_se", &KnotStatistics::g_mean_square_se},
    {"knots.denoised_mean_square", &KnotStatistics::denoised_mean_square},
    {"knots.l_from_loss", &KnotStatistics::l_from_loss},
    {"knots.l_from_loss_se", &KnotStatistics::l_from_loss_se},
};

// With ScaleEstimator::kJvp.
constexpr Column kScaleColumns[] = {{"knots.s", &KnotStatistics::s},
                                    {"knots.s_se", &KnotStatistics::s_se}};

std::vector<Column> ColumnsOf(const EstimateOptions& estimate) {
  std::vector<Column> columns(std::begin(kColumns), std::end(kColumns));
  if (estimate.scale == ScaleEstimator::kJvp) {
    columns.insert(columns.end(), std::begin(kScaleColumns),
                   std::end(kScaleColumns));
  }
  return columns;
}

at::Tensor ToTensor(const std::vector<double>& values) {
  return at::tensor(values, at::kDouble);
}

// What was measured: ReadArtefact reads these back.
io::TensorMap MeasuredTensors(const PreconditioningArtefact& artefact) {
  io::TensorMap tensors;
  const auto& knots = artefact.statistics.knots;
  for (const Column& column : ColumnsOf(artefact.estimate)) {
    std::vector<double> values;
    for (const KnotStatistics& knot : knots) {
      values.push_back(knot.*column.field);
    }
    tensors[column.name] = ToTensor(values);
  }
  std::vector<int64_t> samples;
  for (const KnotStatistics& knot : knots) samples.push_back(knot.samples);
  tensors["knots.samples"] = at::tensor(samples, at::kLong);
  if (artefact.moments) {
    tensors["fit.times"] = ToTensor(artefact.moments->times);
    tensors["fit.gram"] = artefact.moments->gram.contiguous();
  }
  return tensors;
}

// Measured too, but in the identity by its hash.
void AddSpectralTensors(const SpectralFit& fit, io::TensorMap* tensors) {
  (*tensors)["spectral.options"] =
      ToTensor({fit.options.ridge, fit.options.v_low, fit.options.v_high});
  (*tensors)["spectral.times"] = ToTensor(fit.times);
  (*tensors)["spectral.mixing"] = fit.mixing;
  (*tensors)["spectral.u"] = fit.u;
  (*tensors)["spectral.v"] = fit.v;
  (*tensors)["spectral.state_gap"] = fit.state_gap;
  (*tensors)["spectral.denoiser_gap"] = fit.denoiser_gap;
}

void AddFittedPairs(const FittedTable& table, FitTarget target,
                    const std::string& prefix, io::TensorMap* tensors) {
  const int64_t n = table.moments().n();
  at::Tensor a = at::zeros({n, n}, at::kDouble), b = at::zeros_like(a);
  auto a_at = a.accessor<double, 2>(), b_at = b.accessor<double, 2>();
  for (int64_t i = 0; i < n; ++i) {
    a_at[i][i] = 1;
    for (int64_t j = i + 1; j < n; ++j) {
      const JumpCoefficients pair = table.Pair(target, i, j);
      a_at[i][j] = pair.a;
      b_at[i][j] = pair.b;
    }
  }
  (*tensors)[prefix + ".a"] = a;
  (*tensors)[prefix + ".b"] = b;
}

// What follows from the measurements, for other programs' convenience; not
// read back, not part of the identity.
absl::Status AddDerivedTensors(const PreconditioningArtefact& artefact,
                               io::TensorMap* tensors) {
  RETORT_ASSIGN_OR_RETURN(const auto table,
                          AnalyticTable::FromStatistics(artefact.statistics));
  std::vector<double> ln_l;
  for (const KnotStatistics& knot : artefact.statistics.knots) {
    ln_l.push_back(table->LnL(knot.t));
  }
  (*tensors)["table.lambda"] = ToTensor(table->lambda());
  (*tensors)["table.l"] = ToTensor(table->l());
  (*tensors)["table.ln_l"] = ToTensor(ln_l);
  (*tensors)["table.ln_s"] = ToTensor(table->ln_s());
  if (artefact.moments) {
    RETORT_ASSIGN_OR_RETURN(
        const auto fitted,
        FittedTable::Fit(*artefact.moments, artefact.schedule.sigma_data));
    AddFittedPairs(*fitted, FitTarget::kState, "fit.state", tensors);
    AddFittedPairs(*fitted, FitTarget::kDenoiser, "fit.denoiser", tensors);
  }
  return absl::OkStatus();
}

// Everything but tensors, cost and batch sizes.
json IdentityJson(const PreconditioningArtefact& artefact) {
  json out;
  const bool spectral = !artefact.spectral_hash.empty();
  const bool jvp = artefact.estimate.scale == ScaleEstimator::kJvp;
  out["artefact_version"] = spectral || jvp ? kArtefactVersion : 1;
  if (spectral) out["spectral"] = {{"sha256", artefact.spectral_hash}};
  out["schedule"] = json(artefact.schedule);
  out["dimension"] = artefact.statistics.dimension;
  out["relative_rounding"] = artefact.statistics.relative_rounding;
  out["estimator"] = {{"trace", TraceName(artefact.estimate.trace)},
                      {"knots", artefact.estimate.knots},
                      {"samples", artefact.estimate.samples},
                      {"tolerance", artefact.estimate.tolerance},
                      {"seed", artefact.estimate.seed}};
  if (jvp) out["estimator"]["scale"] = ScaleName(artefact.estimate.scale);
  if (artefact.moments) {
    const TrajectoryOptions fit = artefact.fit.value_or(TrajectoryOptions());
    out["fit"] = {{"grid", artefact.moments->n()},
                  {"trajectories", artefact.moments->trajectories},
                  {"sub_steps", fit.sub_steps},
                  {"seed", fit.seed}};
  }
  return out;
}

json LineageJson(const PreconditioningArtefact& artefact) {
  return {{"teacher_hash", artefact.teacher_hash},
          {"data_hash", artefact.data_hash}};
}

// Reads fields of an object, remembering the first complaint.
class JsonReader {
 public:
  JsonReader(const json& object, std::string where)
      : object_(object), where_(std::move(where)) {
    if (!object_.is_object()) Complain("must be an object");
  }

  template <typename T>
  T Number(const char* field) {
    if (!status_.ok()) return T();
    const auto found = object_.find(field);
    if (found == object_.end() || !found->is_number()) {
      Complain(absl::StrCat("needs a number '", field, "'"));
      return T();
    }
    return found->get<T>();
  }

  std::string String(const char* field) {
    if (!status_.ok()) return "";
    const auto found = object_.find(field);
    if (found == object_.end() || !found->is_string()) {
      Complain(absl::StrCat("needs a text '", field, "'"));
      return "";
    }
    return found->get<std::string>();
  }

  json Object(const char* field) {
    if (!status_.ok()) return json::object();
    const auto found = object_.find(field);
    if (found == object_.end() || !found->is_object()) {
      Complain(absl::StrCat("needs an object '", field, "'"));
      return json::object();
    }
    return *found;
  }

  absl::Status status() const { return status_; }

 private:
  void Complain(const std::string& what) {
    if (status_.ok()) {
      status_ = absl::InvalidArgumentError(
          absl::StrCat(where_, " ", what,
                       "; the artefact is damaged or of another version: "
                       "estimate it again"));
    }
  }

  const json& object_;
  const std::string where_;
  absl::Status status_;
};

absl::Status ReadSchedule(const json& object, math::NoiseSchedule* out) {
  JsonReader schedule(object, "'schedule'");
  out->sigma_min = schedule.Number<double>("sigma_min");
  out->sigma_max = schedule.Number<double>("sigma_max");
  out->rho = schedule.Number<double>("rho");
  out->sigma_data = schedule.Number<double>("sigma_data");
  return schedule.status();
}

absl::Status ReadEstimator(const json& object, PreconditioningArtefact* out) {
  JsonReader estimator(object, "'estimator'");
  out->estimate.knots = estimator.Number<int64_t>("knots");
  out->estimate.samples = estimator.Number<int64_t>("samples");
  out->estimate.tolerance = estimator.Number<double>("tolerance");
  out->estimate.seed = estimator.Number<uint64_t>("seed");
  const std::string trace = estimator.String("trace");
  out->estimate.trace = trace == "hutchinson" ? TraceEstimator::kHutchinson
                                              : TraceEstimator::kStein;
  if (object.contains("scale") && estimator.String("scale") == "jvp") {
    out->estimate.scale = ScaleEstimator::kJvp;
  }
  out->statistics.scale = out->estimate.scale;
  return estimator.status();
}

absl::Status ReadFit(const json& object, PreconditioningArtefact* out) {
  JsonReader fit(object, "'fit'");
  out->fit.emplace();
  out->fit->grid = fit.Number<int64_t>("grid");
  out->fit->trajectories = fit.Number<int64_t>("trajectories");
  out->fit->sub_steps = fit.Number<int64_t>("sub_steps");
  out->fit->seed = fit.Number<uint64_t>("seed");
  out->moments.emplace();
  out->moments->trajectories = out->fit->trajectories;
  return fit.status();
}

// After ReadEstimator and ReadFit.
absl::Status ReadCost(const json& object, PreconditioningArtefact* out) {
  JsonReader cost(object, "'cost'");
  out->seconds = cost.Number<double>("seconds");
  out->statistics.network_calls = std::clamp<int64_t>(
      cost.Number<int64_t>("statistics_calls"), 0, kMaxCalls);
  const int64_t fit_calls = std::clamp<int64_t>(
      cost.Number<int64_t>("trajectory_calls"), 0, kMaxCalls);
  if (out->moments) out->moments->network_calls = fit_calls;
  out->statistics.forward_equivalents =
      out->statistics.network_calls * out->estimate.ForwardsPerSample();
  RETORT_RETURN_IF_ERROR(cost.status());
  if (!object.contains("served")) return absl::OkStatus();
  const json served_json = cost.Object("served");
  JsonReader served(served_json, "'cost.served'");
  out->served.iterations = served.Number<int64_t>("iterations");
  out->served.batch_size = served.Number<int64_t>("batch_size");
  return served.status();
}

absl::Status ReadManifest(const io::ModelManifest& manifest,
                          PreconditioningArtefact* out, std::string* id) {
  const json& root = manifest.preconditioning;
  JsonReader reader(root, "manifest field 'preconditioning'");
  const int version = reader.Number<int>("artefact_version");
  *id = reader.String("id");
  const json schedule = reader.Object("schedule");
  const json estimator = reader.Object("estimator");
  const json cost = reader.Object("cost");
  out->statistics.dimension = reader.Number<int64_t>("dimension");
  out->statistics.relative_rounding =
      reader.Number<double>("relative_rounding");
  RETORT_RETURN_IF_ERROR(reader.status());
  if (version < 1 || version > kArtefactVersion) {
    return absl::InvalidArgumentError(
        absl::StrCat("artefact version ", version, " is not 1 to ",
                     kArtefactVersion, ", which this program reads"));
  }
  if (root.contains("spectral")) {
    const json spectral_json = reader.Object("spectral");
    JsonReader spectral(spectral_json, "'spectral'");
    out->spectral_hash = spectral.String("sha256");
    RETORT_RETURN_IF_ERROR(spectral.status());
  }
  RETORT_RETURN_IF_ERROR(ReadSchedule(schedule, &out->schedule));
  RETORT_RETURN_IF_ERROR(ReadEstimator(estimator, out));
  if (root.contains("fit")) {
    RETORT_RETURN_IF_ERROR(ReadFit(root["fit"], out));
  }
  RETORT_RETURN_IF_ERROR(ReadCost(cost, out));
  JsonReader lineage(manifest.lineage, "manifest field 'lineage'");
  out->teacher_hash = lineage.String("teacher_hash");
  out->data_hash = lineage.String("data_hash");
  return lineage.status();
}

absl::StatusOr<at::Tensor> Find(const io::TensorMap& tensors,
                                const std::string& name, at::ScalarType dtype,
                                int64_t dimensions) {
  const auto found = tensors.find(name);
  if (found == tensors.end() || found->second.scalar_type() != dtype ||
      found->second.dim() != dimensions) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the artefact needs a tensor '", name, "' of type ",
        c10::toString(dtype), " with ", dimensions, " dimension(s)"));
  }
  return found->second.contiguous();
}

std::vector<double> ToVector(const at::Tensor& tensor) {
  const double* data = tensor.const_data_ptr<double>();
  return std::vector<double>(data, data + tensor.numel());
}

absl::Status ReadMeasured(const io::TensorMap& tensors,
                          PreconditioningArtefact* out) {
  RETORT_ASSIGN_OR_RETURN(const at::Tensor samples,
                          Find(tensors, "knots.samples", at::kLong, 1));
  auto& knots = out->statistics.knots;
  knots.resize(samples.numel());
  for (size_t k = 0; k < knots.size(); ++k) {
    knots[k].samples = samples.const_data_ptr<int64_t>()[k];
  }
  for (const Column& column : ColumnsOf(out->estimate)) {
    RETORT_ASSIGN_OR_RETURN(const at::Tensor values,
                            Find(tensors, column.name, at::kDouble, 1));
    if (values.numel() != samples.numel()) {
      return absl::InvalidArgumentError(
          absl::StrCat("tensor '", column.name, "' has ", values.numel(),
                       " entries where 'knots.samples' has ", samples.numel()));
    }
    for (size_t k = 0; k < knots.size(); ++k) {
      knots[k].*column.field = values.const_data_ptr<double>()[k];
    }
  }
  if (out->moments) {
    RETORT_ASSIGN_OR_RETURN(const at::Tensor times,
                            Find(tensors, "fit.times", at::kDouble, 1));
    RETORT_ASSIGN_OR_RETURN(out->moments->gram,
                            Find(tensors, "fit.gram", at::kDouble, 2));
    out->moments->times = ToVector(times);
  }
  return absl::OkStatus();
}

// The spectral fit, unless it was left out.
absl::Status ReadSpectral(const io::TensorMap& tensors,
                          PreconditioningArtefact* out) {
  if (out->spectral_hash.empty() || tensors.count("spectral.u") == 0) {
    return absl::OkStatus();
  }
  SpectralFit fit;
  RETORT_ASSIGN_OR_RETURN(const at::Tensor options,
                          Find(tensors, "spectral.options", at::kDouble, 1));
  RETORT_ASSIGN_OR_RETURN(const at::Tensor times,
                          Find(tensors, "spectral.times", at::kDouble, 1));
  if (options.numel() != 3) {
    return absl::InvalidArgumentError(
        "tensor 'spectral.options' needs 3 entries");
  }
  const double* option = options.const_data_ptr<double>();
  fit.options = {option[0], option[1], option[2]};
  fit.times = ToVector(times);
  const auto take = [&](const char* name, int64_t dimensions,
                        at::Tensor* to) -> absl::Status {
    RETORT_ASSIGN_OR_RETURN(*to, Find(tensors, absl::StrCat("spectral.", name),
                                      at::kDouble, dimensions));
    return absl::OkStatus();
  };
  RETORT_RETURN_IF_ERROR(take("mixing", 2, &fit.mixing));
  RETORT_RETURN_IF_ERROR(take("u", 4, &fit.u));
  RETORT_RETURN_IF_ERROR(take("v", 4, &fit.v));
  RETORT_RETURN_IF_ERROR(take("state_gap", 2, &fit.state_gap));
  RETORT_RETURN_IF_ERROR(take("denoiser_gap", 2, &fit.denoiser_gap));
  RETORT_RETURN_IF_ERROR(fit.Validate());
  if (fit.Hash() != out->spectral_hash) {
    return absl::DataLossError(
        "the spectral fit does not match its hash in the manifest; the "
        "artefact was changed: estimate it again");
  }
  out->spectral = std::move(fit);
  return absl::OkStatus();
}

}  // namespace

int64_t PreconditioningArtefact::network_calls() const {
  return statistics.network_calls + (moments ? moments->network_calls : 0);
}

int64_t PreconditioningArtefact::forward_equivalents() const {
  return statistics.forward_equivalents +
         (moments ? moments->network_calls : 0);
}

std::optional<double> PreconditioningArtefact::CostShare() const {
  const double training = kForwardsPerTrainedImage *
                          static_cast<double>(served.iterations) *
                          static_cast<double>(served.batch_size);
  if (training <= 0) return std::nullopt;
  return static_cast<double>(forward_equivalents()) / training;
}

std::string PreconditioningArtefact::ContentId() const {
  base::Sha256 hash;
  hash.Update(IdentityJson(*this).dump());
  hash.Update(LineageJson(*this).dump());
  for (const auto& [name, tensor] : MeasuredTensors(*this)) {
    hash.Update(absl::StrCat("\n", name, " ", tensor.numel(), "\n"));
    hash.Update(absl::string_view(
        static_cast<const char*>(tensor.const_data_ptr()), tensor.nbytes()));
  }
  return hash.HexDigest();
}

absl::StatusOr<std::string> WriteArtefact(
    const PreconditioningArtefact& artefact, const std::string& dir) {
  io::TensorMap tensors = MeasuredTensors(artefact);
  if (artefact.spectral) AddSpectralTensors(*artefact.spectral, &tensors);
  RETORT_RETURN_IF_ERROR(AddDerivedTensors(artefact, &tensors));
  RETORT_ASSIGN_OR_RETURN(const std::string svg, PreconditioningSvg(artefact));
  const std::string id = artefact.ContentId();
  io::ModelManifest manifest;
  manifest.kind = "preconditioning";
  manifest.preconditioning = IdentityJson(artefact);
  manifest.preconditioning["id"] = id;
  manifest.preconditioning["cost"] = {
      {"network_calls", artefact.network_calls()},
      {"statistics_calls", artefact.statistics.network_calls},
      {"trajectory_calls",
       artefact.moments ? artefact.moments->network_calls : 0},
      {"forward_equivalents", artefact.forward_equivalents()},
      {"seconds", artefact.seconds}};
  if (const auto share = artefact.CostShare()) {
    manifest.preconditioning["cost"]["served"] = {
        {"iterations", artefact.served.iterations},
        {"batch_size", artefact.served.batch_size},
        {"share", *share}};
  }
  manifest.lineage = LineageJson(artefact);
  RETORT_RETURN_IF_ERROR(
      io::WriteModelDir(dir, manifest, tensors, {{"preconditioning.svg", svg}})
          .status());
  return id;
}

absl::StatusOr<PreconditioningArtefact> ReadArtefact(const std::string& dir) {
  RETORT_ASSIGN_OR_RETURN(const io::ModelDirContents contents,
                          io::ReadModelDir(dir));
  if (contents.manifest.kind != "preconditioning") {
    return absl::InvalidArgumentError(absl::StrCat(
        dir, " holds a model of kind '", contents.manifest.kind,
        "'; name the result of an estimate_preconditioning job instead"));
  }
  PreconditioningArtefact artefact;
  std::string id;
  absl::Status status = ReadManifest(contents.manifest, &artefact, &id);
  if (status.ok()) status = ReadMeasured(contents.tensors, &artefact);
  if (status.ok()) status = ReadSpectral(contents.tensors, &artefact);
  if (!status.ok()) {
    return absl::Status(status.code(),
                        absl::StrCat(dir, ": ", status.message()));
  }
  const std::string actual = artefact.ContentId();
  if (actual != id) {
    return absl::DataLossError(absl::StrCat(
        dir, ": the content's id is ", actual, " but the manifest says ", id,
        "; the artefact was changed: estimate it again"));
  }
  return artefact;
}

}  // namespace retort::analytic
