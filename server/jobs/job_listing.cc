// The part of JobStore that finds jobs: pages of a project's, those that have
// not ended, how many are in each state.
#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "server/jobs/job_schema.h"
#include "server/jobs/job_store.h"

namespace retort::jobs {
namespace {

// Jobs read at a time when a filter leaves out some.
constexpr int kRowsAtOnce = 256;

// What pages of one listing share.
std::string ListingTag(const std::string& project,
                       const std::vector<State>& states,
                       const JobFilter& filter) {
  std::string tag = absl::StrCat("jobs/", project);
  for (State state : states) absl::StrAppend(&tag, "/", int{state});
  if (!filter.empty()) absl::StrAppend(&tag, "?", filter.text());
  return tag;
}

// The states asked for that the filter leaves; nullopt: in any.
std::optional<std::vector<State>> Narrow(const std::vector<State>& states,
                                         const JobFilter& filter) {
  std::optional<std::vector<State>> left = filter.States();
  if (states.empty()) return left;
  if (!left.has_value()) return states;
  std::erase_if(*left, [&](State state) {
    return std::find(states.begin(), states.end(), state) == states.end();
  });
  return left;
}

}  // namespace

absl::StatusOr<std::vector<JobRecord>> JobStore::ReadBelow(
    const std::string& project, const std::vector<State>& states,
    int64_t before, int limit) const {
  std::string sql = absl::StrCat("SELECT ", kColumns,
                                 " FROM jobs WHERE project = ? AND seq < ?");
  std::vector<db::Value> values = {project, before};
  if (!states.empty()) {
    absl::StrAppend(&sql, " AND state IN (");
    for (size_t i = 0; i < states.size(); ++i) {
      absl::StrAppend(&sql, i == 0 ? "?" : ", ?");
      values.push_back(int{states[i]});
    }
    absl::StrAppend(&sql, ")");
  }
  absl::StrAppend(&sql, " ORDER BY seq DESC LIMIT ?");
  values.push_back(limit);
  std::vector<JobRecord> records;
  RETORT_RETURN_IF_ERROR(db_->Read([&](db::Connection& connection) {
    return connection.Query(
        sql, values, [&](const db::Row& row) -> absl::Status {
          RETORT_ASSIGN_OR_RETURN(JobRecord record, ReadRecord(row));
          records.push_back(std::move(record));
          return absl::OkStatus();
        });
  }));
  return records;
}

absl::StatusOr<JobPage> JobStore::List(const std::string& project,
                                       const std::vector<State>& states,
                                       const JobFilter& filter, int page_size,
                                       const std::string& page_token) const {
  const std::string tag = ListingTag(project, states, filter);
  RETORT_ASSIGN_OR_RETURN(const service::Page page,
                          service::ParsePage(page_size, page_token, tag));
  const auto narrowed = Narrow(states, filter);
  JobPage result;
  if (narrowed.has_value() && narrowed->empty()) return result;
  const size_t size = static_cast<size_t>(page.size);
  const int at_once = filter.empty() ? page.size + 1 : kRowsAtOnce;
  std::vector<JobRecord> found;  // one more than the page holds, if there is
  int64_t before = page.before;
  bool more = true;
  while (more && found.size() <= size) {
    RETORT_ASSIGN_OR_RETURN(
        std::vector<JobRecord> read,
        ReadBelow(project, narrowed.value_or(std::vector<State>()), before,
                  at_once));
    more = static_cast<int>(read.size()) == at_once;
    if (!read.empty()) before = read.back().seq;
    for (JobRecord& record : read) {
      if (found.size() > size) break;
      if (filter.Matches(record.job)) found.push_back(std::move(record));
    }
  }
  if (found.size() > size) {
    found.pop_back();
    result.next_page_token = service::NextPageToken(found.back().seq, tag);
  }
  for (JobRecord& record : found) {
    OverlayLive(&record.job);
    result.jobs.push_back(std::move(record.job));
  }
  return result;
}

absl::StatusOr<std::vector<JobRecord>> JobStore::ListLive() const {
  std::vector<JobRecord> records;
  RETORT_RETURN_IF_ERROR(db_->Read([&](db::Connection& connection) {
    return connection.Query(
        absl::StrCat("SELECT ", kColumns,
                     " FROM jobs WHERE state NOT IN (?, ?, ?) ORDER BY seq"),
        {int{v1::Job::STATE_SUCCEEDED}, int{v1::Job::STATE_FAILED},
         int{v1::Job::STATE_CANCELLED}},
        [&](const db::Row& row) -> absl::Status {
          RETORT_ASSIGN_OR_RETURN(JobRecord record, ReadRecord(row));
          records.push_back(std::move(record));
          return absl::OkStatus();
        });
  }));
  return records;
}

absl::StatusOr<std::map<State, int64_t>> JobStore::CountByState() const {
  std::map<State, int64_t> counts;
  for (State state : AllStates()) counts[state] = 0;
  RETORT_RETURN_IF_ERROR(db_->Read([&](db::Connection& connection) {
    return connection.Query("SELECT state, COUNT(*) FROM jobs GROUP BY state",
                            {}, [&](const db::Row& row) {
                              counts[static_cast<State>(row.Int(0))] =
                                  row.Int(1);
                              return absl::OkStatus();
                            });
  }));
  return counts;
}

}  // namespace retort::jobs
