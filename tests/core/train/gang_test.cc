// Several ranks of one run, joined by gloo, each on a thread of this process.
#include "tests/core/comm/gang.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "core/base/file.h"
#include "core/data/tensor_dataset.h"
#include "core/io/model_file.h"
#include "core/train/trainer.h"
#include "tests/core/distill/tiny_models.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace retort::train {
namespace {

using ::retort::testing::IsOk;
using ::retort::testing::RunGang;
using ::retort::testing::StatusIs;
using ::retort::testing::TinyConfig;
using ::retort::testing::TinyNet;
using ::testing::Contains;
using ::testing::HasSubstr;

class RankListener : public ProgressListener {
 public:
  void OnTick(const Tick& tick) override { ticks.push_back(tick); }
  void OnStep(int64_t step) override {
    if (at_step) at_step(step);
  }
  void OnActivity(const char* activity, bool waiting) override {
    if (waiting) waits.insert(activity);
  }
  void OnCheckpoint(int64_t step, const std::string&,
                    const nlohmann::json&) override {
    checkpoints.push_back(step);
  }

  std::function<void(int64_t)> at_step;
  std::vector<Tick> ticks;
  std::set<std::string> waits;
  std::vector<int64_t> checkpoints;
};

// What one rank has and what became of it.
struct Rank {
  RankListener listener;
  ControlFlags control;
  absl::Status status;
  TrainResult result;
  io::TensorMap tensors;
};

struct Case {
  const char* name;
  Method method;
  double gan;
  int64_t accumulation;
};

class GangTest : public ::testing::Test {
 protected:
  GangTest() {
    auto generator = at::make_generator<at::CPUGeneratorImpl>(1);
    dataset_ = *data::TensorDataset::Create(
        "tiny", at::randint(0, 256, {20, 1, 8, 8}, generator).to(at::kByte),
        at::arange(20) % 3, 3);
    options_.iterations = 8;
    options_.batch_size = 8;
    options_.log_every = 1;
    options_.checkpoint_every = 0;
    options_.learning_rate = 1e-3;
    options_.gan.channels = 4;
    options_.gan.start_step = 2;
  }

  void Use(const Case& c) {
    options_.method = c.method;
    options_.gan.weight = c.gan;
    options_.accumulation = c.accumulation;
  }

  TrainParts Parts(const std::string& job) const {
    const bool ctm = options_.method == Method::kCtm;
    TrainParts parts;
    parts.dataset = dataset_.get();
    parts.job_dir = base::JobDir(dir_.path() + "/" + job);
    parts.student = TinyNet(1, ctm, 3);
    if (options_.method == Method::kEdm) return parts;
    parts.teacher = TinyNet(3, false, 3);
    parts.jump = std::make_shared<math::CtmJump>();
    return parts;
  }

  void TrainRank(comm::Communicator& comm, const std::string& job, Rank* rank) {
    TrainParts parts = Parts(job);
    parts.comm = &comm;
    // More than one bucket even here.
    parts.reduction.bucket_bytes = 4096;
    parts.listener = &rank->listener;
    parts.control = &rank->control;
    if (change_parts_) change_parts_(comm.rank(), &parts);
    auto trainer = Trainer::Create(options_, parts);
    rank->status = trainer.status();
    if (!trainer.ok()) {
      comm.Abort("no trainer");
      return;
    }
    auto result = (*trainer)->Run();
    rank->status = result.status();
    if (result.ok()) rank->result = *result;
    rank->tensors = (*trainer)->state().ToCheckpoint({}).tensors;
  }

  // Trains with ranks.size() ranks.
  void Train(const std::string& job, std::vector<Rank>& ranks) {
    RunGang(static_cast<int>(ranks.size()), [&](comm::Communicator& comm) {
      TrainRank(comm, job, &ranks[comm.rank()]);
    });
  }

  io::TensorMap Model(const std::string& job) {
    return io::ReadModelDir(base::JobDir(dir_.path() + "/" + job).result_dir())
        .value()
        .tensors;
  }

  retort::testing::TempDir dir_;
  std::unique_ptr<data::Dataset> dataset_;
  TrainOptions options_;
  std::function<void(int, TrainParts*)> change_parts_;
};

void ExpectSameTensors(const io::TensorMap& a, const io::TensorMap& b) {
  ASSERT_EQ(a.size(), b.size());
  for (const auto& [name, tensor] : a) {
    EXPECT_TRUE(tensor.equal(b.at(name))) << name;
  }
}

constexpr Case kCases[] = {{"Edm", Method::kEdm, 0, 1},
                           {"EdmInTwoParts", Method::kEdm, 0, 2},
                           {"Cm", Method::kCm, 0, 1},
                           {"CmWithAdversaryInTwoParts", Method::kCm, 0.5, 2},
                           {"Ctm", Method::kCtm, 0, 1},
                           {"CtmInTwoParts", Method::kCtm, 0, 2},
                           {"CtmWithAdversary", Method::kCtm, 0.5, 1}};

class LossCurveTest : public GangTest,
                      public ::testing::WithParamInterface<Case> {};

// The tolerance that docs/reliability.md states: sums of float32 in another
// order, and what steps make of it.
TEST_P(LossCurveTest, IsThatOfOneRank) {
  Use(GetParam());
  std::vector<Rank> one(1);
  Train("one", one);
  ASSERT_THAT(one[0].status, IsOk());
  std::vector<Rank> two(2);
  Train("two", two);
  ASSERT_THAT(two[0].status, IsOk());
  ASSERT_THAT(two[1].status, IsOk());
  ASSERT_EQ(one[0].listener.ticks.size(), 8u);
  ASSERT_EQ(two[0].listener.ticks.size(), 8u);
  double worst = 0;
  for (size_t i = 0; i < 8; ++i) {
    const Tick& a = one[0].listener.ticks[i];
    const Tick& b = two[0].listener.ticks[i];
    EXPECT_EQ(a.images, b.images);
    ASSERT_EQ(a.metrics.size(), b.metrics.size());
    for (const auto& [name, value] : a.metrics) {
      const double error =
          std::abs(b.metrics.at(name) - value) / std::max(std::abs(value), 0.1);
      EXPECT_LT(error, 1e-3) << name << " of step " << a.step;
      if (name == "loss") worst = std::max(worst, error);
    }
  }
  EXPECT_LT(worst, 1e-4);
  RecordProperty("largest_relative_error_of_loss", std::to_string(worst));
  ExpectSameTensors(two[0].tensors, two[1].tensors);
}

TEST_P(LossCurveTest, AnInterruptedRunGivesTheSameBytes) {
  Use(GetParam());
  std::vector<Rank> whole(2);
  Train("whole", whole);
  std::vector<Rank> first(2);
  // It is enough to ask one, and it need not be rank 0.
  first[1].listener.at_step = [&](int64_t step) {
    if (step == 3) first[1].control.pause = true;
  };
  Train("parts", first);
  for (const Rank& rank : first) {
    ASSERT_THAT(rank.status, IsOk());
    EXPECT_EQ(rank.result.outcome, Outcome::kPaused);
    EXPECT_EQ(rank.result.step, 4);  // agreed on with the step that follows
  }
  std::vector<Rank> second(2);
  Train("parts", second);
  ASSERT_THAT(second[0].status, IsOk());
  EXPECT_EQ(second[0].listener.ticks.front().step, 5);
  ExpectSameTensors(Model("whole"), Model("parts"));
  ExpectSameTensors(whole[0].tensors, second[0].tensors);
  ExpectSameTensors(second[0].tensors, second[1].tensors);
}

INSTANTIATE_TEST_SUITE_P(Methods, LossCurveTest, ::testing::ValuesIn(kCases),
                         [](const auto& info) { return info.param.name; });

TEST_F(GangTest, Rank0AloneWritesAndTheOthersGetTheStateFromIt) {
  options_.checkpoint_every = 2;
  options_.iterations = 4;
  change_parts_ = [&](int rank, TrainParts* parts) {
    if (rank > 0) parts->job_dir = base::JobDir(dir_.path() + "/other");
  };
  std::vector<Rank> first(2);
  Train("job", first);
  EXPECT_FALSE(base::IsDirectory(dir_.path() + "/other"));
  EXPECT_THAT(first[0].listener.checkpoints, Contains(4));
  EXPECT_TRUE(first[1].listener.checkpoints.empty());
  EXPECT_TRUE(first[1].listener.ticks.empty());
  options_.iterations = 6;
  change_parts_ = [&](int rank, TrainParts* parts) {
    if (rank == 0) return;
    parts->job_dir = base::JobDir(dir_.path() + "/other");
    parts->student = TinyNet(9, false, 3);  // overwritten by rank 0's
  };
  std::vector<Rank> second(2);
  Train("job", second);
  ASSERT_THAT(second[1].status, IsOk());
  EXPECT_EQ(second[1].result.step, 6);
  ExpectSameTensors(second[0].tensors, second[1].tensors);
}

// Fails to give images from some call on.
class BrokenDataset : public data::Dataset {
 public:
  BrokenDataset(const data::Dataset* inner, int calls)
      : inner_(inner), calls_(calls) {}
  std::string name() const override { return inner_->name(); }
  int64_t size() const override { return inner_->size(); }
  int64_t channels() const override { return inner_->channels(); }
  int64_t resolution() const override { return inner_->resolution(); }
  int64_t label_dim() const override { return inner_->label_dim(); }
  std::string manifest_hash() const override { return inner_->manifest_hash(); }
  absl::Status Get(absl::Span<const int64_t> indices, at::Tensor* images,
                   at::Tensor* labels) const override {
    if (calls_-- <= 0) return absl::DataLossError("the disk is gone");
    return inner_->Get(indices, images, labels);
  }

 private:
  const data::Dataset* const inner_;
  mutable int calls_;
};

TEST_F(GangTest, AnErrorOnOneRankEndsAllAndTheOthersAreNotToBlame) {
  BrokenDataset broken(dataset_.get(), 3);
  change_parts_ = [&](int rank, TrainParts* parts) {
    if (rank == 1) parts->dataset = &broken;
  };
  std::vector<Rank> ranks(3);
  options_.batch_size = 6;
  Train("job", ranks);
  EXPECT_THAT(ranks[1].status, StatusIs(absl::StatusCode::kDataLoss,
                                        HasSubstr("the disk is gone")));
  for (const int other : {0, 2}) {
    EXPECT_THAT(ranks[other].status,
                StatusIs(absl::StatusCode::kUnavailable,
                         HasSubstr("rank 1: the disk is gone")));
  }
}

TEST_F(GangTest, AnErrorOfRank0WhileItLoadsIsThatOfAll) {
  options_.iterations = 2;
  std::vector<Rank> first(2);
  Train("job", first);
  options_.learning_rate = 5e-3;  // another run's checkpoint
  std::vector<Rank> second(2);
  Train("job", second);
  for (const Rank& rank : second) {
    EXPECT_THAT(rank.status, StatusIs(absl::StatusCode::kFailedPrecondition,
                                      HasSubstr("learning_rate was")));
  }
}

TEST_F(GangTest, ARankWithOtherDataIsFoundBeforeTheFirstStep) {
  const auto other = *data::TensorDataset::Create(
      "tiny", at::zeros({20, 1, 8, 8}, at::kByte), at::arange(20) % 3, 3);
  change_parts_ = [&](int rank, TrainParts* parts) {
    if (rank == 1) parts->dataset = other.get();
  };
  std::vector<Rank> ranks(2);
  Train("job", ranks);
  EXPECT_THAT(ranks[1].status,
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("rank 1 is not set up as rank 0")));
  EXPECT_THAT(ranks[0].status, StatusIs(absl::StatusCode::kUnavailable));
}

// Says on one rank that the loss is no number, in two steps of the stream.
class LyingObjective : public Objective {
 public:
  explicit LyingObjective(std::unique_ptr<Objective> inner)
      : inner_(std::move(inner)) {}
  Metrics TakeGradients(const StepInput& input) override {
    Metrics metrics = inner_->TakeGradients(input);
    if (input.step == 3 || input.step == 4) {
      metrics["loss"] = std::numeric_limits<double>::quiet_NaN();
    }
    return metrics;
  }

 private:
  const std::unique_ptr<Objective> inner_;
};

TEST_F(GangTest, AllRanksRollBackFromWhatOneFinds) {
  options_.nonfinite_policy = NonfinitePolicy::kRollBack;
  options_.max_nonfinite_steps = 2;
  options_.checkpoint_every = 2;
  change_parts_ = [](int rank, TrainParts* parts) {
    if (rank == 0) return;
    parts->wrap_objective = [](std::unique_ptr<Objective> inner) {
      return std::make_unique<LyingObjective>(std::move(inner));
    };
  };
  std::vector<Rank> ranks(2);
  Train("job", ranks);
  ASSERT_THAT(ranks[0].status, IsOk());
  ASSERT_THAT(ranks[1].status, IsOk());
  EXPECT_EQ(ranks[0].listener.ticks.back().skipped, 2);
  ExpectSameTensors(ranks[0].tensors, ranks[1].tensors);
}

TEST_F(GangTest, TellsWhatItWaitsIn) {
  std::vector<Rank> ranks(2);
  Train("job", ranks);
  EXPECT_THAT(ranks[1].listener.waits, Contains("all-reduce"));
  EXPECT_THAT(ranks[1].listener.waits, Contains("waiting for rank 0"));
}

TEST_F(GangTest, ABatchThatTheRanksCannotShareIsRefused) {
  options_.batch_size = 6;
  options_.accumulation = 2;
  std::vector<Rank> ranks(2);
  Train("job", ranks);
  EXPECT_THAT(ranks[0].status, StatusIs(absl::StatusCode::kInvalidArgument,
                                        HasSubstr("use a multiple of 4")));
}

TEST_F(GangTest, WhatDoesNotOverlapGivesTheSameBytes) {
  std::vector<Rank> overlapped(2);
  Train("overlapped", overlapped);
  change_parts_ = [](int, TrainParts* parts) {
    parts->reduction.overlap = false;
  };
  std::vector<Rank> apart(2);
  Train("apart", apart);
  ExpectSameTensors(overlapped[0].tensors, apart[0].tensors);
}

}  // namespace
}  // namespace retort::train
