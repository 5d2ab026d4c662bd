#ifndef RETORT_CLIENT_COMPARISON_H_
#define RETORT_CLIENT_COMPARISON_H_

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "client/table.h"
#include "retort/v1/job_service.pb.h"

namespace retort::client {

// What evaluations found, side by side.
struct Comparison {
  struct Row {
    std::string metric;
    int steps = 0;
    // One for each job; empty where the job did not measure this.
    std::vector<std::optional<v1::EvaluationResult>> cells;
  };
  std::vector<std::string> jobs;  // short names
  std::vector<Row> rows;          // by metric, then by steps

  Table ToTable() const;
  nlohmann::json ToJson() const;
};

// Refused, saying what differs: jobs that are no evaluations or have no
// results, and results of one metric whose set-ups differ (extractor, real
// images, preprocessing, number of images, the metric's own settings), since
// such numbers say nothing about each other. Models, steps and seeds may
// differ.
absl::StatusOr<Comparison> Compare(const std::vector<v1::Job>& jobs);

}  // namespace retort::client

#endif  // RETORT_CLIENT_COMPARISON_H_
