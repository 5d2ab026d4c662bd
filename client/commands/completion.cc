#include <memory>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "client/commands/commands.h"

// Completion scripts made from the commands themselves, so that they cannot
// go out of date.
namespace retort::client {
namespace {

struct CommandWords {
  std::string path;  // "jobs submit"; "" for the root
  std::vector<std::string> words;
};

void AddOptionWords(const CLI::App& app, std::vector<std::string>* words) {
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) {
      words->push_back("--" + name);
    }
    for (const std::string& name : option->get_snames()) {
      words->push_back("-" + name);
    }
  }
}

// Lists what may follow each command, global flags included.
void CollectWords(const CLI::App& root, const CLI::App& app,
                  const std::string& path, std::vector<CommandWords>* all) {
  CommandWords entry{path, {}};
  const auto commands =
      app.get_subcommands([](const CLI::App*) { return true; });
  for (const CLI::App* command : commands) {
    entry.words.push_back(command->get_name());
  }
  AddOptionWords(app, &entry.words);
  if (&app != &root) AddOptionWords(root, &entry.words);
  const std::set<std::string> unique(entry.words.begin(), entry.words.end());
  entry.words.assign(unique.begin(), unique.end());
  all->push_back(entry);
  for (const CLI::App* command : commands) {
    CollectWords(root, *command,
                 path.empty() ? command->get_name()
                              : absl::StrCat(path, " ", command->get_name()),
                 all);
  }
}

std::string BashScript(const std::vector<CommandWords>& all) {
  std::string cases;
  for (const CommandWords& entry : all) {
    absl::StrAppend(&cases, "    \"", entry.path, "\") words=\"",
                    absl::StrJoin(entry.words, " "), "\" ;;\n");
  }
  std::vector<std::string> paths;
  for (const CommandWords& entry : all) {
    if (!entry.path.empty())
      paths.push_back(absl::StrCat("\"", entry.path, "\""));
  }
  return absl::StrReplaceAll(
      R"(_retort() {
  local path="" word words="" i try
  for ((i = 1; i < COMP_CWORD; i++)); do
    word="${COMP_WORDS[i]}"
    try="${path:+$path }$word"
    case "$try" in
      @PATHS@) path="$try" ;;
    esac
  done
  case "$path" in
@CASES@  esac
  COMPREPLY=($(compgen -W "$words" -- "${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _retort retort
)",
      {{"@PATHS@", absl::StrJoin(paths, "|")}, {"@CASES@", cases}});
}

std::string ZshScript(const std::vector<CommandWords>& all) {
  return absl::StrCat(
      "autoload -U +X compinit bashcompinit\ncompinit\n"
      "bashcompinit\n",
      BashScript(all));
}

std::string FishScript(const std::vector<CommandWords>& all) {
  std::string text = "complete -c retort -f\n";
  for (const CommandWords& entry : all) {
    const std::string condition =
        entry.path.empty()
            ? "__fish_use_subcommand"
            : absl::StrCat("__fish_seen_subcommand_from ",
                           absl::StrReplaceAll(
                               entry.path, {{" ",
                                             "; and "
                                             "__fish_seen_subcommand_from "}}));
    absl::StrAppend(&text, "complete -c retort -n '", condition, "' -a '",
                    absl::StrJoin(entry.words, " "), "'\n");
  }
  return text;
}

absl::Status PrintCompletion(const CLI::App& root, const std::string& shell) {
  std::vector<CommandWords> all;
  CollectWords(root, root, "", &all);
  const std::string text = shell == "bash"  ? BashScript(all)
                           : shell == "zsh" ? ZshScript(all)
                                            : FishScript(all);
  fputs(text.c_str(), stdout);
  return absl::OkStatus();
}

}  // namespace

void AddCompletion(CLI::App* root, Context* context) {
  auto shell = std::make_shared<std::string>();
  CLI::App* command = AddCommand(
      root, context, "completion", "Print a completion script for a shell",
      [=] { return PrintCompletion(*root, *shell); });
  command->add_option("SHELL", *shell, "bash, zsh or fish")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}));
  command->footer("Example:\n  source <(retort completion bash)");
}

}  // namespace retort::client
