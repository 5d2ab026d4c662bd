#include "client/comparison.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/call_status.h"
#include "client/names.h"
#include "client/output.h"
#include "client/result_text.h"
#include "client/spec_file.h"
#include "core/base/status_macros.h"

namespace retort::client {
namespace {

// "FD" of "FD-FMNIST": extractors are told apart by the set-up, not by name.
std::string KindOf(const v1::EvaluationResult& result) {
  return result.metric().substr(0, result.metric().find('-'));
}

std::string StateOf(const v1::Job& job) {
  const auto* state =
      v1::Job::State_descriptor()->FindValueByNumber(job.state());
  return state == nullptr ? "of an unknown state" : ShortEnumName(*state);
}

absl::Status CheckEvaluation(const v1::Job& job) {
  if (job.spec().task_case() != v1::JobSpec::kEvaluate) {
    return SpecError(
        absl::StrCat(job.name(), " is no evaluation; name evaluate jobs"));
  }
  if (job.results().empty()) {
    return SpecError(absl::StrCat(job.name(), " has no results; it is ",
                                  StateOf(job),
                                  ". Compare jobs that have succeeded"));
  }
  return absl::OkStatus();
}

std::string DataText(v1::DataSpec data) {
  data.clear_path();  // content counts, and is in the set-up
  return ToJson(data, /*indented=*/false);
}

// What the specs say about why two set-ups of metric `kind` differ.
std::string Differences(const std::string& kind, const v1::EvaluateSpec& a,
                        const v1::EvaluateSpec& b) {
  std::vector<std::string> parts;
  auto add = [&parts](const char* field, const auto& x, const auto& y) {
    if (x != y) {
      parts.push_back(absl::StrCat(field, " (", x, " and ", y, ")"));
    }
  };
  add("feature_extractor", ShortName(a.feature_extractor()),
      ShortName(b.feature_extractor()));
  add("data", DataText(a.data()), DataText(b.data()));
  add("samples", a.samples(), b.samples());
  if (kind != "FD" && kind != "IS") {
    add("kept_features", a.kept_features(), b.kept_features());
  }
  if (kind == "precision" || kind == "recall") {
    add("neighbours", a.neighbours(), b.neighbours());
  }
  if (parts.empty()) {
    return "the extractor's weights or preprocessing, the content of the real "
           "images, or the version of retort-worker that measured";
  }
  return absl::StrJoin(parts, ", ");
}

// Whose set-up counts for a metric: that of the first job that has it.
struct Holder {
  const v1::Job* job = nullptr;
  std::string setup;
};

absl::Status CheckSetup(const v1::Job& job, const v1::EvaluationResult& result,
                        std::map<std::string, Holder>* holders) {
  const std::string kind = KindOf(result);
  if (result.setup().empty()) {
    return SpecError(absl::StrCat(
        job.name(), " does not say how ", result.metric(),
        " was measured: it is of an older version; evaluate again"));
  }
  const auto [found, first] =
      holders->try_emplace(kind, Holder{&job, result.setup()});
  if (first || found->second.setup == result.setup()) return absl::OkStatus();
  const v1::Job& other = *found->second.job;
  return SpecError(absl::StrCat(
      "the ", kind, " of ", ShortName(other.name()), " and of ",
      ShortName(job.name()), " cannot be compared, since they were measured ",
      "differently; what differs: ",
      Differences(kind, other.spec().evaluate(), job.spec().evaluate()),
      ". Evaluate both in the same way"));
}

}  // namespace

absl::StatusOr<Comparison> Compare(const std::vector<v1::Job>& jobs) {
  std::map<std::string, Holder> holders;
  std::vector<std::string> kinds;  // in order of appearance
  std::map<std::pair<size_t, int>, Comparison::Row> rows;
  Comparison comparison;
  for (size_t i = 0; i < jobs.size(); ++i) {
    RETORT_RETURN_IF_ERROR(CheckEvaluation(jobs[i]));
    comparison.jobs.push_back(ShortName(jobs[i].name()));
    for (const v1::EvaluationResult& result : jobs[i].results()) {
      RETORT_RETURN_IF_ERROR(CheckSetup(jobs[i], result, &holders));
      const std::string kind = KindOf(result);
      auto place = std::find(kinds.begin(), kinds.end(), kind);
      if (place == kinds.end()) place = kinds.insert(place, kind);
      const size_t metric = place - kinds.begin();
      Comparison::Row& row = rows[{metric, result.steps()}];
      if (row.metric.empty()) row.metric = result.metric();
      row.steps = result.steps();
      row.cells.resize(jobs.size());
      row.cells[i] = result;
    }
  }
  for (auto& [key, row] : rows) comparison.rows.push_back(std::move(row));
  return comparison;
}

Table Comparison::ToTable() const {
  std::vector<std::string> head = {"METRIC", "STEPS"};
  head.insert(head.end(), jobs.begin(), jobs.end());
  Table table(head);
  for (const Row& row : rows) {
    std::vector<std::string> cells = {row.metric, absl::StrCat(row.steps)};
    for (const auto& cell : row.cells) {
      cells.push_back(cell.has_value() ? ValueText(*cell) : "-");
    }
    table.Add(cells);
  }
  return table;
}

nlohmann::json Comparison::ToJson() const {
  nlohmann::json list = nlohmann::json::array();
  for (const Row& row : rows) {
    nlohmann::json cells = nlohmann::json::array();
    for (const auto& cell : row.cells) {
      cells.push_back(cell.has_value()
                          ? nlohmann::json::parse(client::ToJson(*cell, false))
                          : nlohmann::json());
    }
    list.push_back(
        {{"metric", row.metric}, {"steps", row.steps}, {"results", cells}});
  }
  return {{"jobs", jobs}, {"rows", list}};
}

}  // namespace retort::client
