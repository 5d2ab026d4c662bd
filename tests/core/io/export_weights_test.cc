#include "core/io/export_weights.h"

#include <gtest/gtest.h>

#include "core/io/import_weights.h"
#include "tests/support/edm_pickle.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace retort::io {
namespace {

using ::retort::testing::IsOk;
using ::retort::testing::StatusIs;

TEST(ExportWeightsTest, WhatIsExportedIsImported) {
  const retort::testing::TempDir dir;
  const TensorMap tensors = {{"a.weight", at::randn({3, 4}).t()},
                             {"b", at::randn({2}).to(at::kHalf)},
                             {"num_batches_tracked", at::tensor(int64_t{7})},
                             {"mask", at::arange(2).to(at::kBool)}};
  ASSERT_THAT(ExportTorchFile(dir / "a.pt", tensors), IsOk());
  RETORT_ASSERT_OK_AND_ASSIGN(const ImportedWeights imported,
                              ImportWeights(dir / "a.pt"));
  EXPECT_EQ(imported.form, "state-dict");
  ASSERT_EQ(imported.tensors.size(), tensors.size());
  for (const auto& [name, tensor] : tensors) {
    // Floats come as float32, which holds every float16.
    const at::Tensor expected =
        tensor.is_floating_point() ? tensor.to(at::kFloat) : tensor;
    EXPECT_TRUE(at::equal(imported.tensors.at(name), expected)) << name;
    EXPECT_EQ(imported.tensors.at(name).scalar_type(), expected.scalar_type());
  }
}

TEST(ExportWeightsTest, RefusesTypesThatFilesDoNotHave) {
  const retort::testing::TempDir dir;
  EXPECT_THAT(
      ExportTorchFile(dir / "a.pt", {{"z", at::zeros({1}, at::kComplexFloat)}}),
      StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace retort::io
