#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "client/commands/commands.h"
#include "client/image_grid.h"
#include "client/output.h"
#include "core/base/file.h"
#include "core/base/status_macros.h"
#include "retort/v1/sampling_service.grpc.pb.h"

namespace retort::client {
namespace {

struct SampleFlags {
  std::string deployment;
  int samples = 16;
  int steps = 0;
  std::vector<double> times;
  std::vector<int> classes;
  uint64_t seed = 0;
  int64_t first_index = 0;
  double gamma = 0;
  int priority = 0;
  std::string grid;
  int columns = 0;
  int scale = 2;
  std::string out_dir;
};

v1::SampleRequest MakeSampleRequest(const Context& context,
                                    const SampleFlags& options) {
  v1::SampleRequest request;
  request.set_deployment(context.Deployment(options.deployment));
  request.set_samples(options.samples);
  request.set_steps(options.steps);
  for (const double t : options.times) request.add_times(t);
  for (const int c : options.classes) request.add_classes(c);
  request.set_seed(options.seed);
  request.set_first_index(options.first_index);
  request.set_gamma(options.gamma);
  request.set_priority(options.priority);
  request.set_format(v1::IMAGE_FORMAT_RAW_UINT8);
  return request;
}

std::vector<Image> ImagesOf(const v1::SampleResponse& response) {
  std::vector<Image> images;
  for (const std::string& pixels : response.images()) {
    images.push_back(
        {response.width(), response.height(), response.channels(), pixels});
  }
  return images;
}

absl::Status WriteGrid(const SampleFlags& options,
                       const std::vector<Image>& images) {
  RETORT_ASSIGN_OR_RETURN(const Image grid,
                          MakeGrid(images, options.columns, options.scale));
  RETORT_ASSIGN_OR_RETURN(const std::string png, EncodePng(grid));
  return WriteOutput(options.grid, png);
}

absl::Status WriteEach(const SampleFlags& options,
                       const std::vector<Image>& images) {
  const absl::Status made = base::MakeDirs(options.out_dir);
  if (!made.ok()) return UsageError(made.message());
  for (size_t i = 0; i < images.size(); ++i) {
    RETORT_ASSIGN_OR_RETURN(const std::string png, EncodePng(images[i]));
    RETORT_RETURN_IF_ERROR(WriteOutput(
        absl::StrFormat("%s/%06d.png", options.out_dir,
                        options.first_index + static_cast<int64_t>(i)),
        png));
  }
  return absl::OkStatus();
}

void PrintSampled(const SampleFlags& options,
                  const v1::SampleResponse& response, double seconds) {
  const auto& s = response.statistics();
  std::string text =
      absl::StrFormat("%s in %.2f s (%s each, computing %.2f s)",
                      Counted(response.images_size(), "image"), seconds,
                      Counted(s.network_calls(), "network call"),
                      absl::ToDoubleSeconds(FromProto(s.compute_time())));
  if (!options.grid.empty()) absl::StrAppend(&text, ": ", options.grid);
  if (!options.out_dir.empty()) absl::StrAppend(&text, ", ", options.out_dir);
  fprintf(options.grid == "-" ? stderr : stdout, "%s\n", text.c_str());
}

absl::Status DrawSamples(Context* context, SampleFlags options) {
  const bool files = !options.grid.empty() || !options.out_dir.empty();
  if (!files && !context->options.json) options.grid = "samples.png";
  auto stub = context->NewStub<v1::SamplingService>();
  v1::SampleResponse response;
  const absl::Time start = absl::Now();
  RETORT_RETURN_IF_ERROR(context->Call(*stub,
                                       &v1::SamplingService::Stub::Sample,
                                       MakeSampleRequest(*context, options),
                                       &response, Context::CallKind::kLong));
  const double seconds = absl::ToDoubleSeconds(absl::Now() - start);
  const std::vector<Image> images = ImagesOf(response);
  if (!options.grid.empty()) {
    RETORT_RETURN_IF_ERROR(WriteGrid(options, images));
  }
  if (!options.out_dir.empty()) {
    RETORT_RETURN_IF_ERROR(WriteEach(options, images));
  }
  if (context->options.json) {
    if (files) response.clear_images();
    PrintJson(response);
  } else {
    PrintSampled(options, response, seconds);
  }
  return absl::OkStatus();
}

}  // namespace

void AddSample(CLI::App* parent, Context* context) {
  auto options = std::make_shared<SampleFlags>();
  CLI::App* command =
      AddCommand(parent, context, "sample", "Draw images from a deployment",
                 [=] { return DrawSamples(context, *options); });
  command->add_option("DEPLOYMENT", options->deployment, "Id or full name")
      ->required();
  command->add_option("-n,--samples", options->samples, "Images")
      ->capture_default_str()
      ->check(CLI::Range(1, 4096));
  command
      ->add_option("--steps", options->steps,
                   "Jumps of a student, Heun steps of a teacher (default 1)")
      ->check(CLI::Range(1, 4096));
  command
      ->add_option("--times", options->times, "Explicit times instead: 80,2.5")
      ->delimiter(',')
      ->allow_extra_args(false);
  command
      ->add_option("--class", options->classes,
                   "Class of all images, or one for each: 3 or 0,1,2 "
                   "(default: all in turn)")
      ->delimiter(',')
      ->allow_extra_args(false);
  command
      ->add_option("--seed", options->seed,
                   "An image is a function of seed and index")
      ->capture_default_str();
  command->add_option("--first-index", options->first_index,
                      "Index of the first image");
  command
      ->add_option("--gamma", options->gamma,
                   "0: no noise after the first; 1: fresh noise each step "
                   "(consistency trajectory models)")
      ->check(CLI::Range(0.0, 1.0));
  command->add_option("--priority", options->priority, "Higher goes first");
  command->add_option("--grid", options->grid,
                      "PNG with all images (default samples.png; - is "
                      "standard output)");
  command
      ->add_option("--columns", options->columns,
                   "Of the grid (default: a square)")
      ->check(CLI::Range(1, 4096));
  command->add_option("--scale", options->scale, "Pixels per pixel in the grid")
      ->capture_default_str()
      ->check(CLI::Range(1, 16));
  command->add_option("--out-dir", options->out_dir,
                      "Folder for one PNG per image");
  command->footer(
      "With --json and no file to write, the images come as base64 of their "
      "bytes.\nExamples:\n"
      "  retort sample clothes -n 64 --steps 2 --seed 7 --grid out.png\n"
      "  retort sample clothes -n 16 --class 7 --grid sneakers.png\n"
      "  retort sample teacher -n 16 --steps 18 --out-dir images");
}

}  // namespace retort::client
