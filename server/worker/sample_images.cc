#include "server/worker/sample_images.h"

#include <algorithm>
#include <bit>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/io/png.h"

namespace retort::worker {
namespace {

// Images in one network call, at most; keeps memory and the time between two
// looks at the deadline bounded.
constexpr int64_t kBatchSize = 64;

static_assert(std::endian::native == std::endian::little,
              "IMAGE_FORMAT_FLOAT32 is little-endian");

std::string BytesOf(const at::Tensor& tensor) {
  const at::Tensor plain = tensor.contiguous();
  return std::string(static_cast<const char*>(plain.const_data_ptr()),
                     plain.nbytes());
}

}  // namespace

absl::StatusOr<sample::SampleOptions> ToSampleOptions(
    const v1::SampleRequest& request, const LoadedModel& model) {
  sample::SampleOptions options;
  options.count = std::max(request.samples(), 1);
  if (request.samples() < 0 || options.count > kMaxSamples) {
    return absl::InvalidArgumentError(
        absl::StrCat("samples is ", request.samples(),
                     "; it must be from 1 to ", kMaxSamples));
  }
  if (!request.times().empty() && request.steps() != 0 &&
      request.steps() != request.times_size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("steps is ", request.steps(), " but there are ",
                     request.times_size(), " times; leave steps out"));
  }
  options.plan.solver = model.solver;
  options.plan.schedule = model.schedule;
  options.plan.steps = request.steps();
  options.plan.times.assign(request.times().begin(), request.times().end());
  options.plan.gamma = request.gamma();
  options.seed = request.seed();
  options.first_index = request.first_index();
  options.classes.assign(request.classes().begin(), request.classes().end());
  options.batch_size = kBatchSize;
  return options;
}

absl::StatusOr<v1::SampleResponse> ToResponse(
    const sample::SampleResult& result, v1::ImageFormat format) {
  if (format == v1::IMAGE_FORMAT_UNSPECIFIED) {
    format = v1::IMAGE_FORMAT_RAW_UINT8;
  }
  v1::SampleResponse response;
  response.set_format(format);
  response.set_channels(result.images.size(1));
  response.set_height(result.images.size(2));
  response.set_width(result.images.size(3));
  for (const int64_t c : result.classes) response.add_classes(c);
  at::Tensor pixels;  // [n,H,W,C]
  if (format != v1::IMAGE_FORMAT_FLOAT32) {
    pixels = io::ToUint8(result.images).permute({0, 2, 3, 1}).contiguous();
  }
  for (int64_t i = 0; i < result.images.size(0); ++i) {
    switch (format) {
      case v1::IMAGE_FORMAT_RAW_UINT8:
        response.add_images(BytesOf(pixels[i]));
        break;
      case v1::IMAGE_FORMAT_FLOAT32:
        response.add_images(BytesOf(result.images[i]));
        break;
      case v1::IMAGE_FORMAT_PNG: {
        RETORT_ASSIGN_OR_RETURN(std::string png, io::EncodePng(pixels[i]));
        response.add_images(std::move(png));
        break;
      }
      default:
        return absl::InvalidArgumentError(
            absl::StrCat("format ", static_cast<int>(format),
                         " is not one of RAW_UINT8, "
                         "FLOAT32 and PNG"));
    }
  }
  return response;
}

}  // namespace retort::worker
