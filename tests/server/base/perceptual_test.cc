#include "server/base/perceptual.h"

#include <gtest/gtest.h>

namespace retort::service {
namespace {

using nlohmann::json;

TEST(PerceptualTest, TellsHeadsByTheirShapes) {
  EXPECT_EQ(PerceptualNetwork({{"lin0.model.1.weight", {1, 64, 1, 1}},
                               {"lin1.model.1.weight", {1, 192, 1, 1}},
                               {"lin2.model.1.weight", {1, 384, 1, 1}},
                               {"lin3.model.1.weight", {1, 256, 1, 1}},
                               {"lin4.model.1.weight", {1, 256, 1, 1}}}),
            (json{{"type", kHeadsType}, {"backbone", "alexnet"}}));
  EXPECT_EQ(PerceptualNetwork({{"weight", {2, 2}}}), json::object());
}

TEST(PerceptualTest, KnowsTheSmallestImagesOfItsBackbones) {
  EXPECT_EQ(PerceptualMinSide("vgg16", true), 16);
  EXPECT_EQ(PerceptualMinSide("alexnet", false), 31);
  EXPECT_EQ(PerceptualMinSide("lpips-heads", true), 0);
  EXPECT_EQ(PerceptualBackbones(), "vgg16, alexnet or squeezenet1_1");
}

}  // namespace
}  // namespace retort::service
