#include "core/comm/process_group.h"

#include <ATen/ATen.h>
#include <netdb.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>
#include <utility>
#include <vector>
#ifdef USE_C10D_NCCL
#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>
#endif

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "core/base/file.h"
#include "core/base/log.h"
#include "core/base/status_macros.h"

namespace retort::comm {
namespace {

using StorePtr = c10::intrusive_ptr<c10d::Store>;

constexpr char kAbortKey[] = "retort/abort";
// For the last words of another rank, whose store may be gone.
constexpr absl::Duration kLastWords = absl::Seconds(3);
constexpr char kHeardKey[] = "retort/heard";

std::chrono::milliseconds Milliseconds(absl::Duration d) {
  return std::chrono::milliseconds(absl::ToInt64Milliseconds(d));
}

// What an error says, without where in LibTorch it was raised.
std::string FirstLine(const std::exception& error) {
  const auto* c10_error = dynamic_cast<const c10::Error*>(&error);
  const std::string text =
      c10_error != nullptr ? c10_error->what_without_backtrace() : error.what();
  return text.substr(0, text.find('\n'));
}

// A backend whose connections can be closed while collectives are under way.
class Backend {
 public:
  virtual ~Backend() = default;
  virtual c10d::Backend& group() = 0;
  virtual void Close() = 0;
};

class GlooGroup : public c10d::ProcessGroupGloo {
 public:
  using ProcessGroupGloo::ProcessGroupGloo;
  void CloseConnections() {
    for (const auto& context : contexts_) context->closeConnections();
  }
};

class GlooBackend : public Backend {
 public:
  GlooBackend(const StorePtr& store, const ProcessGroupOptions& options) {
    auto gloo = c10d::ProcessGroupGloo::Options::create(
        Milliseconds(options.connect_timeout));
    gloo->devices.push_back(
        c10d::ProcessGroupGloo::createDeviceForHostname(options.host));
    group_ =
        c10::make_intrusive<GlooGroup>(store, options.rank, options.size, gloo);
    group_->setTimeout(Milliseconds(options.collective_timeout));
  }
  c10d::Backend& group() override { return *group_; }
  void Close() override { group_->CloseConnections(); }

 private:
  c10::intrusive_ptr<GlooGroup> group_;
};

#ifdef USE_C10D_NCCL
class NcclBackend : public Backend {
 public:
  NcclBackend(const StorePtr& store, const ProcessGroupOptions& options) {
    // Wait() must say what went wrong instead of leaving it to a watchdog that
    // ends the process.
    setenv("TORCH_NCCL_BLOCKING_WAIT", "1", /*overwrite=*/1);
    setenv("TORCH_NCCL_ASYNC_ERROR_HANDLING", "0", /*overwrite=*/1);
    auto nccl = c10d::ProcessGroupNCCL::Options::create();
    nccl->timeout = Milliseconds(options.collective_timeout);
    group_ = c10::make_intrusive<c10d::ProcessGroupNCCL>(store, options.rank,
                                                         options.size, nccl);
  }
  c10d::Backend& group() override { return *group_; }
  void Close() override { group_->abort(); }

 private:
  c10::intrusive_ptr<c10d::ProcessGroupNCCL> group_;
};
#endif

class ProcessGroup : public Communicator {
 public:
  ProcessGroup(const ProcessGroupOptions& options, StorePtr store,
               std::unique_ptr<Backend> backend)
      : rank_(options.rank),
        size_(options.size),
        device_(options.cuda ? at::Device(at::kCUDA, 0) : at::Device(at::kCPU)),
        store_(std::move(store)),
        backend_(std::move(backend)) {
    store_->setTimeout(Milliseconds(kLastWords));
  }

  // A gang that broke apart is not taken down: that would wait for collectives
  // which will not end. Its threads sleep until the process ends, as it must.
  ~ProcessGroup() override {
    if (closed_) static_cast<void>(backend_.release());
  }

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  at::Device device() const override { return device_; }

  std::unique_ptr<Pending> AllReduce(const at::Tensor& tensor) override {
    std::vector<at::Tensor> tensors = {tensor};
    return std::make_unique<Work>(
        *this, Launch([&] { return backend_->group().allreduce(tensors); }),
        "all-reduce");
  }

  void Broadcast(const at::Tensor& tensor) override {
    std::vector<at::Tensor> tensors = {tensor};
    Work(*this, Launch([&] { return backend_->group().broadcast(tensors); }),
         rank_ == 0 ? "broadcast" : "waiting for rank 0")
        .Wait();
  }

  void Barrier() override {
    Work(*this, Launch([&] { return backend_->group().barrier(); }), "barrier")
        .Wait();
  }

  void Abort(const std::string& reason) override {
    if (closed_.exchange(true)) return;
    try {
      // Before the connections go: who misses them looks here for the reason.
      if (!store_->check({kAbortKey})) {
        const std::string text = absl::StrCat("rank ", rank_, ": ", reason);
        store_->set(kAbortKey, std::vector<uint8_t>(text.begin(), text.end()));
      }
      if (rank_ != 0) store_->add(kHeardKey, 1);  // what it would hear
    } catch (const std::exception& error) {
      RETORT_LOG(warn, "the others do not hear why this rank gives up: {}",
                 FirstLine(error));
    }
    try {
      backend_->Close();
      if (rank_ == 0) AwaitListeners();
    } catch (const std::exception& error) {
      RETORT_LOG(warn, "closing the connections: {}", FirstLine(error));
    }
  }

 private:
  using WorkPtr = c10::intrusive_ptr<c10d::Work>;

  class Work : public Pending {
   public:
    Work(ProcessGroup& group, WorkPtr work, const char* what)
        : group_(group), work_(std::move(work)), what_(what) {}
    void Wait() override {
      const Waiting waiting(group_, what_);
      if (group_.closed_ && !work_->isCompleted()) {
        throw LostContact("this rank has given up");
      }
      try {
        work_->wait();
      } catch (const std::exception& error) {
        throw group_.Lost(error);
      }
    }

   private:
    ProcessGroup& group_;
    const WorkPtr work_;
    const char* const what_;
  };

  template <typename Start>
  WorkPtr Launch(const Start& start) {
    if (closed_) throw LostContact("this rank has given up");
    try {
      return start();
    } catch (const std::exception& error) {
      throw Lost(error);
    }
  }

  // With the reason that another rank left, if one did. Closes this rank's own
  // connections, so that every rank notices, not only the lost one's peers in
  // the collective.
  LostContact Lost(const std::exception& error) {
    std::string reason = FirstLine(error);
    try {
      if (store_->check({kAbortKey})) {
        const std::vector<uint8_t> text = store_->get(kAbortKey);
        reason = std::string(text.begin(), text.end());
        store_->add(kHeardKey, 1);
      }
    } catch (const std::exception&) {
      // Its store went with rank 0.
    }
    if (!closed_.exchange(true)) {
      try {
        backend_->Close();
      } catch (const std::exception&) {
        // They are gone already.
      }
    }
    return LostContact(reason);
  }

  // The store goes with this process: gives the others a moment to read it.
  void AwaitListeners() {
    const absl::Time enough = absl::Now() + kLastWords;
    while (store_->add(kHeardKey, 0) < size_ - 1 && absl::Now() < enough) {
      absl::SleepFor(absl::Milliseconds(20));
    }
  }

  const int rank_;
  const int size_;
  const at::Device device_;
  std::atomic<bool> closed_{false};
  const StorePtr store_;
  std::unique_ptr<Backend> backend_;
};

// A socket bound to a free port of `host`, and to nothing else.
struct BoundSocket {
  int fd = -1;
  int port = 0;
};

absl::StatusOr<BoundSocket> BindTo(const std::string& host) {
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int error = getaddrinfo(host.c_str(), nullptr, &hints, &found);
  if (error != 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the ranks' host ", host, " has no address: ", gai_strerror(error)));
  }
  const absl::Cleanup free_addresses = [found] { freeaddrinfo(found); };
  const int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return base::ErrnoStatus(errno, "opening a socket", "/");
  sockaddr_storage address = {};
  socklen_t length = sizeof(address);
  if (bind(fd, found->ai_addr, found->ai_addrlen) != 0 ||
      getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length) != 0) {
    const int reason = errno;
    close(fd);
    return absl::InvalidArgumentError(absl::StrCat(
        "rank 0 cannot listen on ", host, " (", strerror(reason),
        "); give it an address of this machine that the others reach"));
  }
  char port[16] = {};
  getnameinfo(reinterpret_cast<sockaddr*>(&address), length, nullptr, 0, port,
              sizeof(port), NI_NUMERICSERV);
  return BoundSocket{fd, atoi(port)};
}

absl::StatusOr<StorePtr> OpenStore(const ProcessGroupOptions& options) {
  c10d::TCPStoreOptions store;
  store.timeout = Milliseconds(options.connect_timeout);
  store.waitWorkers = false;
  if (options.rank != 0) {
    store.port = static_cast<uint16_t>(options.store_port);
    return StorePtr(
        c10::make_intrusive<c10d::TCPStore>(options.store_host, store));
  }
  RETORT_ASSIGN_OR_RETURN(const BoundSocket bound, BindTo(options.host));
  store.isServer = true;
  store.port = static_cast<uint16_t>(bound.port);
  store.masterListenFd = bound.fd;
  StorePtr opened = c10::make_intrusive<c10d::TCPStore>(options.host, store);
  if (options.on_listening) options.on_listening(options.host, bound.port);
  return opened;
}

absl::StatusOr<std::unique_ptr<Backend>> Connect(
    const StorePtr& store, const ProcessGroupOptions& options) {
  std::unique_ptr<Backend> backend;
  if (!options.cuda) {
    backend = std::make_unique<GlooBackend>(store, options);
    return backend;
  }
#ifdef USE_C10D_NCCL
  backend = std::make_unique<NcclBackend>(store, options);
  return backend;
#else
  return absl::FailedPreconditionError(
      "this build has no NCCL; train on the CPU, or build with "
      "-DRETORT_CUDA=ON");
#endif
}

// gloo writes to connections that may be closed, and the signal that comes of
// it would end the process before anybody hears why.
void IgnoreBrokenPipes() {
  struct sigaction action = {};
  if (sigaction(SIGPIPE, nullptr, &action) == 0 &&
      action.sa_handler == SIG_DFL) {
    signal(SIGPIPE, SIG_IGN);
  }
}

absl::StatusOr<std::unique_ptr<Communicator>> Join(
    const ProcessGroupOptions& options) {
  RETORT_ASSIGN_OR_RETURN(StorePtr store, OpenStore(options));
  RETORT_ASSIGN_OR_RETURN(std::unique_ptr<Backend> backend,
                          Connect(store, options));
  return std::make_unique<ProcessGroup>(options, std::move(store),
                                        std::move(backend));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Communicator>> JoinProcessGroup(
    const ProcessGroupOptions& options) {
  if (options.size < 1 || options.rank < 0 || options.rank >= options.size) {
    return absl::InvalidArgumentError(absl::StrCat(
        "rank ", options.rank, " is none of a gang of ", options.size));
  }
  if (options.size == 1) return std::make_unique<SingleCommunicator>();
  if (options.rank > 0 &&
      (options.store_host.empty() || options.store_port < 1 ||
       options.store_port > 65535)) {
    return absl::InvalidArgumentError(
        absl::StrCat("rank ", options.rank, " was not told where rank 0 is"));
  }
  IgnoreBrokenPipes();
  try {
    return Join(options);
  } catch (const std::exception& error) {
    return absl::UnavailableError(
        absl::StrCat("rank ", options.rank, " of ", options.size,
                     " did not find the others: ", FirstLine(error)));
  }
}

}  // namespace retort::comm
