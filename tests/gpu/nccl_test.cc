// Training on GPUs, and sums through NCCL. Skipped, aloud, where there is none.
#include <ATen/Context.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/cuda.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <torch/csrc/distributed/c10d/HashStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "core/base/check.h"
#include "core/base/file.h"
#include "core/base/run_dir.h"
#include "core/base/status_macros.h"
#include "core/comm/process_group.h"
#include "core/data/tensor_dataset.h"
#include "core/math/jump.h"
#include "core/train/trainer.h"
#include "tests/core/distill/tiny_models.h"
#include "tests/support/child_process.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace retort::train {
namespace {

using nlohmann::json;
using ::retort::testing::ChildProcess;
using ::retort::testing::IsOk;
using ::retort::testing::PollUntil;
using ::retort::testing::Slurp;
using ::retort::testing::TempDir;
using ::retort::testing::TinyNet;
using ::testing::SizeIs;

constexpr int64_t kSteps = 8;
constexpr int64_t kBatch = 8;
constexpr int64_t kImages = 20;

TrainOptions Options(Method method) {
  TrainOptions options;
  options.method = method;
  options.iterations = kSteps;
  options.batch_size = kBatch;
  options.log_every = 1;
  options.checkpoint_every = 2;
  options.learning_rate = 1e-3;
  return options;
}

// Keeps what a run says; asks it to pause once so many steps are done.
class Curve : public ProgressListener {
 public:
  explicit Curve(int64_t pause_at = 0) : pause_at_(pause_at) {}
  void OnTick(const Tick& tick) override { ticks.push_back(tick); }
  void OnStep(int64_t step) override {
    if (step == pause_at_) control.pause = true;
  }

  ControlFlags control;
  std::vector<Tick> ticks;

 private:
  const int64_t pause_at_;
};

// Trains tiny networks on `device`, in the folder `job`.
absl::StatusOr<TrainResult> Train(const TrainOptions& options,
                                  int64_t num_images, at::Device device,
                                  const std::string& job, Curve* curve,
                                  comm::Communicator* comm = nullptr) {
  auto generator = at::make_generator<at::CPUGeneratorImpl>(1);
  const auto dataset = *data::TensorDataset::Create(
      "tiny",
      at::randint(0, 256, {num_images, 1, 8, 8}, generator).to(at::kByte),
      at::arange(num_images) % 3, 3);
  TrainParts parts;
  parts.dataset = dataset.get();
  parts.job_dir = base::JobDir(job);
  parts.student = TinyNet(1, options.method == Method::kCtm, 3);
  parts.student->to(device);
  if (options.method != Method::kEdm) {
    parts.teacher = TinyNet(3, false, 3);
    parts.teacher->to(device);
    parts.jump = std::make_shared<math::CtmJump>();
  }
  parts.comm = comm;
  parts.reduction.bucket_bytes = 4096;  // more than one bucket even here
  parts.listener = curve;
  parts.control = &curve->control;
  RETORT_ASSIGN_OR_RETURN(const auto trainer, Trainer::Create(options, parts));
  return trainer->Run();
}

// As tests/core/train/gang_test.cc has it for ranks on the CPU; a GPU's
// convolutions sum in another order, too.
void ExpectSameCurve(const std::vector<Tick>& a, const std::vector<Tick>& b) {
  ASSERT_THAT(a, SizeIs(kSteps));
  ASSERT_THAT(b, SizeIs(kSteps));
  for (size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(a[i].step, b[i].step);
    ASSERT_EQ(a[i].metrics.size(), b[i].metrics.size());
    for (const auto& [name, value] : a[i].metrics) {
      const double error = std::abs(b[i].metrics.at(name) - value) /
                           std::max(std::abs(value), 0.1);
      EXPECT_LT(error, 1e-3) << name << " of step " << a[i].step;
    }
  }
}

// Rank 0 of two on one device, through NCCL: a group of one, and whatever is
// summed comes out twice, as if the other rank had the same. With a data set of
// one image that is so, and half of a batch trains as a batch of half the size.
class NcclEcho : public comm::Communicator {
 public:
  NcclEcho() {
    // As core/comm/process_group.cc has it.
    setenv("TORCH_NCCL_BLOCKING_WAIT", "1", /*overwrite=*/1);
    setenv("TORCH_NCCL_ASYNC_ERROR_HANDLING", "0", /*overwrite=*/1);
    group_ = c10::make_intrusive<c10d::ProcessGroupNCCL>(
        c10::make_intrusive<c10d::HashStore>(), /*rank=*/0, /*size=*/1,
        c10d::ProcessGroupNCCL::Options::create());
  }
  int rank() const override { return 0; }
  int size() const override { return 2; }
  at::Device device() const override { return at::Device(at::kCUDA, 0); }
  std::unique_ptr<comm::Pending> AllReduce(const at::Tensor& tensor) override {
    ++sums;
    std::vector<at::Tensor> tensors = {tensor};
    return std::make_unique<Sum>(group_->allreduce(tensors), tensor);
  }
  void Broadcast(const at::Tensor& tensor) override {
    std::vector<at::Tensor> tensors = {tensor};
    group_->broadcast(tensors)->wait();
  }
  void Barrier() override { group_->barrier()->wait(); }
  void Abort(const std::string& reason) override { group_->abort(); }

  int sums = 0;

 private:
  class Sum : public comm::Pending {
   public:
    Sum(c10::intrusive_ptr<c10d::Work> work, const at::Tensor& tensor)
        : work_(std::move(work)), tensor_(tensor) {}
    void Wait() override {
      work_->wait();
      at::NoGradGuard no_grad;
      tensor_.mul_(2);
    }

   private:
    const c10::intrusive_ptr<c10d::Work> work_;
    at::Tensor tensor_;
  };

  c10::intrusive_ptr<c10d::ProcessGroupNCCL> group_;
};

// Sums of float32 as on the CPU, not in 10 bits of mantissa.
void UseFullPrecision() {
  at::globalContext().setAllowTF32CuDNN(false);
  at::globalContext().setAllowTF32CuBLAS(false);
}

class NcclTest : public ::testing::TestWithParam<Method> {
 protected:
  void SetUp() override {
    if (torch::cuda::device_count() == 0) {
      GTEST_SKIP() << "NOT TESTED on a GPU: this machine has none";
    }
    UseFullPrecision();
    options_ = Options(GetParam());
  }
  std::string Job(const std::string& name) const { return dir_ / name; }

  const at::Device gpu_{at::kCUDA, 0};
  TempDir dir_;
  TrainOptions options_;
};

TEST_P(NcclTest, OneGpuTrainsAsTheCpuDoes) {
  Curve on_cpu, on_gpu;
  ASSERT_THAT(Train(options_, kImages, at::kCPU, Job("cpu"), &on_cpu), IsOk());
  ASSERT_THAT(Train(options_, kImages, gpu_, Job("gpu"), &on_gpu), IsOk());
  ExpectSameCurve(on_cpu.ticks, on_gpu.ticks);
}

TEST_P(NcclTest, ARunOnAGpuIsPausedAndGoesOnFromItsCheckpoint) {
  Curve whole, first(/*pause_at=*/3), second;
  ASSERT_THAT(Train(options_, kImages, gpu_, Job("whole"), &whole), IsOk());
  const auto paused = Train(options_, kImages, gpu_, Job("parts"), &first);
  ASSERT_THAT(paused, IsOk());
  EXPECT_EQ(paused->outcome, Outcome::kPaused);
  EXPECT_EQ(paused->step, 3);
  EXPECT_TRUE(base::IsDirectory(base::JobDir(Job("parts")).checkpoint_dir(3)));
  const auto done = Train(options_, kImages, gpu_, Job("parts"), &second);
  ASSERT_THAT(done, IsOk());
  EXPECT_EQ(done->outcome, Outcome::kSucceeded);
  ASSERT_FALSE(second.ticks.empty());
  EXPECT_EQ(second.ticks.front().step, 4);
  std::vector<Tick> parts = first.ticks;
  parts.insert(parts.end(), second.ticks.begin(), second.ticks.end());
  ExpectSameCurve(whole.ticks, parts);
}

TEST_P(NcclTest, SumsThroughNcclAreThoseOfTheCpu) {
  Curve alone, echoed, resumed;
  TrainOptions half = options_;
  half.batch_size = kBatch / 2;
  ASSERT_THAT(Train(half, 1, at::kCPU, Job("cpu"), &alone), IsOk());
  NcclEcho echo;
  ASSERT_THAT(Train(options_, 1, gpu_, Job("gpu"), &echoed, &echo), IsOk());
  EXPECT_GE(echo.sums, 2 * kSteps) << "gradients, and what Exchange() sums";
  ExpectSameCurve(alone.ticks, echoed.ticks);
}

TEST_P(NcclTest, PausedRanksGoOnFromTheCheckpointThatRank0HandsOut) {
  Curve whole, first(/*pause_at=*/3), second;
  NcclEcho echo;
  ASSERT_THAT(Train(options_, 1, gpu_, Job("whole"), &whole, &echo), IsOk());
  const auto paused = Train(options_, 1, gpu_, Job("parts"), &first, &echo);
  ASSERT_THAT(paused, IsOk());
  EXPECT_EQ(paused->outcome, Outcome::kPaused);
  EXPECT_EQ(paused->step, 4);  // agreed on with the step that follows
  ASSERT_THAT(Train(options_, 1, gpu_, Job("parts"), &second, &echo), IsOk());
  std::vector<Tick> parts = first.ticks;
  parts.insert(parts.end(), second.ticks.begin(), second.ticks.end());
  ExpectSameCurve(whole.ticks, parts);
}

// What one of two processes does, each with a GPU of its own: this program with
// --rank RANK FOLDER PAUSE_AT. They meet through files in the folder.
struct RankArguments {
  int rank = 0;
  Method method = Method::kEdm;
  std::string dir;
  int64_t pause_at = 0;
};

absl::StatusOr<std::unique_ptr<comm::Communicator>> JoinThroughFile(
    int rank, const std::string& path) {
  comm::ProcessGroupOptions options;
  options.rank = rank;
  options.size = 2;
  options.cuda = true;
  options.on_listening = [&](const std::string& host, int port) {
    RETORT_CHECK(
        base::AtomicWriteFile(path, absl::StrCat(host, " ", port)).ok());
  };
  if (rank > 0) {
    PollUntil(absl::Minutes(2), [&] { return !Slurp(path).empty(); });
    const std::pair<std::string, std::string> store =
        absl::StrSplit(Slurp(path), ' ');
    options.store_host = store.first;
    if (!absl::SimpleAtoi(store.second, &options.store_port)) {
      return absl::UnavailableError("rank 0 did not say where it is");
    }
  }
  return comm::JoinProcessGroup(options);
}

absl::Status TrainAsRank(const RankArguments& arguments) {
  UseFullPrecision();
  RETORT_ASSIGN_OR_RETURN(
      const auto gang,
      JoinThroughFile(arguments.rank, arguments.dir + "/store"));
  Curve curve(arguments.pause_at);
  RETORT_RETURN_IF_ERROR(Train(Options(arguments.method), kImages,
                               gang->device(), arguments.dir + "/job", &curve,
                               gang.get())
                             .status());
  json ticks = json::array();
  for (const Tick& tick : curve.ticks) {
    ticks.push_back({{"step", tick.step}, {"metrics", tick.metrics}});
  }
  if (!gang->lead()) return absl::OkStatus();
  return base::AtomicWriteFile(arguments.dir + "/ticks.json", ticks.dump());
}

class TwoGpuTest : public NcclTest {
 protected:
  void SetUp() override {
    NcclTest::SetUp();
    if (!IsSkipped() && torch::cuda::device_count() < 2) {
      GTEST_SKIP() << "NOT TESTED on two GPUs: this machine has one";
    }
  }

  // The devices that this process sees, one for a rank.
  static std::string Device(int rank) {
    const char* visible = std::getenv("CUDA_VISIBLE_DEVICES");
    if (visible == nullptr) return absl::StrCat(rank);
    const std::vector<std::string> devices = absl::StrSplit(visible, ',');
    return devices.at(rank);
  }

  // Trains until the end, or the pause; returns what rank 0 had to say.
  std::vector<Tick> TrainTwo(int64_t pause_at) {
    std::remove((dir_ / "store").c_str());
    std::vector<std::unique_ptr<ChildProcess>> ranks;
    for (int rank = 0; rank < 2; ++rank) {
      const std::string log = dir_ / absl::StrCat("rank", rank, ".log");
      ranks.push_back(std::make_unique<ChildProcess>(
          std::vector<std::string>{
              "/proc/self/exe", "--rank", absl::StrCat(rank),
              MethodName(GetParam()), dir_.path(),
              // It is enough to ask one, and it need not be rank 0.
              absl::StrCat(rank == 1 ? pause_at : 0)},
          log, log,
          ChildProcess::Environment{{"CUDA_VISIBLE_DEVICES", Device(rank)}}));
    }
    for (int rank = 0; rank < 2; ++rank) {
      EXPECT_EQ(ranks[rank]->Wait(absl::Minutes(3)), 0)
          << Slurp(dir_ / absl::StrCat("rank", rank, ".log"));
    }
    std::vector<Tick> ticks;
    for (const json& said :
         json::parse(Slurp(dir_ / "ticks.json"), nullptr, false)) {
      Tick tick;
      tick.step = said["step"];
      tick.metrics = said["metrics"].get<Metrics>();
      ticks.push_back(tick);
    }
    return ticks;
  }
};

TEST_P(TwoGpuTest, TwoRanksTrainAsOneOnTheCpuAndGoOnAfterAPause) {
  Curve alone;
  ASSERT_THAT(Train(options_, kImages, at::kCPU, Job("cpu"), &alone), IsOk());
  std::vector<Tick> two = TrainTwo(/*pause_at=*/3);
  ASSERT_THAT(two, SizeIs(4));  // agreed on with the step that follows
  const std::vector<Tick> rest = TrainTwo(/*pause_at=*/0);
  two.insert(two.end(), rest.begin(), rest.end());
  ExpectSameCurve(alone.ticks, two);
}

std::string NameOf(const ::testing::TestParamInfo<Method>& info) {
  return MethodName(info.param);
}
INSTANTIATE_TEST_SUITE_P(Methods, NcclTest,
                         ::testing::Values(Method::kEdm, Method::kCtm), NameOf);
INSTANTIATE_TEST_SUITE_P(Methods, TwoGpuTest,
                         ::testing::Values(Method::kEdm, Method::kCtm), NameOf);

int RankMain(char** argv) {
  RankArguments arguments;
  arguments.method =
      MethodName(Method::kCtm) == argv[3] ? Method::kCtm : Method::kEdm;
  arguments.dir = argv[4];
  if (!absl::SimpleAtoi(argv[2], &arguments.rank) ||
      !absl::SimpleAtoi(argv[5], &arguments.pause_at)) {
    return 2;
  }
  const absl::Status status = TrainAsRank(arguments);
  if (!status.ok()) std::fprintf(stderr, "%s\n", status.ToString().c_str());
  return status.ok() ? 0 : 1;
}

}  // namespace
}  // namespace retort::train

int main(int argc, char** argv) {
  if (argc == 6 && std::string(argv[1]) == "--rank") {
    return retort::train::RankMain(argv);
  }
  ::testing::InitGoogleMock(&argc, argv);
  return RUN_ALL_TESTS();
}
