#include "server/jobs/lpips_fields.h"

#include "absl/strings/str_cat.h"
#include "server/base/perceptual.h"
#include "server/jobs/model_facts.h"

namespace retort::jobs {
namespace {

// The authors of CM resize images below this to 224, and leave others.
constexpr int64_t kLargeSide = 256;
constexpr int kDefaultSide = 224;
// Memory grows with the square; at this some 1 GB an image for VGG16.
constexpr int kMaxSide = 1024;

// Notes what speaks against the two models. Returns the backbone's name, or an
// empty one.
std::string CheckModels(const std::string& at, const LpipsModels& models,
                        SpecProblems* problems) {
  if (models.backbone.name().empty()) return "";
  const PerceptualFacts backbone = PerceptualFactsOf(models.backbone);
  if (service::PerceptualMinSide(backbone.type, true) == 0) {
    problems->Add(at + ".backbone",
                  absl::StrCat(models.backbone.name(), " is ",
                               backbone.type == service::kHeadsType
                                   ? "heads of LPIPS"
                                   : "no classifier that LPIPS knows",
                               "; name ", service::PerceptualBackbones(),
                               " in torchvision's names"));
    return "";
  }
  if (models.heads.name().empty()) return backbone.type;
  const PerceptualFacts heads = PerceptualFactsOf(models.heads);
  problems->Require(
      heads.type == service::kHeadsType && heads.backbone == backbone.type,
      at + ".heads",
      absl::StrCat(models.heads.name(), " is ",
                   heads.type != service::kHeadsType
                       ? "no heads of LPIPS"
                       : absl::StrCat("the heads for ", heads.backbone),
                   ", but ", models.backbone.name(), " is ", backbone.type,
                   "; name the heads that the package lpips has for ",
                   backbone.type));
  return backbone.type;
}

}  // namespace

void ResolveLpips(const std::string& at, const LpipsModels& models,
                  v1::LpipsSpec* lpips, SpecProblems* problems) {
  const int64_t own_side = models.teacher.name().empty()
                               ? models.data_side
                               : ResolutionOf(models.teacher);
  if (lpips->resize() == 0) {
    lpips->set_resize(own_side < kLargeSide ? kDefaultSide : -1);
  }
  if (lpips->pooling() == v1::LpipsSpec::POOLING_UNSPECIFIED) {
    lpips->set_pooling(v1::LpipsSpec::POOLING_MEAN);
  }
  problems->Require(v1::LpipsSpec::Pooling_IsValid(lpips->pooling()),
                    at + ".pooling",
                    "is unknown; use POOLING_MEAN or POOLING_MAX");
  const bool resized = lpips->resize() != -1;
  if (resized && (lpips->resize() < 1 || lpips->resize() > kMaxSide)) {
    problems->Add(
        at + ".resize",
        absl::StrCat("is ", lpips->resize(), "; must be in [1, ", kMaxSide,
                     "], or -1 to compare images as they ", "are"));
    return;
  }
  const int64_t channels = ChannelsOf(models.teacher);
  problems->Require(
      channels == 0 || channels == 1 || channels == 3,
      absl::StrCat(at.substr(0, at.rfind('.')), ".distance"),
      absl::StrCat("is LPIPS, which sees images of 1 or 3 channels; the "
                   "teacher's have ",
                   channels, "; choose another"));
  const std::string backbone = CheckModels(at, models, problems);
  const int64_t side = resized ? lpips->resize() : own_side;
  if (backbone.empty() || side == 0) return;
  const int64_t least = service::PerceptualMinSide(
      backbone, lpips->pooling() == v1::LpipsSpec::POOLING_MEAN);
  problems->Require(
      side >= least, at + ".resize",
      absl::StrCat("makes images of ", side, " pixels a side, and ", backbone,
                   " takes ", least, " or more; leave it out, for ",
                   kDefaultSide));
}

}  // namespace retort::jobs
