#ifndef RETORT_CLIENT_PRESETS_H_
#define RETORT_CLIENT_PRESETS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace retort::client {

// A job file that is part of the program: the paper's configurations, from
// scripts/recipes/paper/.
struct Preset {
  std::string name;         // "cifar10-uncond-ctm", the file's name
  std::string text;         // YAML
  std::string description;  // the first sentence of its first comment
};

// All presets by name.
const std::vector<Preset>& AllPresets();

// Exit code 2, with the nearest names, for a name that no preset has.
absl::StatusOr<Preset> FindPreset(const std::string& name);

}  // namespace retort::client

#endif  // RETORT_CLIENT_PRESETS_H_
