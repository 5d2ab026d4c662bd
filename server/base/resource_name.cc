#include "server/base/resource_name.h"

#include <random>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "server/base/error.h"

namespace retort::service {
namespace {

constexpr char kIdForm[] =
    "1 to 63 of a-z, 0-9 and -, neither beginning nor ending with -";

bool IsId(absl::string_view id) {
  if (id.empty() || id.size() > 63 || id.front() == '-' || id.back() == '-') {
    return false;
  }
  for (char c : id) {
    if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '-') {
      return false;
    }
  }
  return true;
}

}  // namespace

std::string ResourceName::ToString() const {
  return absl::StrCat("projects/", project, "/", collection, "/", id);
}

std::string ResourceName::Parent() const {
  return absl::StrCat("projects/", project);
}

std::string ResourceName::DirName() const {
  return project == kDefaultProject ? id : absl::StrCat(project, ".", id);
}

absl::StatusOr<ResourceName> ParseName(absl::string_view collection,
                                       absl::string_view name,
                                       absl::string_view field) {
  const std::vector<absl::string_view> parts = absl::StrSplit(name, '/');
  if (parts.size() != 4 || parts[0] != "projects" || parts[2] != collection ||
      !IsId(parts[1]) || !IsId(parts[3])) {
    return BadField(
        field,
        absl::StrCat("\"", name, "\" is not of the form projects/",
                     "{project}/", collection, "/{id}, each id ", kIdForm));
  }
  return ResourceName{std::string(parts[1]), std::string(parts[2]),
                      std::string(parts[3])};
}

absl::StatusOr<ResourceName> ParseAnyName(absl::string_view name) {
  const std::vector<absl::string_view> parts = absl::StrSplit(name, '/');
  return ParseName(parts.size() == 4 ? parts[2] : "{collection}", name);
}

absl::StatusOr<std::string> ParseParent(absl::string_view parent,
                                        absl::string_view field) {
  const std::vector<absl::string_view> parts = absl::StrSplit(parent, '/');
  if (parts.size() != 2 || parts[0] != "projects" || !IsId(parts[1])) {
    return BadField(
        field, absl::StrCat("\"", parent, "\" is not of the form projects/",
                            "{project}, e.g. projects/", kDefaultProject));
  }
  return std::string(parts[1]);
}

absl::Status ValidateId(absl::string_view id, absl::string_view field) {
  if (IsId(id)) return absl::OkStatus();
  return BadField(field,
                  absl::StrCat("\"", id, "\" is no id: an id is ", kIdForm));
}

std::string MakeId(absl::string_view prefix) {
  static constexpr char kAlphabet[] = "abcdefghijkmnpqrstuvwxyz23456789";
  std::random_device random;
  std::string id = absl::StrCat(prefix, "-");
  for (int i = 0; i < 8; ++i) id.push_back(kAlphabet[random() % 32]);
  return id;
}

}  // namespace retort::service
