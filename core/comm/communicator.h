#ifndef RETORT_CORE_COMM_COMMUNICATOR_H_
#define RETORT_CORE_COMM_COMMUNICATOR_H_

#include <ATen/core/Tensor.h>

#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace retort::comm {

// Thrown by collectives when another rank is gone or has given up: nothing is
// wrong with what this rank does, and nothing can be done here either. An
// exception, as LibTorch's own errors are, since collectives are launched from
// the middle of a backward pass; the trainer's entry makes it Unavailable.
class LostContact : public std::runtime_error {
 public:
  explicit LostContact(const std::string& what)
      : std::runtime_error("lost contact with another rank: " + what) {}
};

// A collective that is under way.
class Pending {
 public:
  virtual ~Pending() = default;
  // Returns when it is done. Call once. Throws LostContact.
  virtual void Wait() = 0;
};

// The ranks of a run: processes that train one network together. All ranks call
// the same collectives in the same order; each returns when this rank has its
// result. Collectives throw LostContact, and after that so do all others. For
// one thread.
class Communicator {
 public:
  // Hears that this rank begins to wait for others in a collective, with its
  // name ("all-reduce"), and, with null, that it waits no more.
  using WaitListener = std::function<void(const char* what)>;

  virtual ~Communicator() = default;

  virtual int rank() const = 0;
  virtual int size() const = 0;
  bool lead() const { return rank() == 0; }

  // Where the tensors of collectives must be.
  virtual at::Device device() const { return at::kCPU; }

  // Starts to sum a contiguous tensor over the ranks, in place: every rank gets
  // the same bytes. It must not be touched before Wait() returns.
  virtual std::unique_ptr<Pending> AllReduce(const at::Tensor& tensor) = 0;

  // Overwrites a contiguous tensor with rank 0's.
  virtual void Broadcast(const at::Tensor& tensor) = 0;

  virtual void Barrier() = 0;

  // Makes the others' collectives, present and later ones, throw LostContact
  // with this reason (as far as it reaches them), and this rank's fail too.
  // For a rank that cannot go on, whose process is to end. Does not wait for
  // collectives under way.
  virtual void Abort(const std::string& reason) = 0;

  // Returns the sums of some numbers over the ranks: the same on all of them.
  std::vector<double> Sum(const std::vector<double>& values);

  // Returns rank 0's text.
  std::string BroadcastText(const std::string& text);

  // Overwrites each tensor with rank 0's, whatever its layout.
  void BroadcastAll(const std::vector<at::Tensor>& tensors);

  // Called on the thread that waits. Empty: nobody listens.
  void SetWaitListener(WaitListener listener) {
    wait_listener_ = std::move(listener);
  }

 protected:
  // Lives while this rank waits.
  class Waiting {
   public:
    Waiting(const Communicator& comm, const char* what) : comm_(comm) {
      if (comm_.wait_listener_) comm_.wait_listener_(what);
    }
    ~Waiting() {
      if (comm_.wait_listener_) comm_.wait_listener_(nullptr);
    }

   private:
    const Communicator& comm_;
  };

 private:
  WaitListener wait_listener_;
};

// A run of one rank: every collective is done at once, and changes nothing.
class SingleCommunicator : public Communicator {
 public:
  int rank() const override { return 0; }
  int size() const override { return 1; }
  std::unique_ptr<Pending> AllReduce(const at::Tensor& tensor) override;
  void Broadcast(const at::Tensor& tensor) override {}
  void Barrier() override {}
  void Abort(const std::string& reason) override {}
};

}  // namespace retort::comm

#endif  // RETORT_CORE_COMM_COMMUNICATOR_H_
