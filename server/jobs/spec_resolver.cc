#include "server/jobs/spec_resolver.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "core/base/status_macros.h"
#include "server/base/durations.h"
#include "server/base/network_spec.h"
#include "server/base/resource_name.h"
#include "server/base/validation_metrics.h"
#include "server/base/words.h"
#include "server/jobs/clone_changes.h"
#include "server/jobs/data_fields.h"
#include "server/jobs/estimate_fields.h"
#include "server/jobs/evaluate_fields.h"
#include "server/jobs/gan_fields.h"
#include "server/jobs/lpips_fields.h"
#include "server/jobs/model_facts.h"
#include "server/jobs/spec_models.h"
#include "server/jobs/spec_problems.h"
#include "server/jobs/student_fields.h"
#include "server/jobs/timestamps.h"
#include "server/jobs/training_fields.h"

namespace retort::jobs {
namespace {

// Of a network whose manifest does not say, as in EDM.
constexpr double kSigmaData = 0.5;
// Of a network whose data's size is wrong, and noted as such already.
constexpr int kResolution = 32;

// More than anybody needs, and less than would make a number overflow or a
// worker allocate without end.
constexpr int64_t kMaxBatchSize = int64_t{1} << 16;
constexpr int kMaxWorldSize = 1 << 16;
constexpr int64_t kMaxIterations = 1000000000;
constexpr int64_t kMaxImages = int64_t{1} << 24;
constexpr int64_t kMaxKnots = 10000;
constexpr int64_t kMaxTimes = 4096;
// The tables of a student lie in its manifest, and grow with the square.
constexpr int64_t kMaxFittedTimes = 256;

// As few digits as name this number and no other.
std::string Shortest(double value) {
  char text[32];
  return {text, std::to_chars(text, text + sizeof(text), value).ptr};
}

// Sets `field` of `message` to `value` if it was left out.
#define RETORT_DEFAULT(message, field, value) \
  if ((message)->field() == 0) (message)->set_##field(value)

class Resolution {
 public:
  Resolution(const ResolverLimits& limits, ModelLookup* models)
      : limits_(limits), models_(models) {}

  absl::Status Run(v1::JobSpec* spec) {
    Resources(spec->has_train_teacher() || spec->has_distill(),
              spec->mutable_resources());
    world_size_ = spec->resources().world_size();
    switch (spec->task_case()) {
      case v1::JobSpec::kTrainTeacher:
        TrainTeacher(spec->mutable_train_teacher());
        break;
      case v1::JobSpec::kEstimatePreconditioning:
        Estimate(spec->mutable_estimate_preconditioning());
        break;
      case v1::JobSpec::kDistill:
        Distill(spec->mutable_distill());
        break;
      case v1::JobSpec::kEvaluate:
        Evaluate(spec->mutable_evaluate());
        break;
      case v1::JobSpec::TASK_NOT_SET:
        problems_.Add("task",
                      "says nothing to do; give one of train_teacher, "
                      "estimate_preconditioning, distill, evaluate");
    }
    return problems_.ToStatus();
  }

 private:
  // A number that must be positive once its default is filled in.
  template <typename T>
  void Positive(T value, const std::string& field) {
    problems_.Require(value > 0 && std::isfinite(static_cast<double>(value)),
                      field, absl::StrCat("is ", value, "; must be positive"));
  }
  // A number in [low, high].
  void Within(double value, double low, double high, const std::string& field) {
    problems_.Require(
        value >= low && value <= high, field,
        absl::StrCat("is ", value, "; must be in [", low, ", ", high, "]"));
  }
  // A whole number in [low, high].
  void Count(int64_t value, int64_t low, int64_t high,
             const std::string& field) {
    problems_.Require(
        value >= low && value <= high, field,
        absl::StrCat("is ", value, "; must be in [", low, ", ", high, "]"));
  }
  void AtLeast(double value, double low, const std::string& field) {
    problems_.Require(value >= low && std::isfinite(value), field,
                      absl::StrCat("is ", value, "; must be at least ", low));
  }

  // Processes of a gang of so many that a node holds, as far as can be told.
  int RanksPerNode(const v1::ResourceSpec& resources) const {
    int ranks = resources.world_size();
    const int most = resources.max_ranks_per_node();
    if (most > 0) ranks = std::min(ranks, most);
    if (resources.gpus() > 0 && limits_.gpus > 0) {
      ranks = std::min(ranks, limits_.gpus / resources.gpus());
    }
    return std::max(ranks, 1);
  }

  void Resources(bool trains, v1::ResourceSpec* resources) {
    RETORT_DEFAULT(resources, world_size, 1);
    Count(resources->world_size(), 1, kMaxWorldSize, "resources.world_size");
    Count(resources->gpus(), 0, 1, "resources.gpus");
    AtLeast(resources->max_ranks_per_node(), 0, "resources.max_ranks_per_node");
    RETORT_DEFAULT(resources, cpu_threads,
                   std::max(1, limits_.cpu_slots / RanksPerNode(*resources)));
    Positive(resources->cpu_threads(), "resources.cpu_threads");
    problems_.Require(
        resources->cpu_threads() <= limits_.cpu_slots, "resources.cpu_threads",
        absl::StrCat("is ", resources->cpu_threads(), ", but this service has ",
                     service::Count(limits_.cpu_slots, "CPU slot"),
                     "; ask for at most that many"));
    problems_.Require(!resources->has_time_limit() ||
                          service::GetDuration(resources->time_limit()) >
                              absl::ZeroDuration(),
                      "resources.time_limit",
                      "must be longer than nothing; leave it out for "
                      "no limit");
    problems_.Require(limits_.slurm || resources->slurm().ByteSizeLong() == 0,
                      "resources.slurm",
                      "is for a service that runs jobs on a Slurm cluster, and "
                      "this one runs them on its own machine; leave it out");
    if (trains) return;
    problems_.Require(
        resources->world_size() <= 1, "resources.world_size",
        absl::StrCat("is ", resources->world_size(),
                     ", but only train_teacher and distill run as more than "
                     "one process; leave it out, and give cpu_threads"));
    problems_.Require(resources->gpus() == 0, "resources.gpus",
                      "only train_teacher and distill run on GPUs; leave it "
                      "out");
  }

  // Every process takes an equal part of every batch, in equal pieces.
  void BatchDivides(const v1::TrainingSpec& training, const std::string& at) {
    const int64_t ranks = world_size_;
    const int64_t parts = std::max(training.accumulation(), 1);
    if (ranks <= 1 || training.batch_size() < 1) return;
    problems_.Require(
        training.batch_size() % (ranks * parts) == 0, at + ".batch_size",
        absl::StrCat("is ", training.batch_size(), ", which ", ranks,
                     " processes (resources.world_size) of ",
                     service::Count(parts, "part"),
                     " (accumulation) each cannot share equally; use a "
                     "multiple of ",
                     ranks * parts));
  }

  // Data of a task that starts from `model`.
  void Data(const v1::Model& model, v1::DataSpec* data, const std::string& at) {
    ResolveData({false, ResolutionOf(model), ChannelsOf(model)}, at + ".data",
                data, &problems_);
  }

  void Network(v1::NetworkSpec* net, int64_t side, const std::string& at) {
    const size_t problems_before = problems_.count();
    const absl::Status filled = service::FillNetworkDefaults(net);
    if (!filled.ok()) {
      problems_.Add(at, absl::StripPrefix(filled.message(), "network: "));
      return;
    }
    OneOf(net->model_type(), {"SongUNet", "DhariwalUNet"}, at + ".model_type");
    OneOf(net->embedding_type(), {"positional", "fourier"},
          at + ".embedding_type");
    OneOf(net->encoder_type(), {"standard", "residual", "skip"},
          at + ".encoder_type");
    OneOf(net->decoder_type(), {"standard", "skip"}, at + ".decoder_type");
    Positive(net->model_channels(), at + ".model_channels");
    Positive(net->num_blocks(), at + ".num_blocks");
    Positive(net->channel_mult_noise(), at + ".channel_mult_noise");
    Positive(net->channel_mult_emb(), at + ".channel_mult_emb");
    for (int multiple : net->channel_mult()) {
      Positive(multiple, at + ".channel_mult");
    }
    Probability(net->dropout(), at + ".dropout");
    Probability(net->label_dropout(), at + ".label_dropout");
    Levels(*net, side, at);
    if (problems_.count() > problems_before) return;
    // What only the whole of it shows, as the worker would find it.
    const auto network =
        service::ToNetworkConfig(*net, /*sigma_data=*/1, side,
                                 /*channels=*/1, /*classes=*/0);
    if (!network.ok()) {
      problems_.Add(at,
                    absl::StripPrefix(network.status().message(), "network: "));
    }
  }

  // Levels halve the resolution; attention sits at the resolution of a level.
  void Levels(const v1::NetworkSpec& net, int64_t side, const std::string& at) {
    std::vector<int64_t> resolutions;
    int64_t resolution = side;
    for (int i = 0; i < net.channel_mult_size(); ++i) {
      if (resolution < 1) break;
      resolutions.push_back(resolution);
      if (resolution % 2 != 0 && i + 1 < net.channel_mult_size()) {
        problems_.Add(
            at + ".channel_mult",
            absl::StrCat("has ", net.channel_mult_size(), " levels, but ", side,
                         " pixels can be halved only ", i,
                         " times; give at most ", i + 1));
        return;
      }
      resolution /= 2;
    }
    for (int wanted : net.attn_resolutions()) {
      problems_.Require(
          std::find(resolutions.begin(), resolutions.end(), wanted) !=
              resolutions.end(),
          at + ".attn_resolutions",
          absl::StrCat(wanted, " is the resolution of no level; the levels ",
                       "are ", absl::StrJoin(resolutions, ", ")));
    }
  }

  void OneOf(const std::string& value, const std::vector<std::string>& known,
             const std::string& field) {
    problems_.Require(
        std::find(known.begin(), known.end(), value) != known.end(), field,
        absl::StrCat("\"", value, "\" is unknown; use one of ",
                     absl::StrJoin(known, ", ")));
  }

  void Probability(double value, const std::string& field) {
    problems_.Require(value >= 0 && value < 1, field,
                      absl::StrCat("is ", value, "; must be in [0, 1)"));
  }

  // The noise of what is made for a teacher is the teacher's where it is left
  // out, and its sigma_data always: the teacher's network computes with it.
  void NoiseOfTeacher(const v1::Model& teacher, v1::NoiseScheduleSpec* noise,
                      const std::string& at) {
    if (teacher.kind() == v1::Model::KIND_TEACHER) {
      ManifestSchedule own = ScheduleOf(teacher);
      if (own.sigma_data == 0) own.sigma_data = kSigmaData;
      RETORT_DEFAULT(noise, sigma_min, own.sigma_min);
      RETORT_DEFAULT(noise, sigma_max, own.sigma_max);
      RETORT_DEFAULT(noise, rho, own.rho);
      RETORT_DEFAULT(noise, sigma_data, own.sigma_data);
      problems_.Require(
          noise->sigma_data() == own.sigma_data, at + ".sigma_data",
          absl::StrCat("is ", Shortest(noise->sigma_data()),
                       ", but the teacher's is ", Shortest(own.sigma_data),
                       "; write that, or leave it out"));
    }
    Noise(noise, at);
  }

  void Noise(v1::NoiseScheduleSpec* noise, const std::string& at) {
    RETORT_DEFAULT(noise, sigma_min, 0.002);
    RETORT_DEFAULT(noise, sigma_max, 80);
    RETORT_DEFAULT(noise, rho, 7);
    RETORT_DEFAULT(noise, sigma_data, kSigmaData);
    Positive(noise->sigma_min(), at + ".sigma_min");
    Positive(noise->sigma_max(), at + ".sigma_max");
    Positive(noise->rho(), at + ".rho");
    Positive(noise->sigma_data(), at + ".sigma_data");
    problems_.Require(
        noise->sigma_min() < noise->sigma_max(), at + ".sigma_min",
        absl::StrCat("is ", noise->sigma_min(), ", not below sigma_max, ",
                     noise->sigma_max(), "; choose a smaller one"));
  }

  void Optimizer(v1::OptimizerSpec* optimizer, v1::OptimizerSpec::Kind kind,
                 double learning_rate, const std::string& at) {
    if (optimizer->kind() == v1::OptimizerSpec::KIND_UNSPECIFIED) {
      optimizer->set_kind(kind);
    }
    RETORT_DEFAULT(optimizer, learning_rate, learning_rate);
    RETORT_DEFAULT(optimizer, beta1, 0.9);
    RETORT_DEFAULT(optimizer, beta2, 0.999);
    RETORT_DEFAULT(optimizer, epsilon, 1e-8);
    problems_.Require(v1::OptimizerSpec::Kind_IsValid(optimizer->kind()),
                      at + ".kind", "is unknown; use KIND_ADAM or KIND_RADAM");
    problems_.Require(
        optimizer->learning_rate() > 0 && optimizer->learning_rate() <= 1,
        at + ".learning_rate",
        absl::StrCat("is ", optimizer->learning_rate(),
                     "; must be in (0, 1], usually 1e-5 to 1e-3"));
    Positive(optimizer->epsilon(), at + ".epsilon");
    Probability(optimizer->beta1(), at + ".beta1");
    Probability(optimizer->beta2(), at + ".beta2");
    AtLeast(optimizer->weight_decay(), 0, at + ".weight_decay");
    AtLeast(optimizer->warmup_images(), 0, at + ".warmup_images");
  }

  void Training(v1::TrainingSpec* training, const std::string& at) {
    RETORT_DEFAULT(training, batch_size, 64);
    RETORT_DEFAULT(training, checkpoint_every, 500);
    RETORT_DEFAULT(training, keep_checkpoints, 2);
    RETORT_DEFAULT(training, log_every, 10);
    RETORT_DEFAULT(training, ema_rate, 0.999);
    RETORT_DEFAULT(training, max_nonfinite_steps, 10);
    problems_.Require(
        training->iterations() > 0 && training->iterations() <= kMaxIterations,
        at + ".iterations",
        absl::StrCat("is ", training->iterations(),
                     "; say how many steps to train, 1 or more, up to ",
                     kMaxIterations));
    Count(training->batch_size(), 1, kMaxBatchSize, at + ".batch_size");
    Positive(training->checkpoint_every(), at + ".checkpoint_every");
    Positive(training->keep_checkpoints(), at + ".keep_checkpoints");
    Positive(training->log_every(), at + ".log_every");
    Positive(training->max_nonfinite_steps(), at + ".max_nonfinite_steps");
    Probability(training->ema_rate(), at + ".ema_rate");
    ResolveTrainingFields(at, training, &problems_);
    BatchDivides(*training, at);
    if (training->has_validation()) {
      Validation(training->mutable_validation(), at + ".validation");
    }
  }

  void Validation(v1::ValidationSpec* validation, const std::string& at) {
    AtLeast(validation->every(), 0, at + ".every");
    if (validation->every() == 0) return;
    RETORT_DEFAULT(validation, samples, 512);
    RETORT_DEFAULT(validation, teacher_steps, 18);
    if (validation->steps().empty()) {
      for (int steps : {1, 2, 4}) validation->add_steps(steps);
    }
    Count(validation->samples(), 2, kMaxBatchSize, at + ".samples");
    Count(validation->teacher_steps(), 1, kMaxTimes, at + ".teacher_steps");
    for (int steps : validation->steps()) {
      Count(steps, 1, kMaxTimes, at + ".steps");
    }
    if (!validation->feature_extractor().empty()) {
      ModelOf(validation->feature_extractor(),
              {v1::Model::KIND_FEATURE_EXTRACTOR}, at + ".feature_extractor");
    }
  }

  // The same error, saying which field it is about.
  static absl::Status AtField(const absl::Status& status,
                              const std::string& field, const char* remedy) {
    absl::Status named(status.code(),
                       absl::StrCat("job.spec.", field, ": ", status.message(),
                                    *remedy != 0 ? ". " : "", remedy));
    status.ForEachPayload(
        [&](absl::string_view type, const absl::Cord& payload) {
          named.SetPayload(type, payload);
        });
    return named;
  }

  // Returns the model called `name`, which must be of one of `kinds`; an empty
  // one, of no kind, after noting the problem. `remedy` says where to get one.
  v1::Model ModelOf(const std::string& name,
                    const std::vector<v1::Model::Kind>& kinds,
                    const std::string& field, const char* remedy = "") {
    if (name.empty()) {
      problems_.Add(field, absl::StrCat("is missing; name a model of kind ",
                                        KindNames(kinds),
                                        *remedy != 0 ? ". " : "", remedy));
      return v1::Model();
    }
    const auto parsed = service::ParseName(service::kModels, name);
    if (!parsed.ok()) {
      problems_.Add(field, absl::StrCat("\"", name, "\" is no model's name; ",
                                        "write projects/default/models/{id}"));
      return v1::Model();
    }
    absl::StatusOr<v1::Model> model = models_->GetModel(name);
    if (!model.ok()) {
      problems_.Fail(AtField(model.status(), field, remedy));
      return v1::Model();
    }
    if (std::find(kinds.begin(), kinds.end(), model->kind()) == kinds.end()) {
      problems_.Add(
          field, absl::StrCat(name, " is of kind ", KindNames({model->kind()}),
                              "; name one of kind ", KindNames(kinds)));
      return v1::Model();
    }
    return *std::move(model);
  }

  static std::string KindNames(const std::vector<v1::Model::Kind>& kinds) {
    return absl::StrJoin(
        kinds, " or ", [](std::string* out, v1::Model::Kind kind) {
          absl::StrAppend(out, v1::Model::Kind_Name(kind).substr(5));
        });
  }

  // Data, and a network that is for images of their size.
  void OwnNetwork(v1::DataSpec* data, v1::NetworkSpec* network,
                  const std::string& at) {
    ResolveData({.own_resolution = true}, at + ".data", data, &problems_);
    const int64_t side =
        data->resolution() > 0 ? data->resolution() : kResolution;
    Network(network, side, at + ".network");
  }

  void TrainTeacher(v1::TrainTeacherSpec* task) {
    const std::string at = "train_teacher";
    OwnNetwork(task->mutable_data(), task->mutable_network(), at);
    Noise(task->mutable_noise(), at + ".noise");
    Optimizer(task->mutable_optimizer(), v1::OptimizerSpec::KIND_ADAM, 1e-3,
              at + ".optimizer");
    Training(task->mutable_training(), at + ".training");
    ResolveKeeping(at + ".training", service::ValidationMetrics(*task),
                   task->mutable_training(), &problems_);
    RETORT_DEFAULT(task, p_mean, -1.2);
    RETORT_DEFAULT(task, p_std, 1.2);
    problems_.Require(std::isfinite(task->p_mean()), at + ".p_mean",
                      "is not a finite number");
    Positive(task->p_std(), at + ".p_std");
    Within(task->augment_probability(), 0, 1, at + ".augment_probability");
  }

  void Estimate(v1::EstimatePreconditioningSpec* task) {
    const std::string at = "estimate_preconditioning";
    const v1::Model teacher =
        ModelOf(task->teacher(), {v1::Model::KIND_TEACHER}, at + ".teacher");
    Data(teacher, task->mutable_data(), at);
    NoiseOfTeacher(teacher, task->mutable_noise(), at + ".noise");
    RETORT_DEFAULT(task, knots, 120);
    RETORT_DEFAULT(task, samples_per_knot, 4096);
    RETORT_DEFAULT(task, batch_size, 256);
    RETORT_DEFAULT(task, trajectories, 2048);
    RETORT_DEFAULT(task, grid_size, 18);
    Count(task->knots(), 2, kMaxKnots, at + ".knots");
    Count(task->samples_per_knot(), 2, kMaxImages, at + ".samples_per_knot");
    Count(task->batch_size(), 1, kMaxBatchSize, at + ".batch_size");
    if (task->trajectories() != -1) {  // none
      Count(task->trajectories(), 1, kMaxImages, at + ".trajectories");
    }
    Count(task->grid_size(), 2, kMaxFittedTimes, at + ".grid_size");
    ResolveEstimatorFields(task, at, &problems_);
  }

  static bool NeedsArtifact(v1::PreconditioningKind kind) {
    return kind != v1::PRECONDITIONING_KIND_CM &&
           kind != v1::PRECONDITIONING_KIND_CTM &&
           kind != v1::PRECONDITIONING_KIND_BCM;
  }

  // Returns the model that holds the tables; an empty one if none is used.
  v1::Model Preconditioning(v1::DistillSpec* task, const std::string& at) {
    v1::Model tables;
    if (!task->preconditioning_artifact().empty()) {
      tables = ModelOf(task->preconditioning_artifact(),
                       {v1::Model::KIND_PRECONDITIONING},
                       at + ".preconditioning_artifact");
    }
    if (task->preconditioning() == v1::PRECONDITIONING_KIND_UNSPECIFIED) {
      const bool ctm = task->method() == v1::DistillSpec::METHOD_CTM;
      task->set_preconditioning(!task->preconditioning_artifact().empty()
                                    ? BestKindOf(tables)
                                    : (ctm ? v1::PRECONDITIONING_KIND_CTM
                                           : v1::PRECONDITIONING_KIND_CM));
    }
    const v1::PreconditioningKind kind = task->preconditioning();
    const std::string field = at + ".preconditioning";
    if (!v1::PreconditioningKind_IsValid(kind)) {
      problems_.Add(field, absl::StrCat(int{kind}, " is unknown"));
      return v1::Model();
    }
    const std::string name = v1::PreconditioningKind_Name(kind).substr(21);
    problems_.Require(
        kind != v1::PRECONDITIONING_KIND_CM ||
            task->method() != v1::DistillSpec::METHOD_CTM,
        field,
        "CM is defined for jumps to sigma_min only, and METHOD_CTM jumps to "
        "any time; use CTM, BCM or ANALYTIC, or METHOD_CM");
    if (!NeedsArtifact(kind)) {
      problems_.Require(
          task->preconditioning_artifact().empty(),
          at + ".preconditioning_artifact",
          absl::StrCat("is not used by preconditioning ", name,
                       "; leave it out, or choose a kind that uses it"));
    } else if (task->preconditioning_artifact().empty()) {
      problems_.Add(at + ".preconditioning_artifact",
                    absl::StrCat("is missing: preconditioning ", name,
                                 " needs tables of the teacher; run an ",
                                 "estimate_preconditioning job and name the ",
                                 "model that it makes"));
    }
    return NeedsArtifact(kind) ? tables : v1::Model();
  }

  // Tables are of one teacher, and of the noise levels they were estimated at.
  void TablesFit(const v1::DistillSpec& task, const v1::Model& tables,
                 const v1::Model& teacher, const std::string& at) {
    if (tables.name().empty() || teacher.name().empty()) return;
    RequireTablesOf(task.preconditioning(), tables,
                    at + ".preconditioning_artifact", &problems_);
    const std::string hash = TeacherHashOf(tables);
    problems_.Require(
        hash.empty() || hash == teacher.weights_sha256(),
        at + ".preconditioning_artifact",
        absl::StrCat(
            tables.name(), " was estimated for a teacher with weights ", hash,
            ", but ", teacher.name(), " has ", teacher.weights_sha256(),
            "; run an estimate_preconditioning job for this teacher "
            "and name its result"));
    constexpr double kRounding = 1e-6;
    const ManifestSchedule known = ScheduleOf(tables);
    const v1::NoiseScheduleSpec& noise = task.noise();
    problems_.Require(
        known.sigma_max == 0 ||
            (noise.sigma_min() >= known.sigma_min * (1 - kRounding) &&
             noise.sigma_max() <= known.sigma_max * (1 + kRounding)),
        at + ".noise",
        absl::StrCat("runs from ", noise.sigma_max(), " to ", noise.sigma_min(),
                     ", but ", tables.name(), " covers ", known.sigma_max,
                     " to ", known.sigma_min,
                     " only; choose sigma_min and sigma_max within, or "
                     "estimate for these"));
  }

  void Distance(const v1::Model& teacher, v1::DistillSpec* task,
                const std::string& at) {
    problems_.Require(v1::DistillSpec::Distance_IsValid(task->distance()),
                      at + ".distance", "is unknown");
    const std::string field = at + ".lpips";
    if (task->distance() != v1::DistillSpec::DISTANCE_LPIPS) {
      // The rest may stand: a preset has it, whatever distance is chosen.
      problems_.Require(
          task->lpips().backbone().empty() && task->lpips().heads().empty(),
          field,
          "names models, but `distance` is not DISTANCE_LPIPS; set that, or "
          "leave them out");
      return;
    }
    const v1::LpipsSpec& named = task->lpips();
    const LpipsModels models = {
        teacher,
        ModelOf(named.backbone(), {v1::Model::KIND_PERCEPTUAL},
                field + ".backbone", kBackboneRemedy),
        ModelOf(named.heads(), {v1::Model::KIND_PERCEPTUAL}, field + ".heads",
                kHeadsRemedy),
        task->data().resolution()};
    ResolveLpips(field, models, task->mutable_lpips(), &problems_);
  }

  void Distill(v1::DistillSpec* task) {
    const std::string at = "distill";
    if (task->method() == v1::DistillSpec::METHOD_UNSPECIFIED) {
      task->set_method(v1::DistillSpec::METHOD_CTM);
    }
    problems_.Require(v1::DistillSpec::Method_IsValid(task->method()),
                      at + ".method",
                      "is unknown; use METHOD_CM, METHOD_CTM or METHOD_CT");
    CheckTeacherOrNone(at, *task, &problems_);
    const v1::Model teacher = TeacherOrNetwork(task, at);
    const v1::Model tables = Preconditioning(task, at);
    NoiseOfTeacher(teacher, task->mutable_noise(), at + ".noise");
    TablesFit(*task, tables, teacher, at);
    Optimizer(task->mutable_optimizer(), v1::OptimizerSpec::KIND_RADAM, 4e-4,
              at + ".optimizer");
    Training(task->mutable_training(), at + ".training");
    ResolveKeeping(at + ".training", service::ValidationMetrics(*task),
                   task->mutable_training(), &problems_);
    if (task->distance() == v1::DistillSpec::DISTANCE_UNSPECIFIED) {
      task->set_distance(v1::DistillSpec::DISTANCE_PSEUDO_HUBER);
    }
    Distance(teacher, task, at);
    ResolveStudentFields(at, task, &problems_);
    ResolveGanFields(at, task, &problems_);
  }

  // What the student starts from. Returns the teacher; an empty one for
  // METHOD_CT without any, whose network is resolved instead.
  v1::Model TeacherOrNetwork(v1::DistillSpec* task, const std::string& at) {
    if (task->method() != v1::DistillSpec::METHOD_CT ||
        !task->teacher().empty()) {
      v1::Model teacher =
          ModelOf(task->teacher(), {v1::Model::KIND_TEACHER}, at + ".teacher");
      Data(teacher, task->mutable_data(), at);
      return teacher;
    }
    OwnNetwork(task->mutable_data(), task->mutable_network(), at);
    return v1::Model();
  }

  void Evaluate(v1::EvaluateSpec* task) {
    const std::string at = "evaluate";
    const v1::Model model = ModelOf(
        task->model(),
        {v1::Model::KIND_TEACHER, v1::Model::KIND_CM, v1::Model::KIND_CTM},
        at + ".model");
    const v1::Model::Kind kind = model.kind();
    ModelOf(task->feature_extractor(), {v1::Model::KIND_FEATURE_EXTRACTOR},
            at + ".feature_extractor");
    Data(model, task->mutable_data(), at);
    RETORT_DEFAULT(task, samples, 5000);
    RETORT_DEFAULT(task, batch_size, 256);
    if (task->steps().empty()) {
      task->add_steps(1);
      task->add_steps(2);
    }
    Count(task->samples(), 2, kMaxImages, at + ".samples");
    ResolveMetrics(task, &problems_);
    Count(task->batch_size(), 1, kMaxBatchSize, at + ".batch_size");
    for (int steps : task->steps()) Count(steps, 1, kMaxTimes, at + ".steps");
    Within(task->gamma(), 0, 1, at + ".gamma");
    problems_.Require(
        task->gamma() == 0 || kind == v1::Model::KIND_UNSPECIFIED ||
            kind == v1::Model::KIND_CTM,
        at + ".gamma",
        "is for models of kind CTM only; leave it out for this model");
  }

  const ResolverLimits limits_;
  ModelLookup* const models_;
  int world_size_ = 1;
  SpecProblems problems_;
};

#undef RETORT_DEFAULT

}  // namespace

absl::Status SpecResolver::Resolve(v1::JobSpec* spec) const {
  return Resolution(limits_(), models_).Run(spec);
}

absl::Status SpecResolver::CheckModelIsNew(const std::string& project,
                                           const std::string& job_id,
                                           const v1::JobSpec& spec) const {
  return CheckNotTaken(project, job_id, spec,
                       "choose another job_id, or delete that model first");
}

absl::Status SpecResolver::CheckCanGoOn(const v1::JobSpec& before, int64_t step,
                                        const v1::JobSpec& now) const {
  return jobs::CheckCanGoOn(before, step, now, models_);
}

absl::Status SpecResolver::CheckModelsOfResumed(const v1::Job& job) const {
  RETORT_ASSIGN_OR_RETURN(const service::ResourceName name,
                          service::ParseName(service::kJobs, job.name()));
  for (const std::string& needed : ModelsOf(job.spec())) {
    RETORT_ASSIGN_OR_RETURN(const v1::Model model, models_->GetModel(needed));
    // A job is made after its models, and a model never changes.
    if (FromTimestamp(model.create_time()) > FromTimestamp(job.create_time())) {
      return service::Error(
          absl::StatusCode::kFailedPrecondition,
          v1::ERROR_REASON_STATE_CONFLICT,
          absl::StrCat(needed, " is not the model any more that ", job.name(),
                       " was made for, but a newer one of that name; submit a "
                       "new job"),
          {{"name", needed}});
    }
  }
  return CheckNotTaken(name.project, name.id, job.spec(),
                       "delete that model first");
}

absl::Status SpecResolver::CheckNotTaken(const std::string& project,
                                         const std::string& job_id,
                                         const v1::JobSpec& spec,
                                         absl::string_view remedy) const {
  if (job_id.empty() || !MakesModel(spec)) return absl::OkStatus();
  const std::string model =
      service::ResourceName{project, service::kModels, job_id}.ToString();
  const absl::Status found = models_->GetModel(model).status();
  if (absl::IsNotFound(found)) return absl::OkStatus();
  if (!found.ok()) return found;
  return service::Error(
      absl::StatusCode::kAlreadyExists, v1::ERROR_REASON_ALREADY_EXISTS,
      absl::StrCat("there is a model ", model, " already, and a job's model ",
                   "gets the job's id; ", remedy),
      {{"name", model}});
}

}  // namespace retort::jobs
