#include "server/jobs/job_filter.h"

#include <google/protobuf/descriptor.h>

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "core/base/nearest_names.h"
#include "core/base/status_macros.h"
#include "server/base/error.h"
#include "server/base/resource_name.h"
#include "server/jobs/timestamps.h"

namespace retort::jobs {
namespace {

using Op = JobFilter::Operator;
using FilterField = JobFilter::Field;
using Comparison = JobFilter::Comparison;
using google::protobuf::EnumDescriptor;

constexpr size_t kMaxFilterBytes = 4096;
constexpr char kLabelPrefix[] = "labels.";

const std::map<std::string, FilterField>& FilterFields() {
  static const auto* const fields = new std::map<std::string, FilterField>{
      {"state", FilterField::kState},
      {"task", FilterField::kTask},
      {"method", FilterField::kMethod},
      {"priority", FilterField::kPriority},
      {"priority_class", FilterField::kPriorityClass},
      {"display_name", FilterField::kDisplayName},
      {"job_id", FilterField::kJobId},
      {"labels", FilterField::kLabels},
      {"create_time", FilterField::kCreateTime}};
  return *fields;
}

bool IsText(FilterField field) {
  return field == FilterField::kDisplayName || field == FilterField::kJobId ||
         field == FilterField::kLabel || field == FilterField::kLabels;
}

bool HasOrder(FilterField field) {
  return field == FilterField::kPriority || field == FilterField::kCreateTime ||
         (IsText(field) && field != FilterField::kLabels);
}

// Names and numbers of the values of an enumeration, "" for none of them.
using Names = std::vector<std::pair<std::string, int64_t>>;

Names NamesOf(const EnumDescriptor& type, size_t prefix) {
  Names names;
  for (int i = 1; i < type.value_count(); ++i) {
    names.push_back(
        {absl::AsciiStrToLower(type.value(i)->name().substr(prefix)),
         type.value(i)->number()});
  }
  return names;
}

Names TaskNames() {
  Names names;
  const auto* task = v1::JobSpec::descriptor()->FindOneofByName("task");
  for (int i = 0; i < task->field_count(); ++i) {
    names.push_back({task->field(i)->name(), task->field(i)->number()});
  }
  return names;
}

Names NamesFor(FilterField field) {
  switch (field) {
    case FilterField::kState:
      return NamesOf(*v1::Job::State_descriptor(), sizeof("STATE_") - 1);
    case FilterField::kMethod:
      return NamesOf(*v1::DistillSpec::Method_descriptor(),
                     sizeof("METHOD_") - 1);
    case FilterField::kPriorityClass:
      return NamesOf(*v1::Job::PriorityClass_descriptor(),
                     sizeof("PRIORITY_CLASS_") - 1);
    case FilterField::kTask:
      return TaskNames();
    default:
      return {};
  }
}

bool IsWordCharacter(char c) {
  return absl::ascii_isalnum(c) || absl::StrContains("_-.+/", {&c, 1});
}

// Reads a filter from left to right.
class FilterParser {
 public:
  explicit FilterParser(absl::string_view text) : text_(text) {}

  absl::StatusOr<std::vector<Comparison>> Parse() {
    std::vector<Comparison> all;
    SkipSpaces();
    if (at_ == text_.size()) return all;
    while (true) {
      RETORT_ASSIGN_OR_RETURN(Comparison comparison, ReadComparison());
      all.push_back(std::move(comparison));
      SkipSpaces();
      if (at_ == text_.size()) return all;
      const size_t start = at_;
      const std::string word = ReadWord();
      if (word != "AND") {
        return Expected(start,
                        "AND, or the end (comparisons are joined by AND "
                        "only)");
      }
      SkipSpaces();
    }
  }

 private:
  absl::Status Error(size_t at, absl::string_view what) const {
    return service::BadField("filter",
                             absl::StrCat("at character ", at + 1, ": ", what));
  }

  absl::Status Expected(size_t at, absl::string_view what) const {
    size_t end = at;
    while (end < text_.size() && IsWordCharacter(text_[end])) ++end;
    const absl::string_view found =
        text_.substr(at, std::max<size_t>(end - at, 1));
    return Error(
        at, absl::StrCat(
                "expected ", what, ", found ",
                found.empty() ? "the end" : absl::StrCat("'", found, "'")));
  }

  void SkipSpaces() {
    while (at_ < text_.size() && absl::ascii_isspace(text_[at_])) ++at_;
  }

  std::string ReadWord() {
    const size_t start = at_;
    while (at_ < text_.size() && IsWordCharacter(text_[at_])) ++at_;
    return std::string(text_.substr(start, at_ - start));
  }

  absl::StatusOr<Comparison> ReadComparison() {
    Comparison comparison;
    RETORT_RETURN_IF_ERROR(ReadField(&comparison));
    SkipSpaces();
    RETORT_RETURN_IF_ERROR(ReadOperator(&comparison));
    SkipSpaces();
    RETORT_RETURN_IF_ERROR(ReadValue(&comparison));
    return comparison;
  }

  absl::Status ReadField(Comparison* comparison) {
    const size_t start = at_;
    const std::string word = ReadWord();
    if (word.empty()) return Expected(start, "a field");
    if (absl::StartsWith(word, kLabelPrefix)) {
      comparison->field = FilterField::kLabel;
      comparison->label = word.substr(sizeof(kLabelPrefix) - 1);
      if (!comparison->label.empty()) return absl::OkStatus();
      return Expected(at_, "the key of a label");
    }
    const auto found = FilterFields().find(word);
    if (found == FilterFields().end()) {
      std::vector<std::string> known = {"labels.KEY"};
      for (const auto& [name, unused] : FilterFields()) known.push_back(name);
      return Error(start, absl::StrCat("no such field: '", word, "'",
                                       base::DidYouMean(word, known)));
    }
    comparison->field = found->second;
    return absl::OkStatus();
  }

  absl::Status ReadOperator(Comparison* comparison) {
    const size_t start = at_;
    size_t length = 1;
    const absl::string_view rest = text_.substr(at_);
    if (absl::StartsWith(rest, "!=")) {
      comparison->op = Op::kNotEqual;
      length = 2;
    } else if (absl::StartsWith(rest, "<=") || absl::StartsWith(rest, ">=")) {
      return Error(start, "expected one of = != < > : (there is no <= or >=)");
    } else if (absl::StartsWith(rest, "=")) {
      comparison->op = Op::kEqual;
    } else if (absl::StartsWith(rest, "<")) {
      comparison->op = Op::kLess;
    } else if (absl::StartsWith(rest, ">")) {
      comparison->op = Op::kGreater;
    } else if (absl::StartsWith(rest, ":")) {
      comparison->op = Op::kHas;
    } else {
      return Expected(start, "one of = != < > :");
    }
    at_ += length;
    const bool order =
        comparison->op == Op::kLess || comparison->op == Op::kGreater;
    if (order && !HasOrder(comparison->field)) {
      return Error(start,
                   "expected one of = != : for this field, which has no "
                   "order");
    }
    if (comparison->field == FilterField::kLabels &&
        comparison->op != Op::kHas) {
      return Error(start,
                   "expected : and a key after 'labels'; the value of a "
                   "label is compared as in labels.KEY = VALUE");
    }
    return absl::OkStatus();
  }

  absl::StatusOr<std::string> ReadText() {
    const size_t start = at_;
    if (at_ < text_.size() && text_[at_] == '*') {
      ++at_;
      return std::string("*");
    }
    if (at_ == text_.size() || text_[at_] != '"') {
      std::string word = ReadWord();
      if (word.empty()) return Expected(start, "a value");
      return word;
    }
    std::string value;
    for (++at_; at_ < text_.size(); ++at_) {
      if (text_[at_] == '"') {
        ++at_;
        return value;
      }
      if (text_[at_] == '\\' && ++at_ == text_.size()) break;
      value += text_[at_];
    }
    return Error(start, "the \" that begins here is not closed");
  }

  absl::Status ReadValue(Comparison* comparison) {
    const size_t start = at_;
    const bool quoted = at_ < text_.size() && text_[at_] == '"';
    RETORT_ASSIGN_OR_RETURN(std::string text, ReadText());
    const bool star = text == "*" && !quoted;
    if (star && (comparison->op != Op::kHas || !IsText(comparison->field))) {
      return Error(start, "* goes with : and a text only");
    }
    if (IsText(comparison->field)) {
      // "" is contained in any text that is there.
      comparison->value = star ? "" : std::move(text);
      return absl::OkStatus();
    }
    if (comparison->field == FilterField::kPriority) {
      int64_t number;
      if (!absl::SimpleAtoi(text, &number)) {
        return Error(
            start, absl::StrCat("expected a whole number, found '", text, "'"));
      }
      comparison->value = number;
      return absl::OkStatus();
    }
    if (comparison->field == FilterField::kCreateTime) {
      absl::Time time;
      std::string error;
      if (!absl::ParseTime(absl::RFC3339_full, text, &time, &error) &&
          !absl::ParseTime("%Y-%m-%d", text, &time, &error) &&
          !absl::ParseTime("%Y-%m-%dT%H:%M:%E*S", text, &time, &error)) {
        return Error(start,
                     absl::StrCat("expected a time such as 2026-01-31 or "
                                  "\"2026-01-31T12:00:00Z\", found '",
                                  text, "'"));
      }
      comparison->value = time;
      return absl::OkStatus();
    }
    return ReadName(start, text, comparison);
  }

  absl::Status ReadName(size_t start, const std::string& text,
                        Comparison* comparison) {
    const std::string name =
        absl::StrReplaceAll(absl::AsciiStrToLower(text), {{"-", "_"}});
    std::vector<std::string> known;
    for (const auto& [candidate, number] : NamesFor(comparison->field)) {
      if (name == candidate || (name.size() > candidate.size() &&
                                absl::EndsWith(name, "_" + candidate) &&
                                IsFullName(comparison->field, name))) {
        comparison->value = number;
        return absl::OkStatus();
      }
      known.push_back(candidate);
    }
    return Error(start, absl::StrCat("no such value: '", text, "'",
                                     base::DidYouMean(name, known)));
  }

  static bool IsFullName(FilterField field, const std::string& name) {
    return (field == FilterField::kState && absl::StartsWith(name, "state_")) ||
           (field == FilterField::kMethod &&
            absl::StartsWith(name, "method_")) ||
           (field == FilterField::kPriorityClass &&
            absl::StartsWith(name, "priority_class_"));
  }

  const absl::string_view text_;
  size_t at_ = 0;
};

template <typename T>
bool Compare(const T& a, Op op, const T& b) {
  switch (op) {
    case Op::kNotEqual:
      return a != b;
    case Op::kLess:
      return a < b;
    case Op::kGreater:
      return a > b;
    default:
      return a == b;
  }
}

int64_t NumberOf(FilterField field, const v1::Job& job) {
  switch (field) {
    case FilterField::kState:
      return job.state();
    case FilterField::kTask:
      return job.spec().task_case();
    case FilterField::kMethod:
      return job.spec().distill().method();
    case FilterField::kPriorityClass:
      return job.priority_class() == v1::Job::PRIORITY_CLASS_UNSPECIFIED
                 ? v1::Job::PRIORITY_CLASS_NORMAL
                 : job.priority_class();
    default:
      return job.priority();
  }
}

// `text` is null where there is none.
bool TextHolds(const std::string* text, const Comparison& comparison) {
  const auto& value = std::get<std::string>(comparison.value);
  if (text == nullptr) return comparison.op == Op::kNotEqual;
  if (comparison.op == Op::kHas) return absl::StrContains(*text, value);
  return Compare(*text, comparison.op, value);
}

bool Holds(const Comparison& comparison, const v1::Job& job) {
  switch (comparison.field) {
    case FilterField::kLabels: {
      const auto& key = std::get<std::string>(comparison.value);
      return key.empty() ? !job.labels().empty() : job.labels().contains(key);
    }
    case FilterField::kLabel: {
      const auto label = job.labels().find(comparison.label);
      return TextHolds(label == job.labels().end() ? nullptr : &label->second,
                       comparison);
    }
    case FilterField::kDisplayName:
      return TextHolds(job.display_name().empty() && comparison.op == Op::kHas
                           ? nullptr
                           : &job.display_name(),
                       comparison);
    case FilterField::kJobId: {
      const std::string id = job.name().substr(job.name().rfind('/') + 1);
      return TextHolds(&id, comparison);
    }
    case FilterField::kCreateTime:
      return Compare(FromTimestamp(job.create_time()), comparison.op,
                     std::get<absl::Time>(comparison.value));
    default:
      return Compare(NumberOf(comparison.field, job), comparison.op,
                     std::get<int64_t>(comparison.value));
  }
}

}  // namespace

absl::StatusOr<JobFilter> JobFilter::Parse(absl::string_view text) {
  if (text.size() > kMaxFilterBytes) {
    return service::BadField("filter",
                             absl::StrCat("has ", text.size(),
                                          " bytes; at "
                                          "most ",
                                          kMaxFilterBytes, " are allowed"));
  }
  JobFilter filter;
  filter.text_ = std::string(text);
  RETORT_ASSIGN_OR_RETURN(filter.comparisons_, FilterParser(text).Parse());
  return filter;
}

bool JobFilter::Matches(const v1::Job& job) const {
  return std::all_of(
      comparisons_.begin(), comparisons_.end(),
      [&](const Comparison& comparison) { return Holds(comparison, job); });
}

std::optional<std::vector<State>> JobFilter::States() const {
  std::vector<State> states = AllStates();
  bool said = false;
  for (const Comparison& comparison : comparisons_) {
    if (comparison.field != FilterField::kState) continue;
    said = true;
    std::erase_if(states, [&](State state) {
      return !Compare(int64_t{state}, comparison.op,
                      std::get<int64_t>(comparison.value));
    });
  }
  if (!said) return std::nullopt;
  return states;
}

}  // namespace retort::jobs
