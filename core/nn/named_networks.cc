#include "core/nn/named_networks.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace retort::nn {
namespace {

// Numbers that say which geometric augmentations an image has undergone.
constexpr int64_t kAugmentLabels = 9;

struct NamedConfig {
  std::string name;
  NetworkConfig config;
};

NetworkConfig Song(int64_t resolution, int64_t classes) {
  NetworkConfig c = NetworkConfig::Defaults("SongUNet");
  c.img_resolution = resolution;
  c.label_dim = classes;
  c.augment_dim = kAugmentLabels;
  if (resolution == 32) c.channel_mult = {2, 2, 2};
  c.dropout = resolution == 32 ? 0.13 : 0.05;
  return c;
}

NetworkConfig Ncsnpp(NetworkConfig c) {
  c.embedding_type = "fourier";
  c.channel_mult_noise = 2;
  c.encoder_type = "residual";
  c.resample_filter = {1, 3, 3, 1};
  return c;
}

NetworkConfig Adm() {
  NetworkConfig c = NetworkConfig::Defaults("DhariwalUNet");
  c.img_resolution = 64;
  c.label_dim = 1000;
  return c;
}

const std::vector<NamedConfig>& All() {
  static const auto* const kAll = new std::vector<NamedConfig>{
      {"ddpmpp-cifar10", Song(32, 10)},
      {"ncsnpp-cifar10", Ncsnpp(Song(32, 10))},
      {"ddpmpp-64", Song(64, 0)},
      {"ncsnpp-64", Ncsnpp(Song(64, 0))},
      {"adm-imagenet64", Adm()},
  };
  return *kAll;
}

}  // namespace

absl::StatusOr<NetworkConfig> NamedNetwork(const std::string& name) {
  for (const NamedConfig& one : All()) {
    if (one.name == name) return one.config;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("network: preset \"", name, "\" is unknown; use one of ",
                   absl::StrJoin(NetworkNames(), ", ")));
}

std::vector<std::string> NetworkNames() {
  std::vector<std::string> names;
  for (const NamedConfig& one : All()) names.push_back(one.name);
  return names;
}

}  // namespace retort::nn
