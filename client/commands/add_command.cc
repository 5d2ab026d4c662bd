#include "client/commands/commands.h"

namespace retort::client {

CLI::App* AddCommand(CLI::App* parent, Context* context,
                     const std::string& name, const std::string& description,
                     std::function<absl::Status()> body) {
  CLI::App* command = parent->add_subcommand(name, description);
  command->callback([context, body] { context->status = body(); });
  return command;
}

}  // namespace retort::client
