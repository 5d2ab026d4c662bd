#include "server/simulator/variants.h"

#include "absl/strings/str_format.h"

namespace retort::simulator {

std::vector<Variant> AllVariants(const SimulationOptions& options) {
  std::vector<Variant> variants;
  const auto add = [&](const char* name, const char* words) {
    variants.push_back({name, words, options});
    return &variants.back().options;
  };
  add("policy", "the policy as it is");
  add("no-preemption", "nobody is asked to stop")->policy.preempt = false;
  add("no-backfill", "nobody passes the head of the queue")->policy.backfill =
      false;
  add("spread", "the emptiest nodes that fit, not the fullest")
      ->policy.packing = scheduler::Packing::kSpread;
  add("no-aging", "a queue's head never counts a class higher")
      ->policy.age_step = absl::InfiniteDuration();
  SimulationOptions* fifo =
      add("fifo",
          "one line, no classes, shares or quotas, nobody passes the head, "
          "emptiest nodes first");
  fifo->one_line = true;
  fifo->policy.preempt = false;
  fifo->policy.backfill = false;
  fifo->policy.packing = scheduler::Packing::kSpread;
  fifo->policy.age_step = absl::InfiniteDuration();
  return variants;
}

std::string Summary(const std::string& name,
                    const nlohmann::ordered_json& figures) {
  const auto number = [&](const char* pointer) {
    const nlohmann::ordered_json::json_pointer at(pointer);
    return figures.contains(at) ? figures.at(at).get<double>() : 0.0;
  };
  std::string text = absl::StrFormat(
      "%s: %.0f jobs in %.0f h, utilisation %.2f %% while more is asked for, "
      "fairness %.4f over %.0f h\n",
      name, number("/jobs/finished"), number("/makespan_hours"),
      100 * number("/utilisation/in_demand"), number("/fairness/jain"),
      number("/fairness/hours"));
  for (const char* job_class : {"high", "normal", "low"}) {
    const auto wait = [&](const char* group, const char* quantile) {
      return number(
          absl::StrFormat("/wait_hours/%s/%s/%s", group, job_class, quantile)
              .c_str());
    };
    absl::StrAppendFormat(
        &text,
        "  %-6s waits, hours p50 p90 p99: at the start %8.3f %8.3f %8.3f, "
        "later %8.3f %8.3f %8.3f\n",
        job_class, wait("backlog", "p50"), wait("backlog", "p90"),
        wait("backlog", "p99"), wait("arrived", "p50"), wait("arrived", "p90"),
        wait("arrived", "p99"));
  }
  absl::StrAppendFormat(
      &text,
      "  gangs of 64 GPUs and more of class HIGH that came after 12 h wait p50 "
      "%.3f p90 %.3f max %.3f h; of 512 and more, all, p99 %.1f max %.1f h\n",
      number("/wait_hours/high_of_64_and_more/p50"),
      number("/wait_hours/high_of_64_and_more/p90"),
      number("/wait_hours/high_of_64_and_more/max"),
      number("/wait_hours/gangs_of_512_and_more/p99"),
      number("/wait_hours/gangs_of_512_and_more/max"));
  absl::StrAppendFormat(
      &text,
      "  %.0f gangs stopped for %.0f jobs, %.0f GPU-hours lost (%.3f %%); "
      "gangs split %.0f, nodes overcommitted %.0f, over quota %.0f\n",
      number("/preemption/gangs_stopped"),
      number("/preemption/jobs_made_room_for"),
      number("/preemption/lost_gpu_hours"),
      100 * number("/preemption/lost_part"),
      number("/broken_promises/gangs_split"),
      number("/broken_promises/nodes_overcommitted"),
      number("/broken_promises/over_quota"));
  absl::StrAppendFormat(
      &text,
      "  decisions %.0f, ms p50 p99 max: clock %.2f %.2f %.1f, processor %.2f "
      "%.2f %.1f\n",
      number("/decision_ms/wall/count"), number("/decision_ms/wall/p50"),
      number("/decision_ms/wall/p99"), number("/decision_ms/wall/max"),
      number("/decision_ms/cpu/p50"), number("/decision_ms/cpu/p99"),
      number("/decision_ms/cpu/max"));
  return text;
}

}  // namespace retort::simulator
