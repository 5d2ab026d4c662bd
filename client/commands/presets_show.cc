#include <memory>

#include "client/commands/commands.h"
#include "client/presets.h"
#include "core/base/status_macros.h"

namespace retort::client {
namespace {

absl::Status ShowPreset(const std::string& name) {
  RETORT_ASSIGN_OR_RETURN(const Preset preset, FindPreset(name));
  fputs(preset.text.c_str(), stdout);
  return absl::OkStatus();
}

}  // namespace

void AddPresetsShow(CLI::App* parent, Context* context) {
  auto name = std::make_shared<std::string>();
  CLI::App* command =
      AddCommand(parent, context, "show", "Print a preset, a job file",
                 [=] { return ShowPreset(*name); });
  command->add_option("PRESET", *name, "Name")->required();
  command->footer(
      "Example:\n  retort presets show cifar10-uncond-ctm > my-job.yaml");
}

}  // namespace retort::client
