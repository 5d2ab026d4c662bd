#include "client/presets.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "client/call_status.h"
#include "core/base/nearest_names.h"

namespace retort::client {
namespace {

struct PresetText {
  const char* name;
  const char* text;
};

constexpr PresetText kPresetTexts[] = {
#include "preset_list.inc"
};

// "# What it is, in\n# full (more).\n" gives "What it is, in full".
std::string FirstSentence(absl::string_view text) {
  std::string sentence;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    if (!absl::ConsumePrefix(&line, "# ")) break;
    absl::StrAppend(&sentence, sentence.empty() ? "" : " ", line);
  }
  return sentence.substr(0, sentence.find_first_of("(."));
}

std::string WithoutSpaceAtEnd(std::string text) {
  while (!text.empty() && text.back() == ' ') text.pop_back();
  return text;
}

}  // namespace

const std::vector<Preset>& AllPresets() {
  static const auto* const kAll = [] {
    auto* all = new std::vector<Preset>();
    for (const PresetText& one : kPresetTexts) {
      all->push_back(
          {one.name, one.text, WithoutSpaceAtEnd(FirstSentence(one.text))});
    }
    return all;
  }();
  return *kAll;
}

absl::StatusOr<Preset> FindPreset(const std::string& name) {
  std::vector<std::string> known;
  for (const Preset& preset : AllPresets()) {
    if (preset.name == name) return preset;
    known.push_back(preset.name);
  }
  return UsageError(absl::StrCat("'", name, "': no such preset",
                                 base::DidYouMean(name, known)));
}

}  // namespace retort::client
