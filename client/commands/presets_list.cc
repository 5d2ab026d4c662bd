#include <nlohmann/json.hpp>

#include "client/commands/commands.h"
#include "client/presets.h"
#include "client/table.h"

namespace retort::client {
namespace {

absl::Status ListPresets(Context* context) {
  if (context->options.json) {
    nlohmann::json list = nlohmann::json::array();
    for (const Preset& preset : AllPresets()) {
      list.push_back(
          {{"name", preset.name}, {"description", preset.description}});
    }
    puts(nlohmann::json{{"presets", list}}.dump(2).c_str());
    return absl::OkStatus();
  }
  Table table({"PRESET", "WHAT IT IS"});
  for (const Preset& preset : AllPresets()) {
    table.Add({preset.name, preset.description});
  }
  table.Print();
  return absl::OkStatus();
}

}  // namespace

void AddPresetsList(CLI::App* parent, Context* context) {
  CLI::App* command = AddCommand(parent, context, "list", "List the presets",
                                 [=] { return ListPresets(context); });
  command->footer("Example:\n  retort presets list --json");
}

}  // namespace retort::client
