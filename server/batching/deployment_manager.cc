#include "server/batching/deployment_manager.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/file.h"
#include "core/base/log.h"
#include "core/base/sha256.h"
#include "core/base/status_macros.h"
#include "server/base/error.h"
#include "server/base/resource_name.h"
#include "server/registry/model_manifest.h"

namespace retort::batching {
namespace {

constexpr int kMaxThreads = 4096;

absl::Status ServerStops() {
  return service::WithRetryAfter(
      service::Error(absl::StatusCode::kUnavailable, v1::ERROR_REASON_NOT_READY,
                     "the server is stopping; try again when it is back"),
      absl::Seconds(5));
}

}  // namespace

DeploymentManager::DeploymentManager(const DeploymentManagerDeps& deps,
                                     const DeploymentManagerOptions& options)
    : deps_(deps), options_(options) {}

DeploymentManager::~DeploymentManager() { Stop(absl::ZeroDuration()); }

absl::Status DeploymentManager::Load() {
  RETORT_ASSIGN_OR_RETURN(const std::vector<v1::Deployment> stored,
                          deps_.deployments->All());
  for (const v1::Deployment& deployment : stored) {
    if (Add(deployment)) loaded_.push_back(deployment.name());
  }
  return absl::OkStatus();
}

absl::Status DeploymentManager::Start() {
  for (const std::string& name : loaded_) StartReplicas(name);
  loaded_.clear();
  if (options_.timer_thread) timer_ = std::thread([this] { TimerLoop(); });
  return absl::OkStatus();
}

void DeploymentManager::Stop(absl::Duration grace) {
  std::vector<std::string> names;
  {
    absl::MutexLock lock(&mutex_);
    draining_ = true;
    mutex_.AwaitWithTimeout(
        absl::Condition(
            +[](DeploymentManager* self) ABSL_EXCLUSIVE_LOCKS_REQUIRED(
                 self->mutex_) { return self->Idle(); },
            this),
        grace);
    stopped_ = true;
    wake_.SignalAll();
    for (const auto& [name, runtime] : runtimes_) names.push_back(name);
  }
  for (const std::string& name : names) {
    Apply(name, [&](DeploymentRuntime* runtime, absl::Time now, Actions* do_) {
      runtime->Stop(ServerStops(), now, do_);
      // The deployment stays stored: it starts again with the server.
      do_->finished = false;
    });
  }
  if (timer_.joinable()) timer_.join();
}

bool DeploymentManager::Idle() const {
  return std::all_of(runtimes_.begin(), runtimes_.end(),
                     [](const auto& item) { return item.second->idle(); });
}

absl::StatusOr<ServedModel> DeploymentManager::FindModel(
    const std::string& name) const {
  RETORT_ASSIGN_OR_RETURN(const v1::Model model, deps_.models->Get(name));
  RETORT_ASSIGN_OR_RETURN(const nlohmann::json manifest,
                          registry::ToJson(model.manifest()));
  RETORT_ASSIGN_OR_RETURN(const registry::ModelFacts facts,
                          registry::ParseManifest(manifest));
  if (facts.resolution == 0) {
    return service::BadField(
        "deployment.models[0].model",
        absl::StrCat("names a model of kind ", registry::KindName(facts.kind),
                     ", which makes no images; name a teacher, cm or ctm"));
  }
  ServedModel served;
  served.name = name;
  RETORT_ASSIGN_OR_RETURN(served.dir, deps_.models->Dir(name));
  served.kind = facts.kind;
  served.channels = facts.channels;
  served.resolution = facts.resolution;
  served.classes = facts.classes;
  return served;
}

absl::StatusOr<v1::Deployment> DeploymentManager::Resolve(
    const v1::CreateDeploymentRequest& request) const {
  RETORT_ASSIGN_OR_RETURN(const std::string project,
                          service::ParseParent(request.parent()));
  const v1::Deployment& wanted = request.deployment();
  v1::Deployment resolved;
  std::string id = request.deployment_id();
  if (id.empty()) {
    id = service::MakeId("deployment");
  } else {
    RETORT_RETURN_IF_ERROR(service::ValidateId(id, "deployment_id"));
  }
  resolved.set_name(
      service::ResourceName{project, service::kDeployments, id}.ToString());
  resolved.set_display_name(wanted.display_name());
  if (wanted.models().empty()) {
    return service::BadField("deployment.models",
                             "must name the model to serve");
  }
  if (wanted.models_size() > 1) {
    return service::NotImplemented("a deployment of several models",
                                   "make a deployment of each");
  }
  const std::string& model = wanted.models(0).model();
  RETORT_RETURN_IF_ERROR(
      service::ParseName(service::kModels, model, "deployment.models[0].model")
          .status());
  if (wanted.models(0).weight() < 0) {
    return service::BadField("deployment.models[0].weight",
                             "must not be negative");
  }
  RETORT_RETURN_IF_ERROR(FindModel(model).status());
  v1::ServedModel* served = resolved.add_models();
  served->set_model(model);
  served->set_weight(std::max(1, wanted.models(0).weight()));
  if (wanted.replicas() < 0 || wanted.replicas() > options_.max_replicas) {
    return service::BadField(
        "deployment.replicas",
        absl::StrCat("is ", wanted.replicas(), " but must lie between 1 and ",
                     options_.max_replicas));
  }
  resolved.set_replicas(std::max(1, wanted.replicas()));
  if (wanted.cpu_threads() < 0 || wanted.cpu_threads() > kMaxThreads) {
    return service::BadField(
        "deployment.cpu_threads",
        absl::StrCat("is ", wanted.cpu_threads(),
                     " but must lie between 0 (all) and ", kMaxThreads));
  }
  resolved.set_cpu_threads(wanted.cpu_threads() == 0 ? options_.cpu_slots
                                                     : wanted.cpu_threads());
  resolved.set_state(v1::Deployment::STATE_STARTING);
  return resolved;
}

absl::StatusOr<v1::Deployment> DeploymentManager::Create(
    const v1::CreateDeploymentRequest& request) {
  RETORT_ASSIGN_OR_RETURN(const v1::Deployment resolved, Resolve(request));
  if (request.validate_only()) return resolved;
  {
    absl::MutexLock lock(&mutex_);
    if (draining_) return ServerStops();
  }
  RETORT_ASSIGN_OR_RETURN(
      const v1::Deployment stored,
      deps_.deployments->Create(resolved, request.request_id(),
                                base::Sha256Hex(request.SerializeAsString())));
  // A repeated request finds what the first one made.
  if (Add(stored)) StartReplicas(stored.name());
  auto created = Get(stored.name());
  if (absl::IsNotFound(created.status())) {
    // Deleted by somebody before it ran.
    Apply(stored.name(),
          [](DeploymentRuntime* runtime, absl::Time now, Actions* actions) {
            runtime->Delete(now, actions);
          });
  }
  return created;
}

bool DeploymentManager::Add(const v1::Deployment& deployment) {
  const auto model = FindModel(deployment.models(0).model());
  {
    absl::MutexLock lock(&mutex_);
    if (runtimes_.count(deployment.name()) != 0) return false;
    auto runtime = std::make_unique<DeploymentRuntime>(
        deployment, model.ok() ? *model : ServedModel(), options_.replica,
        options_.queue);
    if (!model.ok()) runtime->Fail(std::string(model.status().message()));
    threads_[deployment.name()] = deployment.cpu_threads();
    runtimes_[deployment.name()] = std::move(runtime);
  }
  if (!model.ok()) {
    RETORT_LOG(error, "deployment {} cannot run: {}", deployment.name(),
               model.status().ToString());
  }
  return true;
}

void DeploymentManager::StartReplicas(const std::string& name) {
  Apply(name, [](DeploymentRuntime* runtime, absl::Time now, Actions* actions) {
    runtime->Start(now, actions);
  });
}

absl::StatusOr<v1::Deployment> DeploymentManager::Get(
    const std::string& name) const {
  RETORT_ASSIGN_OR_RETURN(v1::Deployment deployment,
                          deps_.deployments->Get(name));
  absl::MutexLock lock(&mutex_);
  const DeploymentRuntime* runtime = Find(name);
  if (runtime != nullptr) runtime->Describe(deps_.clock->Now(), &deployment);
  return deployment;
}

absl::StatusOr<registry::DeploymentStore::Listing> DeploymentManager::List(
    const std::string& project, const service::Page& page) const {
  RETORT_ASSIGN_OR_RETURN(registry::DeploymentStore::Listing listing,
                          deps_.deployments->List(project, page));
  absl::MutexLock lock(&mutex_);
  for (v1::Deployment& deployment : listing.deployments) {
    const DeploymentRuntime* runtime = Find(deployment.name());
    if (runtime != nullptr) runtime->Describe(deps_.clock->Now(), &deployment);
  }
  return listing;
}

absl::Status DeploymentManager::Delete(const std::string& name,
                                       const std::string& etag) {
  RETORT_RETURN_IF_ERROR(deps_.deployments->MarkDeleting(name, etag));
  const bool runs =
      Apply(name, [](DeploymentRuntime* runtime, absl::Time now,
                     Actions* actions) { runtime->Delete(now, actions); });
  return runs ? absl::OkStatus() : deps_.deployments->Remove(name);
}

int64_t DeploymentManager::Submit(const v1::SampleRequest& request,
                                  absl::Time deadline, SampleDone done) {
  const auto parsed = service::ParseName(service::kDeployments,
                                         request.deployment(), "deployment");
  if (!parsed.ok()) {
    done(parsed.status());
    return 0;
  }
  const std::string& name = request.deployment();
  absl::Status refused;
  int64_t id = 0;
  const bool runs = Apply(
      name, [&](DeploymentRuntime* runtime, absl::Time now, Actions* actions) {
        mutex_.AssertHeld();
        if (draining_) {
          refused = ServerStops();
          return;
        }
        auto resolved =
            ResolveSampleRequest(request, runtime->model(), options_.sample);
        if (!resolved.ok()) {
          refused = resolved.status();
          return;
        }
        SampleEntry entry;
        entry.id = next_id_;
        entry.bytes = AnswerBytes(*resolved, runtime->model());
        entry.request = *std::move(resolved);
        entry.arrival = now;
        entry.deadline = deadline;
        entry.done = std::move(done);
        refused = runtime->Submit(std::move(entry), now, actions);
        if (refused.ok()) {
          id = next_id_++;
        } else {
          done = std::move(entry.done);
        }
      });
  if (!runs) refused = service::NotFound("deployment", name);
  if (!refused.ok()) {
    deps_.metrics->CountSampleRequest(runs ? name : "unknown",
                                      absl::StatusCodeToString(refused.code()),
                                      0, absl::ZeroDuration());
    done(refused);
  }
  return id;
}

void DeploymentManager::Cancel(const std::string& deployment, int64_t id) {
  Apply(deployment,
        [&](DeploymentRuntime* runtime, absl::Time now, Actions* actions) {
          runtime->Cancel(id, now, actions);
        });
}

std::vector<std::string> DeploymentManager::Names() const {
  absl::MutexLock lock(&mutex_);
  std::vector<std::string> names;
  for (const auto& [name, runtime] : runtimes_) names.push_back(name);
  return names;
}

int DeploymentManager::ReadyDeployments() const {
  absl::MutexLock lock(&mutex_);
  return static_cast<int>(std::count_if(
      runtimes_.begin(), runtimes_.end(),
      [](const auto& item) { return item.second->ready_replicas() > 0; }));
}

void DeploymentManager::OnAttached(
    const std::string& subject, int64_t epoch, const internal::v1::Hello&,
    std::shared_ptr<executor::WorkerSession> session) {
  const bool runs = Apply(subject, [&](DeploymentRuntime* runtime,
                                       absl::Time now, Actions* actions) {
    runtime->OnAttached(epoch, session, now, actions);
  });
  if (!runs) {
    session->Close(absl::FailedPreconditionError(
        absl::StrCat("there is no deployment ", subject, " any more")));
  }
}

void DeploymentManager::OnMessage(const std::string& subject, int64_t epoch,
                                  int /*rank*/,
                                  const internal::v1::AttachRequest& message) {
  if (message.has_warning()) {
    RETORT_LOG(warn, "{}: {}", subject, message.warning().message());
  }
  if (message.has_ready()) {
    RETORT_LOG(info, "{}: a replica is ready", subject);
  }
  // An answer is as large as its images: copied here, not under the lock.
  internal::v1::AttachRequest copy = message;
  Apply(subject,
        [&](DeploymentRuntime* runtime, absl::Time now, Actions* actions) {
          runtime->OnMessage(epoch, std::move(copy), now, actions);
        });
}

void DeploymentManager::OnDetached(const std::string& subject, int64_t epoch,
                                   int /*rank*/) {
  Apply(subject,
        [&](DeploymentRuntime* runtime, absl::Time now, Actions* actions) {
          runtime->OnDetached(epoch, now, actions);
        });
}

void DeploymentManager::OnExited(const std::string& subject, int64_t epoch,
                                 const executor::ExitStatus& exit) {
  bool asked = false;
  {
    absl::MutexLock lock(&mutex_);
    const auto ended = [&](const Ending& ending) {
      return ending.name == subject && ending.epoch == epoch;
    };
    asked = std::any_of(endings_.begin(), endings_.end(), ended);
    endings_.erase(std::remove_if(endings_.begin(), endings_.end(), ended),
                   endings_.end());
  }
  if (!asked) {
    RETORT_LOG(warn, "{}: a replica ended: {}; its log is {}/replica.log",
               subject, exit.ToString(), LogDir(subject));
    deps_.metrics->CountWorkerFailure("replica");
  }
  Apply(subject,
        [&](DeploymentRuntime* runtime, absl::Time now, Actions* actions) {
          runtime->OnExited(epoch, exit.ToString(), now, actions);
        });
}

DeploymentRuntime* DeploymentManager::Find(const std::string& name) const {
  const auto found = runtimes_.find(name);
  return found == runtimes_.end() ? nullptr : found->second.get();
}

template <typename Change>
bool DeploymentManager::Apply(const std::string& name, Change change) {
  Actions actions;
  {
    absl::MutexLock lock(&mutex_);
    DeploymentRuntime* runtime = Find(name);
    if (runtime == nullptr) return false;
    change(runtime, deps_.clock->Now(), &actions);
    wake_.Signal();
  }
  Perform(name, std::move(actions));
  return true;
}

void DeploymentManager::Perform(const std::string& name, Actions actions) {
  for (Actions::Message& message : actions.messages) {
    message.session->Send(std::move(message.response));
  }
  for (const int64_t epoch : actions.kills) deps_.executor->Kill(name, epoch);
  {
    absl::MutexLock lock(&mutex_);
    for (const int64_t epoch : actions.terminates) {
      endings_.push_back(
          {name, epoch, deps_.clock->Now() + options_.end_grace});
    }
  }
  for (const int64_t epoch : actions.terminates) {
    deps_.executor->Terminate(name, epoch);
  }
  // Before the answers, so that whoever hears of the last one may make a
  // deployment of the same name.
  if (actions.finished) FinishDeletion(name);
  for (Actions::Answer& answer : actions.answers) {
    AnswerOne(name, std::move(answer));
  }
  for (const int64_t epoch : actions.starts) StartReplica(name, epoch);
  if (!actions.finished) PublishMetrics(name);
}

void DeploymentManager::StartReplica(const std::string& name, int64_t epoch) {
  const absl::Status started = TryStartReplica(name, epoch);
  if (started.ok()) {
    deps_.metrics->CountWorkerStart("replica");
    return;
  }
  RETORT_LOG(error, "{}: cannot start a replica: {}", name, started.ToString());
  Apply(
      name, [&](DeploymentRuntime* runtime, absl::Time now, Actions* actions) {
        runtime->OnExited(epoch, std::string(started.message()), now, actions);
      });
}

absl::Status DeploymentManager::TryStartReplica(const std::string& name,
                                                int64_t epoch) {
  executor::GangSpec spec;
  spec.subject = name;
  spec.epoch = epoch;
  spec.role = "replica";
  {
    absl::MutexLock lock(&mutex_);
    const auto found = threads_.find(name);
    if (found != threads_.end()) spec.threads = found->second;
  }
  RETORT_RETURN_IF_ERROR(base::MakeDirs(LogDir(name)));
  spec.log_path = absl::StrCat(LogDir(name), "/replica.log");
  spec.token = executor::NewToken();
  return deps_.executor->Start(spec).status();
}

std::string DeploymentManager::LogDir(const std::string& name) const {
  const auto parsed = service::ParseName(service::kDeployments, name);
  if (!parsed.ok()) return deps_.data_dir.deployment_dir(name);
  return deps_.data_dir.deployment_dir(
      parsed->project == service::kDefaultProject
          ? parsed->id
          : absl::StrCat(parsed->project, ".", parsed->id));
}

void DeploymentManager::AnswerOne(const std::string& name,
                                  Actions::Answer answer) {
  deps_.metrics->CountSampleRequest(
      name, absl::StatusCodeToString(answer.result.status().code()),
      answer.result.ok() ? answer.entry.request.samples() : 0,
      deps_.clock->Now() - answer.entry.arrival);
  answer.entry.done(std::move(answer.result));
}

void DeploymentManager::FinishDeletion(const std::string& name) {
  const absl::Status removed = deps_.deployments->Remove(name);
  if (!removed.ok()) {
    // It is marked, so that the next start of the server removes it.
    RETORT_LOG(error, "{}: {}", name, removed.ToString());
  }
  const absl::Status logs = base::RemoveTree(LogDir(name));
  if (!logs.ok()) RETORT_LOG(warn, "{}: {}", name, logs.ToString());
  {
    absl::MutexLock lock(&mutex_);
    runtimes_.erase(name);
    threads_.erase(name);
  }
  deps_.metrics->SetSampleQueue(name, 0);
  deps_.metrics->SetReadyReplicas(name, -1);
  RETORT_LOG(info, "{}: deleted", name);
}

void DeploymentManager::PublishMetrics(const std::string& name) const {
  absl::MutexLock lock(&mutex_);
  const DeploymentRuntime* runtime = Find(name);
  if (runtime == nullptr) return;
  deps_.metrics->SetSampleQueue(name, runtime->queued_samples());
  deps_.metrics->SetReadyReplicas(name, runtime->ready_replicas());
}

void DeploymentManager::Tick() {
  std::vector<std::pair<std::string, Actions>> todo;
  std::vector<Ending> late;
  {
    absl::MutexLock lock(&mutex_);
    const absl::Time now = deps_.clock->Now();
    for (const auto& [name, runtime] : runtimes_) {
      if (runtime->NextDue() > now) continue;
      todo.emplace_back(name, Actions());
      runtime->Tick(now, &todo.back().second);
    }
    for (const Ending& ending : endings_) {
      if (ending.kill_at <= now) late.push_back(ending);
    }
    endings_.erase(
        std::remove_if(endings_.begin(), endings_.end(),
                       [&](const Ending& e) { return e.kill_at <= now; }),
        endings_.end());
  }
  for (auto& [name, actions] : todo) Perform(name, std::move(actions));
  for (const Ending& ending : late) {
    deps_.executor->Kill(ending.name, ending.epoch);
  }
}

absl::Time DeploymentManager::NextDue() const {
  absl::Time due = absl::InfiniteFuture();
  for (const auto& [name, runtime] : runtimes_) {
    due = std::min(due, runtime->NextDue());
  }
  for (const Ending& ending : endings_) due = std::min(due, ending.kill_at);
  return due;
}

void DeploymentManager::TimerLoop() {
  while (true) {
    {
      absl::MutexLock lock(&mutex_);
      const absl::Duration pause = NextDue() - deps_.clock->Now();
      if (!stopped_ && pause > absl::ZeroDuration()) {
        wake_.WaitWithTimeout(&mutex_, pause);
      }
      if (stopped_) return;
    }
    Tick();
  }
}

}  // namespace retort::batching
