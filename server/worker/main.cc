// retort-worker: one process that trains, estimates, evaluates or serves one
// model. Started by retortd; not by people, but for its tools.

#include <malloc.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "core/base/log.h"
#include "core/base/stop_flag.h"
#include "server/worker/check_model.h"
#include "server/worker/convert_weights.h"
#include "server/worker/job_estimate.h"
#include "server/worker/train_extractor.h"
#include "server/worker/worker.h"

namespace {

// Keeps large activations mapped between steps: glibc would otherwise map and
// unmap them each time, which costs a tenth to a fifth of a training step.
void TuneAllocator() {
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
  mallopt(M_TRIM_THRESHOLD, 2047 << 20);
}

// Prints it as a line of JSON, whatever bytes its texts have, and returns the
// exit code.
int PrintAnswer(const nlohmann::json& answer) {
  puts(answer.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)
           .c_str());
  return answer["ok"].get<bool>() ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  TuneAllocator();
  retort::worker::LinkOptions link;
  int ranks = 1;
  double lease_seconds = absl::ToDoubleSeconds(link.lease);
  double grace_seconds = 600;
  std::string log_level = "info";
  std::string check_dir, import_file, export_dir, out;
  std::string estimate;
  retort::worker::ExtractorOptions extractor;

  CLI::App app{
      "Trains, estimates, evaluates or serves one model for retortd, which "
      "starts this program. The token comes in RETORT_WORKER_TOKEN."};
  app.add_option("--server", link.server, "Address of retortd's worker link");
  app.add_option("--subject", link.subject, "Job or deployment, by full name");
  app.add_option("--epoch", link.epoch, "Incarnation of the subject");
  app.add_option("--rank", link.rank, "Which process of its gang this is");
  app.add_option("--ranks", ranks, "Processes of the gang");
  app.add_option("--lease", lease_seconds,
                 "Seconds to work on without a server, then end")
      ->capture_default_str();
  app.add_option("--grace", grace_seconds,
                 "Seconds after the lease for the task to end by itself; then "
                 "this process ends whatever it does")
      ->envname("RETORT_WORKER_GRACE")
      ->capture_default_str();
  app.add_option("--log_level", log_level, "trace to critical, or off")
      ->capture_default_str();
  app.add_option("--check-model", check_dir,
                 "Load a model's folder, print what came of it as JSON, end");
  app.add_option("--import-weights", import_file,
                 "Write the tensors of Python's file to --out as safetensors, "
                 "print what came of it as JSON, end");
  app.add_option("--export-weights", export_dir,
                 "Write the weights of a model's folder to --out as "
                 "torch.save does, print what came of it as JSON, end");
  app.add_option("--out", out,
                 "Where --import-weights and --export-weights "
                 "write");
  app.add_option("--estimate", estimate,
                 "Print as JSON what a job takes, end (job_estimate.h)");
  CLI::App* train = app.add_subcommand(
      "train-feature-extractor",
      "Train the Fashion-MNIST classifier whose features give FD-FMNIST, "
      "without a server");
  train->add_option("--out", extractor.out, "Folder of the model")->required();
  train->add_option("--data", extractor.data_dir, "Folder of the IDX files");
  train->add_option("--epochs", extractor.train.epochs, "Passes over the data")
      ->capture_default_str();
  train->add_option("--seed", extractor.train.seed, "Of everything random")
      ->capture_default_str();
  train->add_option("--resolution", extractor.resolution, "32 or 16 pixels")
      ->capture_default_str();
  train->add_option("--threads", extractor.threads, "Threads")
      ->capture_default_str();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : retort::worker::kWorkerUsage;
  }
  link.lease = absl::Seconds(lease_seconds);
  // The ranks of a gang write to one file.
  const std::string log_name =
      ranks > 1 ? absl::StrCat("retort-worker[", link.rank, "]")
                : "retort-worker";
  const absl::Status log = retort::base::InitLog(log_name, log_level);
  if (!log.ok()) {
    fprintf(stderr, "--log_level: %s\n", std::string(log.message()).c_str());
    return retort::worker::kWorkerUsage;
  }
  if (!check_dir.empty()) {
    return PrintAnswer(retort::worker::CheckModel(check_dir));
  }
  if (!import_file.empty()) {
    return PrintAnswer(retort::worker::ImportWeightsFile(import_file, out));
  }
  if (!export_dir.empty()) {
    return PrintAnswer(retort::worker::ExportWeightsFile(export_dir, out));
  }
  if (!estimate.empty()) {
    return PrintAnswer(retort::worker::EstimateJob(estimate));
  }
  retort::base::InstallStopSignals();
  if (train->parsed()) return retort::worker::TrainExtractor(extractor);
  if (link.server.empty() || link.subject.empty()) {
    fputs(
        "retort-worker: --server and --subject are needed; retortd starts "
        "this program with them\n",
        stderr);
    return retort::worker::kWorkerUsage;
  }
  const char* token = getenv("RETORT_WORKER_TOKEN");
  if (token != nullptr) link.token = token;
  unsetenv("RETORT_WORKER_TOKEN");
  retort::worker::Worker worker(link, absl::Seconds(grace_seconds));
  return worker.Run();
}
