#include "server/server.h"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/clock.h"
#include "core/base/file.h"
#include "core/base/log.h"
#include "core/base/status_macros.h"
#include "core/base/version.h"
#include "server/auth/listen_policy.h"
#include "server/auth/tls.h"
#include "server/auth/token_file.h"
#include "server/base/resource_name.h"
#include "server/db/database.h"
#include "server/executor/executor.h"
#include "server/executor/worker_links.h"
#include "server/http/http_server.h"
#include "server/job_estimate.h"
#include "server/jobs/job_store.h"
#include "server/jobs/spec_resolver.h"
#include "server/listening.h"
#include "server/make_executor.h"
#include "server/metrics/service_metrics.h"
#include "server/rpc/call_guard.h"
#include "server/rpc/inference_service.h"
#include "server/rpc/job_service.h"
#include "server/rpc/worker_service.h"
#include "server/scheduler/cluster_store.h"
#include "server/scheduler/scheduler.h"
#include "server/serving.h"

namespace retort {
namespace {

// A request of 4096 float images of 32x32 must pass.
constexpr int kMaxMessageBytes = 64 << 20;
// How long workers may take to write a checkpoint and end.
constexpr absl::Duration kWorkerGrace = absl::Seconds(60);
constexpr std::chrono::seconds kCallGrace(3);

// Options that all of our gRPC servers share.
void Configure(grpc::ServerBuilder* builder) {
  // Else a second server could take the same port and half of its calls.
  builder->AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder->SetMaxReceiveMessageSize(kMaxMessageBytes);
  builder->SetMaxSendMessageSize(kMaxMessageBytes);
}

// What one node can give a job; this machine's slots where Slurm has not said
// yet what nodes there are.
jobs::ResolverLimits LargestNode(const std::vector<executor::NodeInfo>& nodes,
                                 const ServerOptions& options) {
  jobs::ResolverLimits limits{0, 0, options.executor == "slurm"};
  for (const executor::NodeInfo& node : nodes) {
    limits.cpu_slots = std::max(limits.cpu_slots, node.cpus);
    limits.gpus = std::max(limits.gpus, node.gpus);
  }
  if (limits.cpu_slots == 0) limits.cpu_slots = options.cpu_slots;
  return limits;
}

void ShutDown(grpc::Server* server) {
  if (server == nullptr) return;
  server->Shutdown(std::chrono::system_clock::now() + kCallGrace);
  server->Wait();
}

}  // namespace

// In the order of creation; destroyed in the reverse one.
struct Server::Parts {
  explicit Parts(const ServerOptions& o)
      : options(o),
        data_dir(o.data_dir),
        socket_path(SocketPathFor(data_dir.socket_path())) {}

  // For this process alone, once it can have its ports.
  absl::Status TakeDataDir();
  // For clear answers: they are opened only once the jobs are known.
  absl::Status ProbePorts() const;
  absl::Status OpenStores();
  absl::Status OpenHttp();
  absl::Status OpenWorkerSocket();
  // The port for workers of other machines.
  absl::Status AddWorkerPort(grpc::ServerBuilder* builder) const;
  // Lets none call who is not in the tokens file.
  absl::Status GuardCalls(grpc::ServerBuilder* builder);
  absl::Status OpenApi();
  absl::Status WriteAddresses() const;

  const ServerOptions options;
  const base::DataDir data_dir;
  const std::string socket_path;
  DataDirLock lock;
  std::unique_ptr<db::Database> db;
  metrics::ServiceMetrics metrics;
  executor::WorkerLinks links;
  std::unique_ptr<executor::Executor> executor;
  std::unique_ptr<jobs::JobStore> jobs;
  std::unique_ptr<Serving> serving;
  std::unique_ptr<jobs::SpecResolver> resolver;
  std::unique_ptr<scheduler::ClusterStore> cluster_store;
  std::unique_ptr<scheduler::Scheduler> scheduler;
  std::unique_ptr<rpc::JobService> job_service;
  std::unique_ptr<rpc::InferenceService> inference_service;
  std::unique_ptr<rpc::WorkerService> worker_service;
  std::unique_ptr<auth::TokenFile> tokens;  // null: everybody may do all
  std::unique_ptr<http::HttpServer> http;
  std::unique_ptr<grpc::Server> worker_server;
  std::unique_ptr<grpc::Server> api_server;
  std::string grpc_address;
  std::string http_address;
  bool started = false;
  bool works = false;  // workers may have been started, or have come back
};

absl::Status Server::Parts::TakeDataDir() {
  // Before the ports, which the server that has it may have as well.
  const bool there = base::IsDirectory(data_dir.root());
  if (there) RETORT_RETURN_IF_ERROR(lock.Acquire(data_dir.lock_path()));
  RETORT_RETURN_IF_ERROR(ProbePorts());
  if (there) return absl::OkStatus();
  // After them, so that a slip of an address leaves no folder behind.
  const absl::Status made = base::MakeDirs(data_dir.root());
  if (!made.ok()) {
    return absl::Status(
        made.code(),
        absl::StrCat(made.message(), "; --data_dir names another folder"));
  }
  return lock.Acquire(data_dir.lock_path());
}

absl::Status Server::Parts::ProbePorts() const {
  std::vector<std::pair<std::string, std::string>> ports = {
      {"--listen", options.listen}, {"--http_listen", options.http_listen}};
  if (options.executor != "local") {
    ports.emplace_back("--worker_listen", options.worker_listen);
  }
  for (const auto& [option, text] : ports) {
    if (text.empty()) continue;
    RETORT_ASSIGN_OR_RETURN(const auth::ListenAddress address,
                            auth::ParseListenAddress(text));
    RETORT_RETURN_IF_ERROR(ProbeAddress(address, option));
  }
  return absl::OkStatus();
}

absl::Status Server::Parts::OpenStores() {
  RETORT_ASSIGN_OR_RETURN(db, db::Database::Open(data_dir.db_path()));
  RETORT_ASSIGN_OR_RETURN(executor, MakeExecutor(options, socket_path, &links));
  RETORT_ASSIGN_OR_RETURN(
      jobs, jobs::JobStore::Create(db.get(), base::RealClock(), data_dir));
  ServingDeps deps;
  deps.data_dir = data_dir;
  deps.worker_binary = options.worker_binary;
  deps.cpu_slots = options.cpu_slots;
  deps.clock = base::RealClock();
  deps.db = db.get();
  deps.executor = executor.get();
  deps.links = &links;
  deps.metrics = &metrics;
  deps.jobs = jobs.get();
  RETORT_ASSIGN_OR_RETURN(serving, Serving::Create(deps));
  resolver = std::make_unique<jobs::SpecResolver>(
      [this] { return LargestNode(executor->Nodes(), options); },
      serving->models());
  RETORT_ASSIGN_OR_RETURN(cluster_store,
                          scheduler::ClusterStore::Create(db.get()));
  scheduler::SchedulerOptions scheduling;
  scheduling.cluster.policy.min_run = absl::Seconds(options.min_run);
  scheduling.running.lease = absl::Seconds(options.lease);
  scheduling.running.attach_timeout = absl::Seconds(options.attach_timeout);
  scheduling.running.hang.silence = absl::Seconds(options.hang_timeout);
  scheduling.running.hang.stall = absl::Seconds(options.stall_timeout);
  scheduler = std::make_unique<scheduler::Scheduler>(
      scheduling, base::RealClock(), jobs.get(), serving->models(),
      executor.get(), cluster_store.get(), &metrics);
  links.SetListener(service::kJobs, scheduler.get());
  return absl::OkStatus();
}

absl::Status Server::Parts::OpenHttp() {
  if (options.http_listen.empty()) return absl::OkStatus();
  RETORT_ASSIGN_OR_RETURN(auth::ListenAddress address,
                          auth::ParseListenAddress(options.http_listen));
  RETORT_ASSIGN_OR_RETURN(
      http, http::HttpServer::Start(address.host, address.port, &metrics));
  http_address = JoinAddress(address.host, http->port());
  return absl::OkStatus();
}

absl::Status Server::Parts::AddWorkerPort(grpc::ServerBuilder* builder) const {
  RETORT_ASSIGN_OR_RETURN(const auth::ListenAddress address,
                          auth::ParseListenAddress(options.worker_listen));
  RETORT_ASSIGN_OR_RETURN(const auto credentials,
                          auth::ServerCredentials(options.tls));
  builder->AddListeningPort(JoinAddress(address.host, address.port),
                            credentials);
  return absl::OkStatus();
}

absl::Status Server::Parts::OpenWorkerSocket() {
  worker_service = std::make_unique<rpc::WorkerService>(&links);
  grpc::ServerBuilder builder;
  Configure(&builder);
  // Workers ask every ten seconds whether the server is still there
  // (worker/link.cc); by default that would be called abuse.
  builder.AddChannelArgument(
      GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 5000);
  builder.AddListeningPort(absl::StrCat("unix:", socket_path),
                           grpc::InsecureServerCredentials());
  if (options.executor != "local") {
    RETORT_RETURN_IF_ERROR(AddWorkerPort(&builder));
  }
  builder.RegisterService(worker_service.get());
  worker_server = builder.BuildAndStart();
  if (worker_server == nullptr) {
    return absl::UnavailableError(
        absl::StrCat("cannot open the workers' socket ", socket_path,
                     "; is its folder writable, and on a file system that has ",
                     "sockets?"));
  }
  // Workers have tokens; other people have no business here at all.
  ::chmod(socket_path.c_str(), 0600);
  return absl::OkStatus();
}

absl::Status Server::Parts::GuardCalls(grpc::ServerBuilder* builder) {
  if (options.tokens_file.empty()) return absl::OkStatus();
  auto opened = auth::TokenFile::Open(options.tokens_file);
  if (!opened.ok()) {
    return absl::Status(
        opened.status().code(),
        absl::StrCat("--tokens_file: ", opened.status().message()));
  }
  tokens = *std::move(opened);
  std::vector<
      std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>>
      interceptors;
  interceptors.push_back(rpc::MakeCallGuard(tokens.get()));
  builder->experimental().SetInterceptorCreators(std::move(interceptors));
  return absl::OkStatus();
}

absl::Status Server::Parts::OpenApi() {
  RETORT_ASSIGN_OR_RETURN(auth::ListenAddress address,
                          auth::ParseListenAddress(options.listen));
  job_service = std::make_unique<rpc::JobService>(
      jobs.get(), scheduler.get(), resolver.get(), &metrics,
      [this](const v1::JobSpec& spec, bool measure,
             const std::function<bool()>& stop) {
        return EstimateJob(options.worker_binary, serving->models(), spec,
                           measure, stop);
      });
  inference_service = std::make_unique<rpc::InferenceService>(&metrics);
  RETORT_ASSIGN_OR_RETURN(const auto credentials,
                          auth::ServerCredentials(options.tls));
  grpc::ServerBuilder builder;
  Configure(&builder);
  RETORT_RETURN_IF_ERROR(GuardCalls(&builder));
  int port = 0;
  builder.AddListeningPort(JoinAddress(address.host, address.port), credentials,
                           &port);
  builder.RegisterService(job_service.get());
  builder.RegisterService(inference_service.get());
  for (grpc::Service* service : serving->services(scheduler.get())) {
    builder.RegisterService(service);
  }
  api_server = builder.BuildAndStart();
  if (api_server == nullptr || port == 0) {
    return absl::UnavailableError(absl::StrCat(
        "cannot listen on ", options.listen,
        "; choose another address with --listen (port 0: any ", "free one)"));
  }
  grpc_address = JoinAddress(address.host, port);
  return absl::OkStatus();
}

absl::Status Server::Parts::WriteAddresses() const {
  const nlohmann::json addresses = {{"pid", ::getpid()},
                                    {"grpc", grpc_address},
                                    {"http", http_address},
                                    {"socket", socket_path},
                                    {"version", kVersion}};
  return base::AtomicWriteFile(data_dir.addresses_path(),
                               addresses.dump(2) + "\n");
}

absl::StatusOr<std::unique_ptr<Server>> Server::Create(
    const ServerOptions& options) {
  RETORT_RETURN_IF_ERROR(options.Validate());
  if (::access(options.worker_binary.c_str(), X_OK) != 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--worker_binary: ", options.worker_binary,
        " is no program; build retort-worker, or say where it ", "is"));
  }
  // For the servers built from here on.
  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  std::unique_ptr<Server> server(new Server(std::make_unique<Parts>(options)));
  RETORT_RETURN_IF_ERROR(server->parts_->TakeDataDir());
  RETORT_RETURN_IF_ERROR(server->parts_->OpenStores());
  return server;
}

Server::Server(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}

Server::~Server() { Stop(); }

absl::Status Server::Start() {
  Parts& parts = *parts_;
  parts.started = true;
  RETORT_RETURN_IF_ERROR(parts.OpenHttp());
  // Before workers of an earlier server can dial: who is expected must be
  // known by then.
  RETORT_RETURN_IF_ERROR(parts.scheduler->Recover());
  // Known before anybody can ask for them.
  RETORT_RETURN_IF_ERROR(parts.serving->Load());
  RETORT_RETURN_IF_ERROR(parts.OpenApi());
  parts.works = true;
  RETORT_RETURN_IF_ERROR(parts.OpenWorkerSocket());
  RETORT_RETURN_IF_ERROR(parts.serving->Start());
  parts.scheduler->Start();
  RETORT_RETURN_IF_ERROR(parts.WriteAddresses());
  if (parts.http != nullptr) parts.http->SetHealthy(true);
  RETORT_LOG(info,
             "retortd {} serves gRPC on {} ({}{}), HTTP on {}, data in {}",
             kVersion, parts.grpc_address,
             !parts.options.tls.enabled()          ? "no TLS"
             : parts.options.tls.client_ca.empty() ? "TLS"
                                                   : "mutual TLS",
             parts.tokens == nullptr ? ", no tokens" : ", tokens",
             parts.http_address.empty() ? "no port" : parts.http_address,
             parts.data_dir.root());
  return absl::OkStatus();
}

void Server::Stop() {
  Parts& parts = *parts_;
  if (!parts.started) return;
  parts.started = false;
  if (parts.http != nullptr) parts.http->SetHealthy(false);
  if (parts.api_server != nullptr) {
    auto* health = parts.api_server->GetHealthCheckService();
    if (health != nullptr) health->SetServingStatus(false);
  }
  if (parts.works) {
    RETORT_LOG(info,
               "stopping: workers are asked to write a checkpoint and end");
    parts.serving->Stop();
    parts.scheduler->Stop(kWorkerGrace);
  }
  ShutDown(parts.api_server.get());
  ShutDown(parts.worker_server.get());
  // From here on nobody is told of a worker's end any more.
  parts.executor->Shutdown();
  ::unlink(parts.data_dir.addresses_path().c_str());
  ::unlink(parts.socket_path.c_str());
  if (parts.works) RETORT_LOG(info, "stopped");
}

const std::string& Server::grpc_address() const { return parts_->grpc_address; }
const std::string& Server::http_address() const { return parts_->http_address; }

}  // namespace retort
