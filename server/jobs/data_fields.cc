#include "server/jobs/data_fields.h"

#include "absl/strings/str_cat.h"

namespace retort::jobs {
namespace {

constexpr int64_t kFashionMnistResolution = 32;
constexpr int64_t kMaxResolution = 8192;

void ResolvePath(const std::string& at, const v1::DataSpec& data,
                 SpecProblems* problems) {
  const bool images = data.dataset() == v1::DataSpec::DATASET_IMAGES;
  if (data.path().empty()) {
    problems->Require(!images, at + ".path",
                      "is missing: DATASET_IMAGES needs the absolute path of a "
                      "zip file or folder of PNG images on the machine that "
                      "trains");
    return;
  }
  problems->Require(
      data.path()[0] == '/', at + ".path",
      absl::StrCat("\"", data.path(), "\" is relative; give the absolute ",
                   images ? "zip file or folder" : "folder",
                   " on the machine that trains"));
}

void ResolveResolution(const DataUse& use, const std::string& at,
                       v1::DataSpec* data, SpecProblems* problems) {
  const bool images = data->dataset() == v1::DataSpec::DATASET_IMAGES;
  const std::string field = at + ".resolution";
  if (data->resolution() == 0) {
    if (use.own_resolution && images) {
      problems->Add(field,
                    "is missing: DATASET_IMAGES needs the height and width "
                    "that its images have");
      return;
    }
    data->set_resolution(use.model_resolution > 0 ? use.model_resolution
                         : images                 ? 0
                                                  : kFashionMnistResolution);
  }
  const int64_t side = data->resolution();
  if (use.model_resolution > 0 && side != use.model_resolution) {
    problems->Add(field, absl::StrCat("is ", side, ", but the model's is ",
                                      use.model_resolution,
                                      "; write that, or leave it out"));
  } else if (images) {
    problems->Require(
        side >= 0 && side <= kMaxResolution, field,
        absl::StrCat("is ", side, "; must be in [1, ", kMaxResolution, "]"));
  } else {
    problems->Require(
        side == 32 || side == 16, field,
        absl::StrCat("is ", side, "; Fashion-MNIST has 32 and ", "16"));
  }
}

}  // namespace

void ResolveData(const DataUse& use, const std::string& at, v1::DataSpec* data,
                 SpecProblems* problems) {
  if (data->dataset() == v1::DataSpec::DATASET_UNSPECIFIED) {
    data->set_dataset(v1::DataSpec::DATASET_FASHION_MNIST);
  }
  if (!v1::DataSpec::Dataset_IsValid(data->dataset())) {
    problems->Add(at + ".dataset",
                  "is none that this build knows; use DATASET_FASHION_MNIST or "
                  "DATASET_IMAGES");
    return;
  }
  // Of other data the worker sees what they have.
  problems->Require(
      data->dataset() != v1::DataSpec::DATASET_FASHION_MNIST ||
          use.model_channels == 0 || use.model_channels == 1,
      at + ".dataset",
      absl::StrCat("is Fashion-MNIST, whose images have one channel, but the "
                   "model is for images of ",
                   use.model_channels,
                   " channels; use DATASET_IMAGES with images like those it "
                   "was trained on"));
  ResolvePath(at, *data, problems);
  ResolveResolution(use, at, data, problems);
  problems->Require(
      data->max_images() >= 0, at + ".max_images",
      absl::StrCat("is ", data->max_images(), "; must be 0 (all) or more"));
}

}  // namespace retort::jobs
