#include "server/worker/job_estimate.h"

#include <ATen/Parallel.h>
#include <google/protobuf/util/json_util.h>

#include <algorithm>
#include <fstream>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "core/base/file.h"
#include "core/base/status_macros.h"
#include "core/data/image_dataset.h"
#include "core/io/model_file.h"
#include "core/nn/named_networks.h"
#include "core/nn/network_size.h"
#include "core/train/footprint.h"
#include "retort/v1/job_service.pb.h"
#include "server/worker/spec_to_options.h"
#include "server/worker/task.h"

namespace retort::worker {
namespace {

using nlohmann::json;

constexpr int64_t kMostMeasuredImages = 2;
// Networks this small take batches of this size in seconds, and use a machine
// much better with them.
constexpr int64_t kSmallNetwork = 4'000'000;
constexpr int64_t kMostSmallImages = 16;
constexpr double kGiB = 1 << 30;

// A process that listens to nobody.
class SilentOutbox : public Outbox {
 public:
  void SetStep(int64_t) override {}
  void SetActivity(const char*, bool) override {}
  void SendRendezvous(const internal::v1::Rendezvous&) override {}
  void SendProgress(const internal::v1::Progress&) override {}
  void SendCheckpoint(const internal::v1::CheckpointWritten&) override {}
  void SendWarning(const std::string&) override {}
  void SendReady(const internal::v1::ReplicaReady&) override {}
  void SendAnswer(internal::v1::SampleAnswer) override {}
};

// "MemAvailable:  123 kB" of a file of /proc, in bytes; 0 if it is not there.
int64_t ReadProc(const std::string& file, const std::string& name) {
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);) {
    const std::vector<std::string> words =
        absl::StrSplit(line, absl::ByAnyChar(": \t"), absl::SkipEmpty());
    int64_t kilobytes = 0;
    if (words.size() >= 2 && words[0] == name &&
        absl::SimpleAtoi(words[1], &kilobytes)) {
      return kilobytes << 10;
    }
  }
  return 0;
}

// What the images look like. A data set that is not here, or not quickly
// looked at, is taken to have three channels and the preset's classes.
absl::StatusOr<ImageShape> FactsOf(const v1::DataSpec& data,
                                   const v1::NetworkSpec& network) {
  if (data.dataset() != v1::DataSpec::DATASET_IMAGES) {
    return ImageShape{data.resolution() > 0 ? data.resolution() : 32, 1, 10};
  }
  if (base::FileExists(data.path()) && !base::IsDirectory(data.path())) {
    data::ImageDatasetOptions options;
    options.resolution = data.resolution();
    options.max_held_bytes = 0;
    RETORT_ASSIGN_OR_RETURN(const auto set,
                            data::OpenImageDataset(data.path(), options));
    return ImageShape{set->resolution(), set->channels(), set->label_dim()};
  }
  ImageShape facts{data.resolution(), 3, 0};
  const auto named = nn::NamedNetwork(network.preset());
  if (named.ok() && !data.unconditional()) facts.classes = named->label_dim;
  return facts;
}

class Estimator {
 public:
  explicit Estimator(TaskContext context) : context_(std::move(context)) {}

  absl::StatusOr<json> Run(bool measure) {
    RETORT_RETURN_IF_ERROR(FindSizes());
    json answer = {{"ok", true}};
    if (measure) RETORT_RETURN_IF_ERROR(Measure(&answer));
    std::string text;
    google::protobuf::util::JsonPrintOptions print;
    print.preserve_proto_field_names = true;
    const auto printed =
        google::protobuf::util::MessageToJsonString(estimate_, &text, print);
    if (!printed.ok()) return absl::InternalError("an estimate is no JSON");
    answer["estimate"] = json::parse(text);
    return answer;
  }

 private:
  const v1::JobSpec& spec() const { return context_.assignment.spec(); }

  absl::Status FindSizes() {
    switch (spec().task_case()) {
      case v1::JobSpec::kTrainTeacher:
        return TeacherSizes(spec().train_teacher());
      case v1::JobSpec::kDistill:
        return StudentSizes(spec().distill());
      case v1::JobSpec::kEstimatePreconditioning:
        return InferenceSizes(spec().estimate_preconditioning().teacher(),
                              spec().estimate_preconditioning().batch_size());
      case v1::JobSpec::kEvaluate:
        return InferenceSizes(spec().evaluate().model(),
                              spec().evaluate().batch_size());
      case v1::JobSpec::TASK_NOT_SET:
        break;
    }
    return absl::InvalidArgumentError("the spec names no task");
  }

  absl::StatusOr<nn::NetworkConfig> NetworkOf(const std::string& model) const {
    RETORT_ASSIGN_OR_RETURN(const std::string dir, context_.ModelDir(model));
    RETORT_ASSIGN_OR_RETURN(const io::ModelManifest manifest,
                            io::ReadModelManifest(dir));
    return nn::NetworkConfig::FromJson(manifest.network);
  }

  absl::Status TeacherSizes(const v1::TrainTeacherSpec& task) {
    RETORT_ASSIGN_OR_RETURN(const ImageShape facts,
                            FactsOf(task.data(), task.network()));
    RETORT_ASSIGN_OR_RETURN(footprint_.network,
                            NewNetwork(NetworkFieldsOf(task), facts));
    rehearsal_ = {facts.resolution, facts.channels, facts.classes};
    TrainingSizes(task.training());
    return absl::OkStatus();
  }

  absl::Status StudentSizes(const v1::DistillSpec& task) {
    footprint_.method = task.method() == v1::DistillSpec::METHOD_CTM
                            ? train::Method::kCtm
                            : train::Method::kCm;
    footprint_.denoising = task.dsm_weight() >= 0;
    if (task.gan().weight() > 0) {
      RETORT_ASSIGN_OR_RETURN(const train::TrainOptions options,
                              ToTrainOptions(task));
      footprint_.gan_channels = options.gan.channels;
    }
    if (task.teacher().empty()) {  // consistency training
      RETORT_ASSIGN_OR_RETURN(const ImageShape facts,
                              FactsOf(task.data(), task.network()));
      RETORT_ASSIGN_OR_RETURN(footprint_.network,
                              NewNetwork(NetworkFieldsOf(task), facts));
    } else {
      RETORT_ASSIGN_OR_RETURN(footprint_.network, NetworkOf(task.teacher()));
      // Consistency training lets its teacher go once it has started.
      if (task.method() != v1::DistillSpec::METHOD_CT) {
        footprint_.teacher_parameters = nn::CountParameters(footprint_.network);
      }
    }
    if (task.distance() == v1::DistillSpec::DISTANCE_LPIPS) {
      RETORT_RETURN_IF_ERROR(LpipsSizes(task.lpips()));
    }
    footprint_.network.two_times = footprint_.method == train::Method::kCtm;
    rehearsal_ = {footprint_.network.img_resolution,
                  footprint_.network.img_channels,
                  footprint_.network.label_dim};
    TrainingSizes(task.training());
    return absl::OkStatus();
  }

  absl::Status LpipsSizes(const v1::LpipsSpec& lpips) {
    const int64_t side = footprint_.network.img_resolution;
    const PerceptualOptions options = ToPerceptualOptions(lpips, side);
    footprint_.lpips_side =
        options.distance.resize > 0 ? options.distance.resize : side;
    footprint_.lpips_pooling = options.lpips.pooling;
    RETORT_ASSIGN_OR_RETURN(const std::string dir,
                            context_.ModelDir(lpips.backbone()));
    RETORT_ASSIGN_OR_RETURN(const io::ModelManifest manifest,
                            io::ReadModelManifest(dir));
    footprint_.lpips_backbone =
        manifest.network.value("type", footprint_.lpips_backbone);
    return absl::OkStatus();
  }

  void TrainingSizes(const v1::TrainingSpec& training) {
    const int64_t processes = std::max(spec().resources().world_size(), 1);
    const int64_t images = (training.batch_size() + processes - 1) / processes;
    footprint_.ranks = processes;
    footprint_.images = images / std::max(training.accumulation(), 1);
    footprint_.images = std::max<int64_t>(footprint_.images, 1);
    footprint_.half =
        training.precision() == v1::TrainingSpec::PRECISION_FP16 ||
        training.precision() == v1::TrainingSpec::PRECISION_BF16;
    iterations_ = training.iterations();
    estimate_.set_parameters(nn::CountParameters(footprint_.network));
    estimate_.set_images_per_process(images);
    estimate_.set_bytes_per_process(
        train::EstimateFootprint(footprint_).Total());
    estimate_.set_checkpoint_bytes(train::CheckpointBytes(footprint_));
  }

  absl::Status InferenceSizes(const std::string& model, int64_t batch) {
    RETORT_ASSIGN_OR_RETURN(const nn::NetworkConfig network, NetworkOf(model));
    estimate_.set_parameters(nn::CountParameters(network));
    estimate_.set_images_per_process(batch);
    estimate_.set_bytes_per_process(train::InferenceBytes(network, batch));
    return absl::OkStatus();
  }

  // How many images a step is measured with; ResourceExhausted if there is not
  // even room for one.
  absl::StatusOr<int64_t> MeasuredImages() const {
    const int64_t free = ReadProc("/proc/meminfo", "MemAvailable");
    train::FootprintOptions one = footprint_;
    one.ranks = 1;
    int64_t needed = 0;
    for (one.images = std::min(estimate_.images_per_process(),
                               estimate_.parameters() < kSmallNetwork
                                   ? kMostSmallImages
                                   : kMostMeasuredImages);
         one.images >= 1; --one.images) {
      needed = train::EstimateFootprint(one).Step();
      if (free == 0 || needed <= free) return one.images;
    }
    return absl::ResourceExhaustedError(absl::StrFormat(
        "one step of one image needs %.1f GiB of memory, and %.1f GiB are "
        "free; measure on a larger machine, or when other jobs are done",
        needed / kGiB, free / kGiB));
  }

  absl::Status Measure(json* answer) {
    if (spec().task_case() != v1::JobSpec::kTrainTeacher &&
        spec().task_case() != v1::JobSpec::kDistill) {
      return absl::InvalidArgumentError(
          "measure is for train_teacher and distill; leave it out for this "
          "task");
    }
    RETORT_ASSIGN_OR_RETURN(const int64_t images, MeasuredImages());
    v1::JobSpec* changed = context_.assignment.mutable_spec();
    v1::TrainingSpec* training =
        changed->has_distill()
            ? changed->mutable_distill()->mutable_training()
            : changed->mutable_train_teacher()->mutable_training();
    if (changed->distill().gan().weight() > 0) {
      // A step that the discriminator has its say in.
      changed->mutable_distill()->mutable_gan()->clear_start_step();
    }
    training->set_batch_size(images);
    training->set_accumulation(1);
    training->clear_validation();
    const int threads = std::max(spec().resources().cpu_threads(), 1);
    at::set_num_threads(threads);
    SilentOutbox outbox;
    TaskControl control;
    context_.outbox = &outbox;
    context_.control = &control;
    context_.rehearsal = &rehearsal_;
    context_.assignment.set_job_dir("/nonexistent");
    const internal::v1::TaskEnded ended = RunTask(context_);
    if (ended.outcome() != internal::v1::TaskEnded::OUTCOME_SUCCEEDED) {
      return absl::FailedPreconditionError(absl::StrCat(
          "the step that was to be measured failed: ", ended.reason()));
    }
    Report(images, threads, *training, answer);
    return absl::OkStatus();
  }

  void Report(int64_t images, int threads, const v1::TrainingSpec& training,
              json* answer) {
    const int64_t peak = ReadProc("/proc/self/status", "VmHWM");
    const double seconds = absl::ToDoubleSeconds(rehearsal_.step);
    const double factor =
        static_cast<double>(estimate_.images_per_process()) / images;
    estimate_.set_seconds_per_step(seconds * factor);
    estimate_.set_seconds(seconds * factor * iterations_);
    estimate_.set_measured(absl::StrFormat(
        "a step of %d image%s took %.3g s with %d thread%s in %s on a CPU and "
        "%.2f GiB of memory; times %g for %d images",
        images, images == 1 ? "" : "s", seconds, threads,
        threads == 1 ? "" : "s",
        training.precision() == v1::TrainingSpec::PRECISION_FP16   ? "float16"
        : training.precision() == v1::TrainingSpec::PRECISION_BF16 ? "bfloat16"
                                                                   : "float32",
        peak / kGiB, factor, estimate_.images_per_process()));
    train::FootprintOptions measured = footprint_;
    measured.images = images;
    measured.ranks = 1;
    (*answer)["step_bytes"] = train::EstimateFootprint(measured).Step();
    (*answer)["peak_bytes"] = peak;
  }

  TaskContext context_;
  train::FootprintOptions footprint_;
  Rehearsal rehearsal_;
  int64_t iterations_ = 0;
  v1::JobEstimate estimate_;
};

absl::StatusOr<json> Answer(const std::string& request) {
  const json given = json::parse(request, nullptr, /*allow_exceptions=*/false);
  if (!given.is_object() || !given.contains("spec") ||
      !given["spec"].is_object()) {
    return absl::InvalidArgumentError("the request is no {\"spec\": ...}");
  }
  TaskContext context;
  const auto parsed = google::protobuf::util::JsonStringToMessage(
      given["spec"].dump(), context.assignment.mutable_spec());
  if (!parsed.ok()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the spec is none that this worker knows (", parsed.ToString(),
        "); use retortd and retort-worker of the same version"));
  }
  const json models = given.value("models", json::object());
  for (const auto& [name, dir] : models.items()) {
    if (!dir.is_string()) continue;
    (*context.assignment.mutable_model_dirs())[name] = dir.get<std::string>();
  }
  return Estimator(std::move(context)).Run(given.value("measure", false));
}

}  // namespace

json EstimateJob(const std::string& request) {
  absl::StatusOr<json> answer;
  try {
    answer = Answer(request);
  } catch (const json::exception& error) {
    answer = absl::InvalidArgumentError(error.what());
  } catch (const c10::Error& error) {
    answer = absl::InternalError(error.what_without_backtrace());
  } catch (const std::bad_alloc&) {
    answer = absl::ResourceExhaustedError("out of memory");
  }
  if (answer.ok()) return *std::move(answer);
  return {{"ok", false},
          {"code", static_cast<int>(answer.status().code())},
          {"error", std::string(answer.status().message())}};
}

}  // namespace retort::worker
