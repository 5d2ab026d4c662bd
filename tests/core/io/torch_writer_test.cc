#include "core/io/torch_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/file.h"
#include "core/io/torch_file.h"
#include "core/io/weights_file.h"
#include "core/io/zip_archive.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace retort::io {
namespace {

using ::retort::testing::IsOk;
using ::retort::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class TorchWriterTest : public ::testing::Test {
 protected:
  std::string Write(const std::vector<NamedTensor>& tensors) {
    const std::string path = dir_ / "a.pt";
    EXPECT_THAT(WriteTorchFile(path, tensors), IsOk());
    return *base::ReadFile(path, 1 << 20);
  }
  retort::testing::TempDir dir_;
};

std::string Elements(const StoredTensor& tensor) {
  std::string bytes(tensor.Elements() * ElementBytes(tensor.dtype), '\0');
  CopyElements(tensor, bytes.data());
  return bytes;
}

TEST_F(TorchWriterTest, EveryTypeComesBackWithItsNameShapeAndBytes) {
  std::vector<NamedTensor> tensors;
  const std::string bytes(6 * 8, 'v');
  for (int i = 0; i <= static_cast<int>(StoredDtype::kBool); ++i) {
    const auto dtype = static_cast<StoredDtype>(i);
    const absl::string_view storage =
        absl::string_view(bytes).substr(0, 6 * ElementBytes(dtype));
    tensors.push_back({"layer." + std::to_string(i) + ".weight",
                       {dtype, storage, 0, {2, 3}, {3, 1}}});
  }
  const std::string file = Write(tensors);
  RETORT_ASSERT_OK_AND_ASSIGN(const auto torch, TorchFile::Parse(file));
  RETORT_ASSERT_OK_AND_ASSIGN(const StoredWeights weights,
                              FindWeights(torch.get(), file.size()));
  EXPECT_EQ(weights.form, StoredWeights::Form::kStateDict);
  ASSERT_EQ(weights.tensors.size(), tensors.size());
  for (size_t i = 0; i < tensors.size(); ++i) {
    EXPECT_EQ(weights.tensors[i].name, tensors[i].name);
    EXPECT_EQ(weights.tensors[i].tensor.dtype, tensors[i].tensor.dtype);
    EXPECT_THAT(weights.tensors[i].tensor.sizes, ElementsAre(2, 3));
    EXPECT_EQ(Elements(weights.tensors[i].tensor), tensors[i].tensor.storage);
  }
}

TEST_F(TorchWriterTest, AScalarAnEmptyTensorAndATransposedOneComeBack) {
  const std::string bytes = "abcdef";
  const std::string file =
      Write({{"scalar", {StoredDtype::kUint8, bytes, 2, {}, {}}},
             {"empty", {StoredDtype::kUint8, bytes, 0, {3, 0, 2}, {2, 2, 1}}},
             {"turned", {StoredDtype::kUint8, bytes, 0, {3, 2}, {1, 3}}}});
  RETORT_ASSERT_OK_AND_ASSIGN(const auto torch, TorchFile::Parse(file));
  RETORT_ASSERT_OK_AND_ASSIGN(const StoredWeights weights,
                              FindWeights(torch.get(), file.size()));
  EXPECT_EQ(Elements(weights.tensors[0].tensor), "c");
  EXPECT_THAT(weights.tensors[1].tensor.sizes, ElementsAre(3, 0, 2));
  EXPECT_EQ(Elements(weights.tensors[2].tensor), "adbecf");
}

TEST_F(TorchWriterTest, TheArchiveHasWhatTorchLoadLooksFor) {
  const std::string file =
      Write({{"w", {StoredDtype::kUint8, "ab", 0, {2}, {1}}}});
  RETORT_ASSERT_OK_AND_ASSIGN(const auto entries, ReadZip(file));
  EXPECT_EQ(entries.at("archive/byteorder"), "little");
  EXPECT_EQ(entries.at("archive/version"), "3\n");
  EXPECT_EQ(entries.at("archive/data/0"), "ab");
  // Protocol 2, an empty dict, and the names that weights_only allows.
  const std::string pickle(entries.at("archive/data.pkl"));
  EXPECT_EQ(pickle.substr(0, 4), "\x80\x02}(");
  EXPECT_THAT(pickle, HasSubstr("ctorch._utils\n_rebuild_tensor_v2\n"));
  EXPECT_THAT(pickle, HasSubstr("ctorch\nByteStorage\n"));
}

TEST_F(TorchWriterTest, AViewThatLeavesItsStorageIsRefused) {
  EXPECT_THAT(WriteTorchFile(dir_ / "b.pt",
                             {{"w", {StoredDtype::kUint8, "ab", 0, {3}, {1}}}}),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_FALSE(base::FileExists(dir_ / "b.pt"));
}

}  // namespace
}  // namespace retort::io
