#include "server/base/perceptual.h"

#include "absl/strings/str_cat.h"
#include "core/nn/backbone.h"

namespace retort::service {

nlohmann::json PerceptualNetwork(
    const std::map<std::string, std::vector<int64_t>>& shapes) {
  const auto backbone = nn::RecogniseBackbone(shapes);
  if (backbone.ok()) return {{"type", *backbone}};
  const auto heads = nn::RecogniseHeads(shapes);
  if (heads.ok()) return {{"type", kHeadsType}, {"backbone", *heads}};
  return nlohmann::json::object();
}

int64_t PerceptualMinSide(const std::string& backbone, bool mean_pooling) {
  const auto net = nn::NamedBackbone(backbone);
  if (!net.ok()) return 0;
  return nn::MinSide(*net,
                     mean_pooling ? nn::Pooling::kMean : nn::Pooling::kMax);
}

std::string PerceptualBackbones() {
  const std::vector<std::string> names = nn::BackboneNames();
  std::string text = names.front();
  for (size_t i = 1; i < names.size(); ++i) {
    absl::StrAppend(&text, i + 1 < names.size() ? ", " : " or ", names[i]);
  }
  return text;
}

}  // namespace retort::service
