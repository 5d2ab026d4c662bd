#ifndef RETORT_SERVER_BASE_RESOURCE_NAME_H_
#define RETORT_SERVER_BASE_RESOURCE_NAME_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

// Names of resources: `projects/{project}/{collection}/{id}`. Every id is
// [a-z0-9-]{1,63}, neither beginning nor ending with a dash.
namespace retort::service {

inline constexpr char kJobs[] = "jobs";
inline constexpr char kModels[] = "models";
inline constexpr char kDeployments[] = "deployments";
inline constexpr char kDefaultProject[] = "default";

struct ResourceName {
  std::string project;
  std::string collection;  // kJobs, kModels or kDeployments
  std::string id;

  std::string ToString() const;
  // "projects/{project}".
  std::string Parent() const;
  // Name of the resource's folder on disk: the id, with the project before it
  // ("project.id") for all projects but the default one.
  std::string DirName() const;
};

// Parses a name of `collection`. InvalidArgument (BadRequest on `field`) for
// anything else, with the form that was expected.
absl::StatusOr<ResourceName> ParseName(absl::string_view collection,
                                       absl::string_view name,
                                       absl::string_view field = "name");

// Parses a name of any collection.
absl::StatusOr<ResourceName> ParseAnyName(absl::string_view name);

// Parses "projects/{project}" and returns the project.
absl::StatusOr<std::string> ParseParent(absl::string_view parent,
                                        absl::string_view field = "parent");

// Checks an id that a caller chose.
absl::Status ValidateId(absl::string_view id, absl::string_view field);

// Returns a fresh id: `prefix`-<8 random characters>.
std::string MakeId(absl::string_view prefix);

}  // namespace retort::service

#endif  // RETORT_SERVER_BASE_RESOURCE_NAME_H_
