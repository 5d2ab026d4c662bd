#include <map>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "core/base/status_macros.h"
#include "core/data/augment.h"
#include "core/parity/parity.h"

// Golden cases edm_augment*: augmented images and their labels, with every draw
// recorded in the order in which the reference makes them.
namespace retort::parity {
namespace {

using data::AugmentDraws;
using data::AugmentOp;
using data::AugmentOptions;
using nlohmann::json;

// A run's settings, EDM's keys. The reference's default is an overall
// probability of 1 and no operation.
absl::StatusOr<AugmentOptions> AugmentSettings(const json& settings) {
  AugmentOptions options;
  std::map<std::string, double*> known = {
      {"p", &options.probability},
      {"translate_int_max", &options.translate_int_max},
      {"scale_std", &options.scale_std},
      {"rotate_frac_max", &options.rotate_frac_max},
      {"aniso_std", &options.aniso_std},
      {"aniso_rotate_prob", &options.aniso_rotate_prob},
      {"translate_frac_std", &options.translate_frac_std},
      {"brightness_std", &options.brightness_std},
      {"contrast_std", &options.contrast_std},
      {"hue_max", &options.hue_max},
      {"saturation_std", &options.saturation_std}};
  for (int i = 0; i < data::kAugmentOps; ++i) {
    known[data::AugmentOpName(static_cast<AugmentOp>(i))] =
        &options.multiplier[i];
  }
  for (const auto& [name, value] : settings.items()) {
    const auto field = known.find(name);
    if (field == known.end()) {
      return absl::UnimplementedError(
          absl::StrCat("setting ", name, " is unknown"));
    }
    *field->second = value.get<double>();
  }
  return options;
}

// Hands out a run's recorded draws one after another.
class RecordedDraws {
 public:
  RecordedDraws(const TensorMap& io, std::string run)
      : io_(io), run_(std::move(run)) {}

  // The next one, float64 [rows, n], or [n] if there is one row.
  absl::StatusOr<at::Tensor> Next(const std::string& kind, int64_t rows = 1) {
    const std::string name =
        absl::StrFormat("%s.draw_%02d_%s", run_, next_++, kind);
    RETORT_ASSIGN_OR_RETURN(const at::Tensor t, CaseContext::Get(io_, name));
    const at::Tensor flat = t.to(at::kDouble).reshape({rows, -1});
    return rows == 1 ? flat[0] : flat;
  }

 private:
  const TensorMap& io_;
  const std::string run_;
  int next_ = 0;
};

absl::StatusOr<AugmentDraws> ReadDraws(const AugmentOptions& options,
                                       RecordedDraws recorded) {
  AugmentDraws draws;
  for (int i = 0; i < data::kAugmentOps; ++i) {
    if (options.multiplier[i] <= 0) continue;
    std::string kind = "randn";
    int64_t rows = 1;
    switch (static_cast<AugmentOp>(i)) {
      case AugmentOp::kXflip:
      case AugmentOp::kYflip:
      case AugmentOp::kRotateInt:
      case AugmentOp::kLumaflip:
        kind = "randint";
        break;
      case AugmentOp::kTranslateInt:
        rows = 2;
        kind = "rand";
        break;
      case AugmentOp::kRotateFrac:
      case AugmentOp::kHue:
        kind = "rand";
        break;
      case AugmentOp::kTranslateFrac:
        rows = 2;
        break;
      default:
        break;
    }
    const bool aniso = static_cast<AugmentOp>(i) == AugmentOp::kAniso;
    RETORT_ASSIGN_OR_RETURN(draws.of[i].value, recorded.Next(kind, rows));
    if (aniso) {
      RETORT_ASSIGN_OR_RETURN(draws.aniso_angle, recorded.Next("rand"));
    }
    RETORT_ASSIGN_OR_RETURN(draws.of[i].gate, recorded.Next("rand"));
    if (aniso) {
      RETORT_ASSIGN_OR_RETURN(draws.aniso_gate, recorded.Next("rand"));
    }
  }
  return draws;
}

absl::Status RunAugment(CaseContext& c) {
  RETORT_ASSIGN_OR_RETURN(const TensorMap io, c.Load("io.safetensors"));
  RETORT_ASSIGN_OR_RETURN(const Tolerance tolerance, c.ToleranceOf("float32"));
  const json runs = c.config().value("runs", json::object());
  for (const auto& [run, settings] : runs.items()) {
    RETORT_ASSIGN_OR_RETURN(const AugmentOptions options,
                            AugmentSettings(settings));
    RETORT_ASSIGN_OR_RETURN(const at::Tensor images,
                            c.Get(io, run + ".images"));
    RETORT_ASSIGN_OR_RETURN(const at::Tensor out, c.Get(io, run + ".out"));
    RETORT_ASSIGN_OR_RETURN(const at::Tensor labels,
                            c.Get(io, run + ".labels"));
    RETORT_ASSIGN_OR_RETURN(const AugmentDraws draws,
                            ReadDraws(options, RecordedDraws(io, run)));
    const data::Augmented actual = data::Augment(options, images, draws);
    c.Compare(run + ".out", actual.images, out, tolerance);
    c.Compare(run + ".labels", actual.labels, labels, tolerance);
  }
  return absl::OkStatus();
}

RETORT_PARITY_CASE("edm_augment", RunAugment);

}  // namespace
}  // namespace retort::parity
