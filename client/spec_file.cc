#include "client/spec_file.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/duration.pb.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <iostream>
#include <iterator>
#include <limits>
#include <set>

#include "absl/functional/function_ref.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "client/call_status.h"
#include "client/names.h"
#include "core/base/file.h"
#include "core/base/nearest_names.h"
#include "core/base/status_macros.h"

namespace retort::client {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::EnumDescriptor;
using google::protobuf::EnumValueDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

// Where an error is: "spec.yaml:7: spec.distill.grid_size".
class Place {
 public:
  // `lines` says whether the source is a file whose lines mean something.
  Place(const std::string& source, bool lines)
      : source_(&source), lines_(lines) {}

  Place Below(absl::string_view name) const {
    Place place = *this;
    place.path_ =
        path_.empty() ? std::string(name) : absl::StrCat(path_, ".", name);
    return place;
  }

  const std::string& path() const { return path_; }

  absl::Status Error(const YAML::Node& node, absl::string_view what) const {
    const int line = node.Mark().line;
    return SpecError(absl::StrCat(
        *source_, lines_ && line >= 0 ? absl::StrCat(":", line + 1) : "", ": ",
        path_.empty() ? "" : absl::StrCat(path_, ": "), what));
  }

 private:
  const std::string* source_;
  bool lines_;
  std::string path_;
};

std::string EnumPrefix(const EnumDescriptor& type) {
  std::string zero = type.value(0)->name();
  constexpr absl::string_view kSuffix = "UNSPECIFIED";
  if (absl::EndsWith(zero, kSuffix)) zero.resize(zero.size() - kSuffix.size());
  return zero;
}

std::string Quoted(const YAML::Node& node) {
  return node.IsScalar() ? absl::StrCat("'", node.Scalar(), "'")
                         : std::string("a list or a group of fields");
}

// Reads a whole number of the field's own range.
template <typename T>
absl::StatusOr<T> ParseInteger(const YAML::Node& node, const Place& place) {
  T value;
  if (node.IsScalar() && absl::SimpleAtoi(node.Scalar(), &value)) return value;
  return place.Error(node, absl::StrCat("must be a whole number from ",
                                        std::numeric_limits<T>::min(), " to ",
                                        std::numeric_limits<T>::max(), ", not ",
                                        Quoted(node)));
}

absl::StatusOr<double> ParseNumber(const YAML::Node& node, const Place& place) {
  double value;
  if (node.IsScalar() && absl::SimpleAtod(node.Scalar(), &value)) return value;
  return place.Error(node,
                     absl::StrCat("must be a number, not ", Quoted(node)));
}

absl::StatusOr<bool> ParseBool(const YAML::Node& node, const Place& place) {
  bool value;
  if (node.IsScalar() && YAML::convert<bool>::decode(node, value)) return value;
  return place.Error(node,
                     absl::StrCat("must be true or false, not ", Quoted(node)));
}

absl::StatusOr<int> ParseEnum(const YAML::Node& node,
                              const EnumDescriptor& type, const Place& place) {
  if (node.IsScalar()) {
    const EnumValueDescriptor* value = FindEnumValue(type, node.Scalar());
    if (value != nullptr) return value->number();
  }
  return place.Error(
      node, absl::StrCat("no such value: ", Quoted(node),
                         base::DidYouMean(node.IsScalar() ? node.Scalar() : "",
                                          ShortNames(type))));
}

absl::Status MergeMessage(const YAML::Node& node, const Place& place,
                          Message* message);

#define RETORT_STORE(Type, parse)                   \
  {                                                 \
    RETORT_ASSIGN_OR_RETURN(auto value, parse);     \
    if (field->is_repeated()) {                     \
      reflection->Add##Type(message, field, value); \
    } else {                                        \
      reflection->Set##Type(message, field, value); \
    }                                               \
    return absl::OkStatus();                        \
  }

// Sets a field, or adds one element to a repeated one.
absl::Status MergeValue(const YAML::Node& node, const FieldDescriptor* field,
                        const Place& place, Message* message) {
  const auto* reflection = message->GetReflection();
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      RETORT_STORE(Int32, ParseInteger<int32_t>(node, place))
    case FieldDescriptor::CPPTYPE_INT64:
      RETORT_STORE(Int64, ParseInteger<int64_t>(node, place))
    case FieldDescriptor::CPPTYPE_UINT32:
      RETORT_STORE(UInt32, ParseInteger<uint32_t>(node, place))
    case FieldDescriptor::CPPTYPE_UINT64:
      RETORT_STORE(UInt64, ParseInteger<uint64_t>(node, place))
    case FieldDescriptor::CPPTYPE_DOUBLE:
      RETORT_STORE(Double, ParseNumber(node, place))
    case FieldDescriptor::CPPTYPE_FLOAT:
      RETORT_STORE(Float, ParseNumber(node, place))
    case FieldDescriptor::CPPTYPE_BOOL:
      RETORT_STORE(Bool, ParseBool(node, place))
    case FieldDescriptor::CPPTYPE_ENUM:
      RETORT_STORE(EnumValue, ParseEnum(node, *field->enum_type(), place))
    case FieldDescriptor::CPPTYPE_STRING: {
      if (!node.IsScalar()) return place.Error(node, "must be a text");
      if (field->is_repeated()) {
        reflection->AddString(message, field, node.Scalar());
      } else {
        reflection->SetString(message, field, node.Scalar());
      }
      return absl::OkStatus();
    }
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return MergeMessage(node, place,
                          field->is_repeated()
                              ? reflection->AddMessage(message, field)
                              : reflection->MutableMessage(message, field));
  }
  return absl::InternalError("a field type that this build does not know");
}

#undef RETORT_STORE

// A map<string, string>.
absl::Status MergeMap(const YAML::Node& node, const FieldDescriptor* field,
                      const Place& place, Message* message) {
  if (!node.IsMap()) return place.Error(node, "must be a group of name: value");
  const Descriptor* entry_type = field->message_type();
  for (const auto& item : node) {
    Message* entry = message->GetReflection()->AddMessage(message, field);
    const Place below = place.Below(item.first.Scalar());
    RETORT_RETURN_IF_ERROR(
        MergeValue(item.first, entry_type->map_key(), below, entry));
    RETORT_RETURN_IF_ERROR(
        MergeValue(item.second, entry_type->map_value(), below, entry));
  }
  return absl::OkStatus();
}

absl::Status MergeField(const YAML::Node& node, const FieldDescriptor* field,
                        const Place& place, Message* message) {
  const auto* reflection = message->GetReflection();
  if (node.IsNull() && field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE) {
    return place.Error(node, "has no value; leave it out for its default");
  }
  if (field->is_map()) return MergeMap(node, field, place, message);
  if (field->is_repeated()) {
    if (!node.IsSequence()) {
      return place.Error(node, absl::StrCat("must be a list, such as [1, 2], "
                                            "not ",
                                            Quoted(node)));
    }
    reflection->ClearField(message, field);
    for (const YAML::Node& element : node) {
      RETORT_RETURN_IF_ERROR(MergeValue(element, field, place, message));
    }
    return absl::OkStatus();
  }
  const auto* oneof = field->real_containing_oneof();
  if (oneof != nullptr) {
    const auto* present = reflection->GetOneofFieldDescriptor(*message, oneof);
    if (present != nullptr && present != field) {
      return place.Error(node, absl::StrCat("there is '", present->name(),
                                            "' already, and only one of both "
                                            "may be given"));
    }
  }
  return MergeValue(node, field, place, message);
}

// "90s", "30m", "48h" or "1h30m"; what the JSON form prints ("259200s") too.
absl::Status ParseTime(const YAML::Node& node, const Place& place,
                       google::protobuf::Duration* duration) {
  absl::Duration parsed;
  if (!node.IsScalar() || !absl::ParseDuration(node.Scalar(), &parsed) ||
      parsed == absl::InfiniteDuration() ||
      parsed == -absl::InfiniteDuration()) {
    return place.Error(
        node, absl::StrCat("must be a time such as 90s, 30m or 48h, not ",
                           node.IsScalar() ? Quoted(node) : "a list"));
  }
  absl::Duration rest;
  duration->set_seconds(absl::IDivDuration(parsed, absl::Seconds(1), &rest));
  duration->set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(rest)));
  return absl::OkStatus();
}

// The fields that may be set: of a job not those that the server sets.
std::vector<std::string> NamesToSet(const Descriptor& type) {
  if (&type == v1::Job::descriptor()) {
    return {"spec", "display_name", "priority", "priority_class", "labels"};
  }
  std::vector<std::string> names;
  for (int i = 0; i < type.field_count(); ++i) {
    names.push_back(type.field(i)->name());
  }
  return names;
}

// Calls `visit` with the path of each field below a message's own, in groups of
// fields alone, and of alternatives within those that are chosen already.
void VisitBelow(
    const Message& message, const std::string& path,
    absl::FunctionRef<void(const FieldDescriptor&, const std::string&)> visit) {
  const auto* reflection = message.GetReflection();
  for (const std::string& name : NamesToSet(*message.GetDescriptor())) {
    const FieldDescriptor* field =
        message.GetDescriptor()->FindFieldByName(name);
    const auto* oneof = field->real_containing_oneof();
    if (oneof != nullptr && reflection->HasOneof(message, oneof) &&
        !reflection->HasField(message, field)) {
      continue;
    }
    const std::string here =
        path.empty() ? name : absl::StrCat(path, ".", name);
    visit(*field, here);
    if (field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE ||
        field->is_repeated()) {
      continue;
    }
    VisitBelow(reflection->GetMessage(message, field), here, visit);
  }
}

// The full paths of what may have been meant by an unknown field's name: one
// that is known further down, or looks like one beside it or below `spec`.
std::string WhatWasMeant(const std::string& key, const Place& place,
                         const Message& message) {
  constexpr size_t kMost = 8;
  std::vector<std::string> below;
  VisitBelow(message, place.path(),
             [&](const FieldDescriptor& field, const std::string& path) {
               if (field.name() == key) below.push_back(path);
             });
  if (!below.empty() && below.size() <= kMost) {
    return absl::StrCat("; did you mean ", absl::StrJoin(below, " or "), "?");
  }
  const std::vector<std::string> known = NamesToSet(*message.GetDescriptor());
  if (message.GetDescriptor() == v1::Job::descriptor() &&
      base::NearestNames(key, known).empty()) {
    const std::vector<std::string> near =
        base::NearestNames(key, NamesToSet(*v1::JobSpec::descriptor()));
    if (!near.empty()) {
      return absl::StrCat("; did you mean spec.", near[0], "?");
    }
  }
  return base::DidYouMean(key, known);
}

absl::Status MergeMessage(const YAML::Node& node, const Place& place,
                          Message* message) {
  if (node.IsNull()) return absl::OkStatus();
  const Descriptor* type = message->GetDescriptor();
  if (auto* duration = dynamic_cast<google::protobuf::Duration*>(message);
      duration != nullptr && !node.IsMap()) {
    return ParseTime(node, place, duration);
  }
  if (!node.IsMap()) {
    return place.Error(
        node, absl::StrCat("must be a group of fields, not ",
                           node.IsSequence() ? "a list" : Quoted(node)));
  }
  std::set<std::string> seen;
  for (const auto& item : node) {
    const std::string key =
        item.first.IsScalar() ? item.first.Scalar() : std::string("?");
    const FieldDescriptor* field = type->FindFieldByName(key);
    const Place below = place.Below(key);
    if (field == nullptr) {
      return below.Error(
          item.first,
          absl::StrCat("no such field", WhatWasMeant(key, place, *message)));
    }
    if (const auto known = NamesToSet(*type);
        std::find(known.begin(), known.end(), key) == known.end()) {
      return below.Error(
          item.first, absl::StrCat("is set by the server; leave it out (a job "
                                   "is given ",
                                   absl::StrJoin(known, ", "), ")"));
    }
    if (!seen.insert(key).second) {
      return below.Error(item.first, "is given twice");
    }
    RETORT_RETURN_IF_ERROR(MergeField(item.second, field, below, message));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> ReadText(const std::string& path) {
  if (path != "-") {
    absl::StatusOr<std::string> text = base::ReadFile(path, int64_t{16} << 20);
    if (!absl::IsNotFound(text.status())) return text;
    return absl::NotFoundError(absl::StrCat(
        text.status().message(),
        "; -f takes the path of a job file, or - for standard input"));
  }
  return std::string(std::istreambuf_iterator<char>(std::cin), {});
}

// Calls `use` with "a.b=value" as {a: {b: value}}.
absl::Status WithSetting(
    absl::string_view setting,
    absl::FunctionRef<absl::Status(const YAML::Node&, const Place&)> use) {
  const size_t equals = setting.find('=');
  if (equals == absl::string_view::npos || equals == 0) {
    return UsageError(absl::StrCat(
        "--set ", setting, ": must look like spec.distill.grid_size=18"));
  }
  const std::string source = absl::StrCat("--set ", setting);
  try {
    YAML::Node node = YAML::Load(std::string(setting.substr(equals + 1)));
    std::vector<std::string> path =
        absl::StrSplit(setting.substr(0, equals), '.');
    for (auto name = path.rbegin(); name != path.rend(); ++name) {
      YAML::Node outer(YAML::NodeType::Map);
      outer[*name] = node;
      node.reset(outer);
    }
    return use(node, Place(source, false));
  } catch (const YAML::Exception& e) {
    return SpecError(absl::StrCat(source, ": not valid YAML: ", e.msg));
  }
}

// The paths of what a valid node sets: fields, and labels one by one.
void AddPaths(const YAML::Node& node, const Descriptor& type,
              const std::string& path, google::protobuf::FieldMask* mask) {
  for (const auto& item : node) {
    const std::string key = item.first.Scalar();
    const std::string below = path.empty() ? key : absl::StrCat(path, ".", key);
    const FieldDescriptor* field = type.FindFieldByName(key);
    const bool group = item.second.IsMap() && item.second.size() > 0;
    if (group && field->is_map()) {
      for (const auto& entry : item.second) {
        mask->add_paths(absl::StrCat(below, ".", entry.first.Scalar()));
      }
    } else if (group) {
      AddPaths(item.second, *field->message_type(), below, mask);
    } else {
      mask->add_paths(below);
    }
  }
}

}  // namespace

std::string ShortEnumName(const EnumValueDescriptor& value) {
  const std::string prefix = EnumPrefix(*value.type());
  absl::string_view name = value.name();
  if (absl::StartsWith(name, prefix)) name.remove_prefix(prefix.size());
  return absl::StrReplaceAll(absl::AsciiStrToLower(name), {{"_", "-"}});
}

const EnumValueDescriptor* FindEnumValue(const EnumDescriptor& type,
                                         absl::string_view text) {
  const std::string name =
      absl::StrReplaceAll(absl::AsciiStrToUpper(text), {{"-", "_"}});
  const EnumValueDescriptor* value = type.FindValueByName(name);
  if (value != nullptr) return value;
  return type.FindValueByName(EnumPrefix(type) + name);
}

std::vector<std::string> ShortNames(const EnumDescriptor& type) {
  std::vector<std::string> known;
  for (int i = 1; i < type.value_count(); ++i) {
    known.push_back(ShortEnumName(*type.value(i)));
  }
  return known;
}

absl::Status MergeYaml(absl::string_view text, const std::string& source,
                       Message* message) {
  try {
    const std::vector<YAML::Node> documents = YAML::LoadAll(std::string(text));
    if (documents.size() > 1) {
      return SpecError(absl::StrCat(
          source, ":", documents[1].Mark().line + 1,
          ": is a second document; give one, in a file of its own"));
    }
    return MergeMessage(documents.empty() ? YAML::Node() : documents[0],
                        Place(source, true), message);
  } catch (const YAML::Exception& e) {
    return SpecError(absl::StrCat(source, ":", e.mark.line + 1,
                                  ": not valid YAML: ", e.msg));
  }
}

absl::Status ApplySetting(absl::string_view setting, Message* message) {
  return WithSetting(setting, [&](const YAML::Node& node, const Place& place) {
    return MergeMessage(node, place, message);
  });
}

absl::Status ApplyChange(absl::string_view setting, v1::Job* changes,
                         google::protobuf::FieldMask* mask) {
  return WithSetting(
      setting, [&](const YAML::Node& node, const Place& place) -> absl::Status {
        RETORT_RETURN_IF_ERROR(MergeMessage(node, place, changes));
        AddPaths(node, *v1::Job::descriptor(), "", mask);
        return absl::OkStatus();
      });
}

absl::StatusOr<v1::Job> ReadJobFile(const std::string& path,
                                    const std::vector<std::string>& settings,
                                    absl::string_view project) {
  const absl::StatusOr<std::string> text = ReadText(path);
  if (!text.ok()) return UsageError(text.status().message());
  return ParseJob(*text, path, settings, project);
}

absl::StatusOr<v1::Job> ParseJob(absl::string_view text,
                                 const std::string& source,
                                 const std::vector<std::string>& settings,
                                 absl::string_view project) {
  v1::Job job;
  RETORT_RETURN_IF_ERROR(MergeYaml(text, source, &job));
  for (const std::string& setting : settings) {
    RETORT_RETURN_IF_ERROR(ApplySetting(setting, &job));
  }
  if (job.spec().task_case() == v1::JobSpec::TASK_NOT_SET) {
    return SpecError(
        absl::StrCat(source,
                     ": spec: names no task; it needs one of train_teacher, "
                     "estimate_preconditioning, distill, evaluate"));
  }
  ExpandModelNames(project, job.mutable_spec());
  return job;
}

}  // namespace retort::client
