// retort-simulate: drives the scheduler's policy over a synthetic cluster and
// reports what comes of it (docs/scheduling.md).
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "core/base/file.h"
#include "nlohmann/json.hpp"
#include "server/simulator/simulation.h"
#include "server/simulator/variants.h"
#include "server/simulator/workload.h"

namespace retort::simulator {
namespace {

struct Flags {
  WorkloadOptions workload;
  SimulationOptions simulation;
  std::vector<std::string> variants = {"policy"};
  std::string json;
  double arrive_days = 5;
  double age_hours = 12;
};

void AddFlags(Flags* flags, CLI::App* app) {
  app->add_option("--seed", flags->workload.seed, "Of the workload")
      ->capture_default_str();
  app->add_option("--nodes", flags->workload.nodes, "Of eight GPUs each")
      ->capture_default_str();
  app->add_option("--backlog", flags->workload.backlog,
                  "Jobs that wait at the start")
      ->capture_default_str();
  app->add_option("--arrivals_per_hour", flags->workload.arrivals_per_hour,
                  "Jobs that come later")
      ->capture_default_str();
  app->add_option("--arrive_days", flags->arrive_days, "For how long they do")
      ->capture_default_str();
  app->add_option("--largest_gpus", flags->workload.largest_gpus,
                  "The largest gang")
      ->capture_default_str();
  app->add_option("--without_limit", flags->workload.without_limit,
                  "Part of the jobs of which nobody knows how long they take")
      ->capture_default_str();
  app->add_option("--depth", flags->simulation.policy.depth,
                  "Jobs looked at in a decision that do not start")
      ->capture_default_str();
  app->add_option("--age_hours", flags->age_hours,
                  "Wait of a queue's head that counts a class")
      ->capture_default_str();
  app->add_option("--variants", flags->variants,
                  "policy, no-preemption, no-backfill, spread, no-aging, fifo, "
                  "or all")
      ->delimiter(',')
      ->capture_default_str();
  app->add_option("--json", flags->json, "File for the figures");
}

nlohmann::ordered_json RunVariant(const Variant& variant,
                                  const Workload& workload) {
  std::vector<std::string> names;
  std::vector<double> weights;
  for (const SimulatedProject& project : workload.projects) {
    names.push_back(project.project.name);
    weights.push_back(project.project.weight);
  }
  const Measures measures = Simulation(variant.options, workload).Run();
  nlohmann::ordered_json figures = measures.ToJson(names, weights);
  figures["words"] = variant.words;
  std::printf("%s\n", Summary(variant.name, figures).c_str());
  std::fflush(stdout);
  return figures;
}

// One line for the workload and one for each run: to read and to compare.
std::string ToText(const nlohmann::ordered_json& all) {
  std::string text =
      absl::StrCat("{\"workload\": ", all["workload"].dump(), ",\n\"runs\": {");
  const char* separator = "\n";
  for (const auto& [name, figures] : all["runs"].items()) {
    absl::StrAppend(&text, separator, "\"", name, "\": ", figures.dump());
    separator = ",\n";
  }
  return absl::StrCat(text, "\n}}\n");
}

int Run(const Flags& flags) {
  const Workload workload =
      MakeWorkload(flags.workload, absl::FromUnixSeconds(1800000000));
  nlohmann::ordered_json all;
  all["workload"] = {{"seed", flags.workload.seed},
                     {"nodes", flags.workload.nodes},
                     {"gpus", flags.workload.nodes * 8},
                     {"backlog", flags.workload.backlog},
                     {"jobs", workload.jobs.size()},
                     {"depth", flags.simulation.policy.depth}};
  for (const Variant& variant : AllVariants(flags.simulation)) {
    const bool wanted =
        std::any_of(flags.variants.begin(), flags.variants.end(),
                    [&](const std::string& name) {
                      return name == "all" || name == variant.name;
                    });
    if (wanted) all["runs"][variant.name] = RunVariant(variant, workload);
  }
  if (!all.contains("runs")) {
    std::fprintf(stderr, "retort-simulate: no such variant; see --help\n");
    return 2;
  }
  if (flags.json.empty()) return 0;
  const absl::Status written = base::AtomicWriteFile(flags.json, ToText(all));
  if (written.ok()) return 0;
  std::fprintf(stderr, "retort-simulate: %s\n",
               std::string(written.message()).c_str());
  return 1;
}

}  // namespace
}  // namespace retort::simulator

int main(int argc, char** argv) {
  retort::simulator::Flags flags;
  CLI::App app("Simulates the scheduler on a synthetic cluster");
  retort::simulator::AddFlags(&flags, &app);
  CLI11_PARSE(app, argc, argv);
  flags.workload.arrive_for = flags.arrive_days * absl::Hours(24);
  flags.simulation.policy.age_step = flags.age_hours > 0
                                         ? flags.age_hours * absl::Hours(1)
                                         : absl::InfiniteDuration();
  return retort::simulator::Run(flags);
}
