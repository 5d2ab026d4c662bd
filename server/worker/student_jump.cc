#include "server/worker/student_jump.h"

#include <stdlib.h>

#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/analytic/artefact.h"
#include "core/base/file.h"
#include "core/base/status_macros.h"
#include "core/io/model_file.h"

namespace retort::worker {
namespace {

using nlohmann::json;

constexpr char kSpectral[] = "fitted-spectral";

// Names of the tensors of an artefact that are measurements; the rest follows
// from them and is left out.
bool IsMeasured(const std::string& name) {
  return absl::StartsWith(name, "knots.") || name == "fit.times" ||
         name == "fit.gram";
}

json TensorToJson(const at::Tensor& tensor) {
  const bool whole = tensor.scalar_type() == at::kLong;
  json out = {{"dtype", whole ? "I64" : "F64"},
              {"shape", tensor.sizes().vec()}};
  const at::Tensor flat = tensor.contiguous().flatten();
  if (whole) {
    const int64_t* data = flat.const_data_ptr<int64_t>();
    out["data"] = std::vector<int64_t>(data, data + flat.numel());
  } else {
    const at::Tensor doubles = flat.to(at::kDouble);
    const double* data = doubles.const_data_ptr<double>();
    out["data"] = std::vector<double>(data, data + flat.numel());
  }
  return out;
}

at::Tensor TensorFromJson(const json& in) {
  const auto shape = in.at("shape").get<std::vector<int64_t>>();
  if (in.at("dtype") == "I64") {
    return at::tensor(in.at("data").get<std::vector<int64_t>>(), at::kLong)
        .reshape(shape);
  }
  return at::tensor(in.at("data").get<std::vector<double>>(), at::kDouble)
      .reshape(shape);
}

// Returns the part for the manifest, and puts that for the weights file into
// `large`.
absl::StatusOr<json> PackArtefact(const std::string& dir, bool spectral,
                                  io::TensorMap* large) {
  RETORT_ASSIGN_OR_RETURN(const io::ModelDirContents contents,
                          io::ReadModelDir(dir));
  json tensors = json::object();
  for (const auto& [name, tensor] : contents.tensors) {
    if (IsMeasured(name)) tensors[name] = TensorToJson(tensor);
    if (spectral && absl::StartsWith(name, "spectral.")) {
      (*large)[name] = tensor;
    }
  }
  return json{{"preconditioning", contents.manifest.preconditioning},
              {"lineage", contents.manifest.lineage},
              {"tensors", tensors}};
}

// Lays the artefact out as a folder again, for the one reader of artefacts,
// which also verifies its id.
absl::Status UnpackArtefact(const json& packed, io::TensorMap tensors,
                            const std::string& dir) {
  io::ModelManifest manifest;
  try {
    manifest.kind = "preconditioning";
    manifest.preconditioning = packed.at("preconditioning");
    manifest.lineage = packed.at("lineage");
    for (const auto& [name, tensor] : packed.at("tensors").items()) {
      tensors[name] = TensorFromJson(tensor);
    }
  } catch (const json::exception& e) {
    return absl::InvalidArgumentError(absl::StrCat(
        "manifest field 'preconditioning.artefact' is damaged: ", e.what()));
  } catch (const c10::Error& e) {
    return absl::InvalidArgumentError(
        absl::StrCat("manifest field 'preconditioning.artefact' is damaged: ",
                     e.what_without_backtrace()));
  }
  return io::WriteModelDir(dir, manifest, tensors).status();
}

absl::StatusOr<std::shared_ptr<const math::JumpPrecond>> JumpFromPacked(
    const std::string& name, const math::NoiseSchedule& schedule,
    const json& packed, const io::TensorMap& large) {
  const char* tmp = getenv("TMPDIR");
  std::string parent =
      absl::StrCat(tmp != nullptr ? tmp : "/tmp", "/retort-jump-XXXXXX");
  if (mkdtemp(parent.data()) == nullptr) {
    return base::ErrnoStatus(errno, "making a temporary folder", parent);
  }
  absl::Cleanup remove = [&] { (void)base::RemoveTree(parent); };
  const std::string dir = parent + "/artefact";
  RETORT_RETURN_IF_ERROR(UnpackArtefact(packed, large, dir));
  return analytic::MakeJump(name, schedule, dir);
}

}  // namespace

absl::StatusOr<StudentJump> MakeStudentJump(const std::string& name,
                                            const math::NoiseSchedule& schedule,
                                            const std::string& artefact_dir) {
  StudentJump out;
  out.schedule = schedule;
  RETORT_ASSIGN_OR_RETURN(out.jump,
                          analytic::MakeJump(name, schedule, artefact_dir));
  out.manifest = {{"name", name}, {"schedule", json(schedule)}};
  if (analytic::JumpNeedsArtefact(name)) {
    RETORT_ASSIGN_OR_RETURN(
        out.manifest["artefact"],
        PackArtefact(artefact_dir, name == kSpectral, &out.tensors));
  }
  return out;
}

absl::StatusOr<math::NoiseSchedule> ReadSchedule(
    const io::ModelManifest& manifest) {
  math::NoiseSchedule schedule;
  try {
    schedule.sigma_data =
        manifest.network.value("sigma_data", schedule.sigma_data);
    const auto found = manifest.preconditioning.find("schedule");
    if (found != manifest.preconditioning.end()) found->get_to(schedule);
  } catch (const json::exception& e) {
    return absl::InvalidArgumentError(absl::StrCat(
        "manifest field 'preconditioning.schedule' is wrong: ", e.what()));
  }
  RETORT_RETURN_IF_ERROR(schedule.Validate());
  return schedule;
}

absl::StatusOr<StudentJump> ReadStudentJump(const io::ModelManifest& manifest,
                                            const io::TensorMap& tensors) {
  const json& group = manifest.preconditioning;
  const auto name = group.find("name");
  if (name == group.end() || !name->is_string()) {
    return absl::InvalidArgumentError(
        "the manifest's 'preconditioning' has no 'name'; it must say which "
        "preconditioning the student was trained with, such as "
        "{\"name\": \"ctm\"}");
  }
  StudentJump out;
  out.manifest = group;
  out.tensors = tensors;
  RETORT_ASSIGN_OR_RETURN(out.schedule, ReadSchedule(manifest));
  const std::string jump_name = name->get<std::string>();
  const auto packed = group.find("artefact");
  if (packed == group.end()) {
    RETORT_ASSIGN_OR_RETURN(out.jump,
                            analytic::MakeJump(jump_name, out.schedule));
  } else {
    RETORT_ASSIGN_OR_RETURN(
        out.jump, JumpFromPacked(jump_name, out.schedule, *packed, tensors));
  }
  return out;
}

}  // namespace retort::worker
