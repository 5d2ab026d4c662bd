#include "server/simulator/measures.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace retort::simulator {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kClassNames[] = {"low", "normal", "high"};

// Four digits are more than enough for people and for diffs.
double Short(double value) {
  if (value == 0 || !std::isfinite(value)) return value;
  const double scale =
      std::pow(10, 3 - std::floor(std::log10(std::abs(value))));
  return std::round(value * scale) / scale;
}

double Ratio(double a, double b) { return b == 0 ? 0 : Short(a / b); }

Json Waits(const std::array<Sample, 3>& waits) {
  Json json;
  for (int i = 2; i >= 0; --i) json[kClassNames[i]] = waits[i].Summary();
  return json;
}

}  // namespace

Json Sample::Summary() const {
  Json json;
  json["count"] = values_.size();
  if (values_.empty()) return json;
  std::vector<double> sorted = values_;
  std::sort(sorted.begin(), sorted.end());
  const auto quantile = [&](double q) {
    const auto at =
        static_cast<size_t>(std::ceil(q * static_cast<double>(sorted.size())));
    return Short(sorted[std::max<size_t>(at, 1) - 1]);
  };
  const double sum = std::accumulate(sorted.begin(), sorted.end(), 0.0);
  json["mean"] = Short(sum / static_cast<double>(sorted.size()));
  json["p50"] = quantile(0.5);
  json["p90"] = quantile(0.9);
  json["p99"] = quantile(0.99);
  json["max"] = Short(sorted.back());
  return json;
}

double JainIndex(const std::vector<double>& values) {
  double sum = 0, squares = 0;
  for (const double value : values) {
    sum += value;
    squares += value * value;
  }
  if (squares == 0) return 1;
  return sum * sum / (static_cast<double>(values.size()) * squares);
}

Json Measures::ToJson(const std::vector<std::string>& names,
                      const std::vector<double>& weights) const {
  Json json;
  json["jobs"] = {{"finished", finished},
                  {"unfinished", unfinished},
                  {"refused", refused},
                  {"starts", starts}};
  json["makespan_hours"] = Short(absl::ToDoubleHours(makespan));
  json["utilisation"] = {{"in_demand", Ratio(used_in_demand, there_in_demand)},
                         {"overall", Ratio(used, there)}};
  json["broken_promises"] = {
      {"gangs_split", gangs_split},
      {"nodes_overcommitted", overcommitted},
      {"over_quota", over_quota},
      {"equal_or_higher_preempted", preempted_equal_or_higher}};
  json["wait_hours"] = {{"backlog", Waits(wait_backlog)},
                        {"arrived", Waits(wait_arrived)},
                        {"gangs_of_512_and_more", wait_large.Summary()},
                        {"high_of_64_and_more", wait_urgent.Summary()}};
  const double all = std::accumulate(fair_used.begin(), fair_used.end(), 0.0);
  const double weight = std::accumulate(weights.begin(), weights.end(), 0.0);
  Json shares;
  std::vector<double> ratios;
  for (size_t i = 0; i < fair_used.size(); ++i) {
    const double due = weights[i] / weight;
    const double got = all == 0 ? 0 : fair_used[i] / all;
    ratios.push_back(got / due);
    shares[names[i]] = {{"due", Short(due)},
                        {"got", Short(got)},
                        {"got_by_due", Short(got / due)}};
  }
  json["fairness"] = {{"hours", Short(absl::ToDoubleHours(fair_time))},
                      {"jain", Short(JainIndex(ratios))},
                      {"projects", shares}};
  json["preemption"] = {{"jobs_made_room_for", preemptors},
                        {"gangs_stopped", preemptions},
                        {"lost_gpu_hours", Short(lost_to_preemption)},
                        {"lost_part", Ratio(lost_to_preemption * 3600, used)}};
  json["failures"] = {{"nodes", node_failures},
                      {"gangs", gangs_failed},
                      {"lost_gpu_hours", Short(lost_to_failures)}};
  json["decision_ms"] = {{"wall", decision_wall.Summary()},
                         {"cpu", decision_cpu.Summary()},
                         {"cpu_full_queue", decision_cpu_full_queue.Summary()}};
  Json hourly_used_short = Json::array();
  for (const double part : hourly_used) {
    hourly_used_short.push_back(std::round(part * 1000) / 1000);
  }
  json["hourly"] = {{"used", hourly_used_short}, {"waiting", hourly_waiting}};
  return json;
}

}  // namespace retort::simulator
