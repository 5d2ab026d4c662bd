// How training speeds up with ranks: the same global batch on one process of
// one thread, on two processes of one thread each (gradients reduced while the
// backward pass runs, and after it), and on one process of two threads. Prints
// JSON: seconds per step (medians over the rounds), and what each is of the
// first. Run on a machine that does nothing else.
#include <ATen/Parallel.h>
#include <torch/utils.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/log.h"
#include "core/comm/process_group.h"
#include "core/data/tensor_dataset.h"
#include "core/train/trainer.h"

namespace retort {
namespace {

struct BenchOptions {
  int64_t batch = 64;
  int64_t channels = 32;
  int64_t bucket_kib = 1024;
  int steps = 4;
  int rounds = 3;
  // Of a child.
  int rank = -1;
  int ranks = 1;
  int threads = 1;
  bool overlap = true;
  int port = 0;
};

// A child: prints where rank 0's store listens, then the seconds of each step.
absl::Status RunRank(const BenchOptions& o) {
  at::set_num_threads(o.threads);
  comm::ProcessGroupOptions group;
  group.rank = o.rank;
  group.size = o.ranks;
  group.store_host = "127.0.0.1";
  group.store_port = o.port;
  group.on_listening = [](const std::string&, int port) {
    printf("port %d\n", port);
    fflush(stdout);
  };
  auto gang = comm::JoinProcessGroup(group);
  if (!gang.ok()) return gang.status();

  auto generator = at::make_generator<at::CPUGeneratorImpl>(1);
  const auto dataset = *data::TensorDataset::Create(
      "noise", at::randint(0, 256, {256, 1, 32, 32}, generator).to(at::kByte),
      at::Tensor(), 0);
  nn::NetworkConfig config;
  config.img_resolution = 32;
  config.img_channels = 1;
  config.model_channels = o.channels;
  config.channel_mult = {1, 2, 2};
  config.num_blocks = 1;
  config.attn_resolutions = {};
  config.dropout = 0;
  train::TrainOptions options;
  options.batch_size = o.batch;
  train::TrainParts parts;
  parts.dataset = dataset.get();
  parts.student = nn::CreateDenoiser(config, 1);
  parts.job_dir = base::JobDir("/nonexistent");
  parts.comm = gang->get();
  parts.reduction.bucket_bytes = o.bucket_kib << 10;
  parts.reduction.overlap = o.overlap;
  auto trainer = train::Trainer::Create(options, parts);
  if (!trainer.ok()) return trainer.status();
  for (int step = 0; step <= o.steps; ++step) {
    const auto took = (*trainer)->MeasureStep(step);
    if (!took.ok()) return took.status();
    if (step == 0) continue;  // it also waits for memory
    printf("step %.6f\n", absl::ToDoubleSeconds(*took));
  }
  (*gang)->Barrier();
  return absl::OkStatus();
}

std::string ChildCommand(const BenchOptions& o) {
  char self[4096] = {};
  if (readlink("/proc/self/exe", self, sizeof(self) - 1) < 0) return "false";
  return absl::StrCat("OMP_NUM_THREADS=", o.threads, " '", self, "' --rank ",
                      o.rank, " --ranks ", o.ranks, " --threads ", o.threads,
                      " --overlap ", o.overlap ? "true" : "false", " --port ",
                      o.port, " --batch ", o.batch, " --channels ", o.channels,
                      " --bucket_kib ", o.bucket_kib, " --steps ", o.steps);
}

// Returns the seconds of rank 0's steps; empty if a child failed.
std::vector<double> RunGang(BenchOptions o) {
  std::vector<FILE*> children;
  o.rank = 0;
  FILE* lead = popen(ChildCommand(o).c_str(), "r");
  children.push_back(lead);
  std::vector<double> seconds;
  char line[256];
  while (fgets(line, sizeof(line), lead) != nullptr) {
    double took = 0;
    if (sscanf(line, "step %lf", &took) == 1) seconds.push_back(took);
    if (sscanf(line, "port %d", &o.port) != 1) continue;
    for (o.rank = 1; o.rank < o.ranks; ++o.rank) {
      children.push_back(popen(ChildCommand(o).c_str(), "r"));
    }
  }
  for (FILE* child : children) {
    if (pclose(child) != 0) return {};
  }
  return seconds;
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

int Compare(BenchOptions o) {
  struct Setting {
    const char* name;
    int ranks, threads;
    bool overlap;
  };
  const Setting settings[] = {
      {"1 rank, 1 thread", 1, 1, true},
      {"2 ranks, 1 thread each", 2, 1, true},
      {"2 ranks, 1 thread each, not overlapped", 2, 1, false},
      {"1 rank, 2 threads", 1, 2, true}};
  std::map<std::string, std::vector<double>> seconds;
  for (int round = 0; round < o.rounds; ++round) {
    for (const Setting& s : settings) {
      o.ranks = s.ranks;
      o.threads = s.threads;
      o.overlap = s.overlap;
      const std::vector<double> took = RunGang(o);
      if (took.empty()) {
        fprintf(stderr, "%s: a rank failed\n", s.name);
        return 1;
      }
      auto& all = seconds[s.name];
      all.insert(all.end(), took.begin(), took.end());
    }
  }
  const double one = Median(seconds[settings[0].name]);
  nlohmann::json out = {{"batch", o.batch},
                        {"channels", o.channels},
                        {"bucket_kib", o.bucket_kib},
                        {"steps", o.steps},
                        {"rounds", o.rounds}};
  for (const Setting& s : settings) {
    const double median = Median(seconds[s.name]);
    out["settings"].push_back({{"name", s.name},
                               {"seconds_per_step", median},
                               {"images_per_second", o.batch / median},
                               {"speed_of_the_first", one / median}});
  }
  puts(out.dump(2).c_str());
  return 0;
}

}  // namespace
}  // namespace retort

int main(int argc, char** argv) {
  retort::BenchOptions o;
  CLI::App app{"Measures how training scales with ranks on this machine."};
  app.add_option("--batch", o.batch, "Images per step")->capture_default_str();
  app.add_option("--channels", o.channels, "Of the network's first level")
      ->capture_default_str();
  app.add_option("--bucket_kib", o.bucket_kib, "Size of a bucket")
      ->capture_default_str();
  app.add_option("--steps", o.steps, "Per round")->capture_default_str();
  app.add_option("--rounds", o.rounds, "Of all settings")
      ->capture_default_str();
  app.add_option("--rank", o.rank, "Of a child");
  app.add_option("--ranks", o.ranks, "Of a child");
  app.add_option("--threads", o.threads, "Of a child");
  app.add_option("--overlap", o.overlap, "Of a child");
  app.add_option("--port", o.port, "Of a child");
  CLI11_PARSE(app, argc, argv);
  if (!retort::base::InitLog("ranks-bench", "warn").ok()) return 2;
  if (o.rank < 0) return retort::Compare(o);
  const absl::Status status = retort::RunRank(o);
  if (!status.ok()) fprintf(stderr, "%s\n", status.ToString().c_str());
  return status.ok() ? 0 : 1;
}
