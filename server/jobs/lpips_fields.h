#ifndef RETORT_SERVER_JOBS_LPIPS_FIELDS_H_
#define RETORT_SERVER_JOBS_LPIPS_FIELDS_H_

#include <cstdint>
#include <string>

#include "retort/v1/model_service.pb.h"
#include "retort/v1/spec.pb.h"
#include "server/jobs/spec_problems.h"

// What SpecResolver asks about the perceptual distance LPIPS.
namespace retort::jobs {

// Models that the spec names; empty ones, of no kind, where that has been noted
// as a problem already.
struct LpipsModels {
  v1::Model teacher;
  v1::Model backbone;
  v1::Model heads;
  int64_t data_side = 0;  // of the images where there is no teacher
};

// Where the weights are to be had; said where a spec names none.
inline constexpr char kBackboneRemedy[] =
    "LPIPS needs a classifier, which is no part of Retort: save torchvision's "
    "vgg16 (weights=\"IMAGENET1K_V1\") as safetensors and import the file with "
    "`retort models import FILE --kind perceptual` (docs/cli.md, \"Weights for "
    "LPIPS\", has the lines of Python), or choose another distance";
inline constexpr char kHeadsRemedy[] =
    "LPIPS needs the weights of the classifier's channels, which are no part "
    "of Retort: save those of the PyPI package lpips as safetensors and import "
    "the file with `retort models import FILE --kind perceptual` (docs/cli.md, "
    "\"Weights for LPIPS\", has the lines of Python), or choose another "
    "distance";

// Fills in and checks what DISTANCE_LPIPS needs: that the models are a backbone
// and the heads made for it, and that the images, resized as the spec has it,
// are large enough. `at` is the path of `lpips` below the spec.
void ResolveLpips(const std::string& at, const LpipsModels& models,
                  v1::LpipsSpec* lpips, SpecProblems* problems);

}  // namespace retort::jobs

#endif  // RETORT_SERVER_JOBS_LPIPS_FIELDS_H_
