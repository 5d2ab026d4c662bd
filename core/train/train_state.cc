#include "core/train/train_state.h"

#include <limits>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "core/base/status_macros.h"

namespace retort::train {
namespace {

using nlohmann::json;

std::string Text(at::IntArrayRef shape, at::ScalarType dtype) {
  std::string text = absl::StrCat(c10::toString(dtype), "[");
  for (size_t i = 0; i < shape.size(); ++i) {
    absl::StrAppend(&text, i > 0 ? "," : "", shape[i]);
  }
  return text + "]";
}

// Describes the first difference between two fingerprints; "" if none.
std::string Difference(const json& saved, const json& now,
                       const std::string& path) {
  if (saved.is_object() && now.is_object()) {
    for (const auto& [key, value] : now.items()) {
      const std::string name = path.empty() ? key : path + "." + key;
      if (!saved.contains(key)) return name + " is new";
      const std::string inner = Difference(saved[key], value, name);
      if (!inner.empty()) return inner;
    }
    for (const auto& [key, value] : saved.items()) {
      if (!now.contains(key)) return path + "." + key + " is gone";
    }
    return "";
  }
  if (saved == now) return "";
  return absl::StrCat(path, " was ", saved.dump(), " and is ", now.dump());
}

// Whether a tensor of that name is in every checkpoint of the same network and
// method.
bool IsOfNetwork(const std::string& name) {
  return !absl::StartsWith(name, "ema.") &&
         !absl::StartsWith(name, "discriminator.");
}

absl::Status CheckState(const json& state) {
  if (state.contains("counters") && state.contains("run") &&
      state.contains("optimizer_steps")) {
    return absl::OkStatus();
  }
  return absl::DataLossError("the checkpoint has no counters");
}

absl::Status CheckRun(const json& state, const json& fingerprint) {
  RETORT_RETURN_IF_ERROR(CheckState(state));
  const std::string difference = Difference(state["run"], fingerprint, "");
  if (difference.empty()) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      "the checkpoint of step ", state["counters"].value("step", int64_t{0}),
      " is of another run: ", difference,
      ". Resume with the settings it was made with, or start a new job."));
}

}  // namespace

json Counters::ToJson() const {
  return {{"step", step},
          {"images", images},
          {"skipped", skipped},
          {"skipped_in_a_row", skipped_in_a_row},
          {"skip_ahead", skip_ahead},
          {"rollbacks", rollbacks}};
}

absl::StatusOr<std::unique_ptr<TrainState>> TrainState::Create(
    const TrainOptions& options, std::shared_ptr<nn::EdmDenoiser> student) {
  auto state = std::unique_ptr<TrainState>(new TrainState());
  state->options_ = options;
  if (options.precision == Precision::kFp16) {
    state->loss_scale = LossScale::Dynamic(options.loss_scale);
  }
  for (const auto& item : student->named_parameters()) {
    state->names_.push_back(item.key());
    state->parameters_.push_back(item.value());
  }
  if (options.method != Method::kEdm) {
    state->target_ = nn::CloneDenoiser(*student);
    for (at::Tensor& p : state->target_->parameters()) {
      p.set_requires_grad(false);
      state->target_parameters_.push_back(p);
    }
  }
  const size_t averages =
      options.ema_rates.size() + (options.ema_halflife_images > 0 ? 1 : 0);
  for (size_t i = 0; i < averages; ++i) {
    state->averages_.emplace_back(state->parameters_);
  }
  RETORT_ASSIGN_OR_RETURN(state->optimizer_,
                          MakeOptimizer(state->parameters_, options.optimizer));
  state->student_ = std::move(student);
  if (options.gan.weight > 0) {
    RETORT_RETURN_IF_ERROR(state->AddDiscriminator());
  }
  return state;
}

absl::Status TrainState::AddDiscriminator() {
  const nn::NetworkConfig& net = student_->config();
  const distill::DiscriminatorConfig config = {net.img_resolution,
                                               net.img_channels, net.label_dim,
                                               options_.gan.channels};
  discriminator_ =
      std::make_shared<distill::Discriminator>(config, options_.seed);
  discriminator_->to(student_->device());
  for (const auto& item : discriminator_->named_parameters()) {
    discriminator_names_.push_back(item.key());
    discriminator_parameters_.push_back(item.value());
  }
  // Without momentum: what it learns against changes (Mescheder et al. 2018).
  OptimizerOptions adam;
  adam.beta1 = 0;
  adam.beta2 = 0.99;
  RETORT_ASSIGN_OR_RETURN(discriminator_optimizer_,
                          MakeOptimizer(discriminator_parameters_, adam));
  return absl::OkStatus();
}

void TrainState::StepDiscriminator() {
  if (discriminator_ == nullptr) return;
  discriminator_optimizer_->Step(options_.gan.learning_rate);
}

void TrainState::UpdateAverages() {
  size_t next = 0;
  if (options_.ema_halflife_images > 0) {
    averages_[next++].Update(
        parameters_,
        HalflifeRate(options_.batch_size, options_.ema_halflife_images,
                     options_.ema_rampup_ratio, counters.images));
  }
  for (const double rate : options_.ema_rates) {
    averages_[next++].Update(parameters_, rate);
  }
  if (target_ != nullptr) {
    Ema::Over(target_parameters_)
        .Update(parameters_, options_.StageAt(counters.step).target_ema);
  }
}

io::TensorMap TrainState::AveragedWeights() const {
  io::TensorMap weights = student_->StateDict();
  for (size_t i = 0; i < names_.size(); ++i) {
    weights[names_[i]] = averages_.front().values()[i];
  }
  return weights;
}

io::TensorMap TrainState::Tensors() const {
  io::TensorMap tensors;
  for (size_t i = 0; i < names_.size(); ++i) {
    const std::string& name = names_[i];
    tensors["net." + name] = parameters_[i].detach();
    tensors["optimizer.exp_avg." + name] = optimizer_->exp_avg()[i];
    tensors["optimizer.exp_avg_sq." + name] = optimizer_->exp_avg_sq()[i];
    for (size_t k = 0; k < averages_.size(); ++k) {
      tensors[absl::StrCat("ema.", k, ".", name)] = averages_[k].values()[i];
    }
    if (target_ != nullptr) tensors["target." + name] = target_parameters_[i];
  }
  for (size_t i = 0; i < discriminator_names_.size(); ++i) {
    const std::string& name = discriminator_names_[i];
    const Optimizer& adam = *discriminator_optimizer_;
    tensors["discriminator.net." + name] =
        discriminator_parameters_[i].detach();
    tensors["discriminator.exp_avg." + name] = adam.exp_avg()[i];
    tensors["discriminator.exp_avg_sq." + name] = adam.exp_avg_sq()[i];
  }
  return tensors;
}

bool TrainState::Good() const {
  if (counters.skipped_in_a_row > 0) return false;
  torch::NoGradGuard no_grad;
  const double inf = std::numeric_limits<double>::infinity();
  std::vector<at::Tensor> weights = parameters_;
  weights.insert(weights.end(), discriminator_parameters_.begin(),
                 discriminator_parameters_.end());
  return at::stack(at::_foreach_norm(weights, inf))
      .isfinite()
      .all()
      .item<bool>();
}

json TrainState::ToJson(const json& fingerprint) const {
  json state = {{"counters", counters.ToJson()},
                {"optimizer_steps", optimizer_->steps()},
                {"loss_scale", loss_scale.ToJson()},
                {"run", fingerprint}};
  if (discriminator_ != nullptr) {
    state["discriminator_steps"] = discriminator_optimizer_->steps();
  }
  return state;
}

Checkpoint TrainState::ToCheckpoint(const json& fingerprint) const {
  return {counters.step, Tensors(), ToJson(fingerprint)};
}

std::vector<at::Tensor> TrainState::AllTensors() const {
  std::vector<at::Tensor> all;
  for (const auto& [name, tensor] : Tensors()) all.push_back(tensor);
  return all;
}

absl::Status TrainState::CheckTensors(const io::TensorMap& loaded) const {
  const io::TensorMap own = Tensors();
  for (const auto& [name, tensor] : own) {
    const auto found = loaded.find(name);
    if (found == loaded.end()) {
      return absl::DataLossError(
          absl::StrCat("the checkpoint has no tensor ", name));
    }
    const at::Tensor& other = found->second;
    if (other.sizes() != tensor.sizes() ||
        other.scalar_type() != tensor.scalar_type()) {
      return absl::DataLossError(absl::StrCat(
          "the checkpoint's tensor ", name, " is ",
          Text(other.sizes(), other.scalar_type()), ", this run's is ",
          Text(tensor.sizes(), tensor.scalar_type())));
    }
  }
  if (loaded.size() != own.size()) {
    return absl::DataLossError(absl::StrCat("the checkpoint has ",
                                            loaded.size(),
                                            " tensors, this run ", own.size()));
  }
  return absl::OkStatus();
}

absl::Status TrainState::RestoreJson(const json& state,
                                     const json& fingerprint) {
  RETORT_RETURN_IF_ERROR(CheckRun(state, fingerprint));
  TakeCounters(state);
  return absl::OkStatus();
}

absl::Status TrainState::Restore(const Checkpoint& checkpoint,
                                 const json& fingerprint) {
  RETORT_RETURN_IF_ERROR(CheckRun(checkpoint.state, fingerprint));
  RETORT_RETURN_IF_ERROR(CheckTensors(checkpoint.tensors));
  torch::NoGradGuard no_grad;
  for (auto& [name, tensor] : Tensors()) {
    at::Tensor(tensor).copy_(checkpoint.tensors.at(name));
  }
  TakeCounters(checkpoint.state);
  return absl::OkStatus();
}

void TrainState::TakeCounters(const json& state) {
  const json& saved = state["counters"];
  counters.step = saved.value("step", int64_t{0});
  counters.images = saved.value("images", int64_t{0});
  counters.skipped = saved.value("skipped", int64_t{0});
  counters.skipped_in_a_row = saved.value("skipped_in_a_row", int64_t{0});
  counters.skip_ahead = saved.value("skip_ahead", int64_t{0});
  counters.rollbacks = saved.value("rollbacks", int64_t{0});
  if (state.contains("loss_scale")) loss_scale.Restore(state["loss_scale"]);
  optimizer_->set_steps(state.value("optimizer_steps", int64_t{0}));
  if (discriminator_ != nullptr) {
    discriminator_optimizer_->set_steps(
        state.value("discriminator_steps", int64_t{0}));
  }
}

absl::Status TrainState::CheckFirstTensors(const io::TensorMap& loaded) const {
  for (const auto& [name, tensor] : Tensors()) {
    if (!IsOfNetwork(name)) continue;
    const auto found = loaded.find(name);
    if (found != loaded.end() && found->second.sizes() == tensor.sizes()) {
      continue;
    }
    return absl::DataLossError(
        absl::StrCat("the checkpoint to begin with has no tensor ", name,
                     " of ", Text(tensor.sizes(), tensor.scalar_type())));
  }
  return absl::OkStatus();
}

absl::Status TrainState::BeginWith(const Checkpoint& checkpoint,
                                   const json& fingerprint) {
  RETORT_RETURN_IF_ERROR(CheckState(checkpoint.state));
  const json& run = checkpoint.state["run"];
  for (const char* what : {"method", "network"}) {
    const std::string difference = Difference(
        run.value(what, json()), fingerprint.value(what, json()), what);
    if (difference.empty()) continue;
    return absl::FailedPreconditionError(absl::StrCat(
        "a run can only begin with a checkpoint of the same network and "
        "method: ",
        difference, ". Give the job those, or begin without a checkpoint."));
  }
  RETORT_RETURN_IF_ERROR(CheckFirstTensors(checkpoint.tensors));
  torch::NoGradGuard no_grad;
  const io::TensorMap own = Tensors();
  bool discriminator = true;  // the checkpoint has all of it
  for (const auto& [name, tensor] : own) {
    if (!absl::StartsWith(name, "discriminator.")) continue;
    const auto found = checkpoint.tensors.find(name);
    discriminator &= found != checkpoint.tensors.end() &&
                     found->second.sizes() == tensor.sizes();
  }
  for (const auto& [name, tensor] : own) {
    if (absl::StartsWith(name, "discriminator.") && !discriminator) continue;
    auto found = checkpoint.tensors.find(name);
    if (found == checkpoint.tensors.end()) {  // an average
      const std::vector<std::string> parts =
          absl::StrSplit(name, absl::MaxSplits('.', 2));
      found = checkpoint.tensors.find("net." + parts[2]);
    }
    at::Tensor(tensor).copy_(found->second);
  }
  json state = checkpoint.state;
  state["counters"]["rollbacks"] = 0;
  // Another precision's scale says nothing.
  if (run.value("precision", "") != "fp16") state.erase("loss_scale");
  if (!discriminator) state["discriminator_steps"] = 0;
  TakeCounters(state);
  return absl::OkStatus();
}

}  // namespace retort::train
