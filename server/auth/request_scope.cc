#include "server/auth/request_scope.h"

#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "core/base/status_macros.h"
#include "retort/v1/job_service.pb.h"
#include "server/base/error.h"
#include "server/base/resource_name.h"

namespace retort::auth {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

constexpr char kNamePrefix[] = "projects/";

// Text that is for people, or names something else than resources.
bool IsFreeText(const FieldDescriptor& field) {
  static const auto* const names = new std::set<std::string>{
      "display_name", "labels", "filter",     "reason", "request_id",
      "etag",         "path",   "page_token", "series"};
  if (names->count(field.name()) > 0) return true;
  // Provenance of an imported file: whoever wrote it, nothing is looked up.
  return field.message_type() != nullptr &&
         (field.message_type()->full_name() == "google.protobuf.Struct" ||
          field.message_type()->full_name() == "google.protobuf.FieldMask");
}

void Note(const std::string& text, References* found) {
  if (!absl::StartsWith(text, kNamePrefix)) return;
  const std::vector<std::string> parts = absl::StrSplit(text, '/');
  // A malformed one names a project that nobody has.
  found->projects.insert(parts[1]);
}

void Walk(const Message& message, References* found);

void WalkField(const Message& message, const FieldDescriptor* field,
               References* found) {
  const Reflection& reflection = *message.GetReflection();
  const int count =
      field->is_repeated() ? reflection.FieldSize(message, field) : 1;
  for (int i = 0; i < count; ++i) {
    if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      Walk(field->is_repeated()
               ? reflection.GetRepeatedMessage(message, field, i)
               : reflection.GetMessage(message, field),
           found);
    } else if (field->cpp_type() == FieldDescriptor::CPPTYPE_STRING) {
      Note(field->is_repeated()
               ? reflection.GetRepeatedString(message, field, i)
               : reflection.GetString(message, field),
           found);
    } else if (field->cpp_type() == FieldDescriptor::CPPTYPE_ENUM &&
               field->enum_type() == v1::Job::PriorityClass_descriptor() &&
               !field->is_repeated() &&
               reflection.GetEnumValue(message, field) ==
                   v1::Job::PRIORITY_CLASS_HIGH) {
      found->high_priority = true;
    }
  }
}

void Walk(const Message& message, References* found) {
  std::vector<const FieldDescriptor*> fields;
  message.GetReflection()->ListFields(message, &fields);
  for (const FieldDescriptor* field : fields) {
    if (field->type() == FieldDescriptor::TYPE_BYTES) continue;
    if (!IsFreeText(*field)) WalkField(message, field, found);
  }
}

// The text at the end of `path`; empty if a message on the way is not set or
// the path leads nowhere.
std::string TextAt(const Message& request, absl::string_view path) {
  const Message* message = &request;
  const std::vector<std::string> names = absl::StrSplit(path, '.');
  for (size_t i = 0; i < names.size(); ++i) {
    const FieldDescriptor* field =
        message->GetDescriptor()->FindFieldByName(names[i]);
    if (field == nullptr || field->is_repeated()) return "";
    const Reflection& reflection = *message->GetReflection();
    if (i + 1 == names.size()) {
      return field->cpp_type() == FieldDescriptor::CPPTYPE_STRING
                 ? reflection.GetString(*message, field)
                 : "";
    }
    if (field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE) return "";
    message = &reflection.GetMessage(*message, field);
  }
  return "";
}

}  // namespace

References ReferencesOf(const Message& message) {
  References found;
  Walk(message, &found);
  return found;
}

absl::StatusOr<NamedProject> ProjectOf(const Message& request,
                                       absl::string_view field) {
  NamedProject found;
  found.name = TextAt(request, field);
  const auto parent = service::ParseParent(found.name, field);
  if (parent.ok()) {
    found.project = *parent;
    return found;
  }
  const auto name = service::ParseAnyName(found.name);
  if (name.ok()) {
    found.project = name->project;
    return found;
  }
  return service::BadField(
      field, absl::StrCat("\"", found.name, "\" names nothing; a name is ",
                          "projects/{project}, or in full ",
                          "projects/{project}/{collection}/{id}"));
}

}  // namespace retort::auth
