#include "core/io/torch_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/io/edm_module.h"
#include "core/io/weights_file.h"
#include "tests/support/edm_pickle.h"
#include "tests/support/pickle_builder.h"
#include "tests/support/status_matchers.h"
#include "tests/support/zip_builder.h"

namespace retort::io {
namespace {

using ::retort::testing::AppendView;
using ::retort::testing::EdmModule;
using ::retort::testing::EdmSnapshot;
using ::retort::testing::PickleBuilder;
using ::retort::testing::RawTensor;
using ::retort::testing::RawTensors;
using ::retort::testing::StatusIs;
using ::retort::testing::StorageStream;
using ::retort::testing::ZipBuilder;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Json = nlohmann::json;

constexpr auto kBadTorch = absl::StatusCode::kInvalidArgument;

std::string Floats(const std::vector<float>& values) {
  return std::string(reinterpret_cast<const char*>(values.data()),
                     values.size() * sizeof(float));
}

// The weights of a file with their values, or what is wrong with it.
struct Found {
  StoredWeights::Form form;
  Json network;
  std::map<std::string, std::vector<float>> values;
};
absl::StatusOr<Found> Find(const std::string& bytes) {
  const auto file = TorchFile::Parse(bytes);
  if (!file.ok()) return file.status();
  const auto weights = FindWeights(file->get(), bytes.size());
  if (!weights.ok()) return weights.status();
  Found found{weights->form, weights->network, {}};
  for (const NamedTensor& named : weights->tensors) {
    std::vector<float>& values = found.values[named.name];
    values.resize(named.tensor.Elements());
    CopyElements(named.tensor, reinterpret_cast<char*>(values.data()));
  }
  return found;
}

// A dict with one tensor, whose storage stands in the zip file.
std::string ZipPickle(const std::string& key, int64_t elements) {
  return PickleBuilder()
      .Raw("}(")
      .Text("w")
      .Global("torch._utils", "_rebuild_tensor_v2")
      .Raw("((")
      .Text("storage")
      .Global("torch", "FloatStorage")
      .Text(key)
      .Text("cpu")
      .Int(elements)
      .Raw("tQ")
      .Int(0)
      .Ints(std::vector<int64_t>{2})
      .Ints(std::vector<int64_t>{1})
      .Op('\x89')
      .Global("collections", "OrderedDict")
      .Raw(")RtRu")
      .Build();
}

TEST(TorchZipTest, ReadsAStateDict) {
  RETORT_ASSERT_OK_AND_ASSIGN(const Found found,
                              Find(ZipBuilder()
                                       .Add("x/data.pkl", ZipPickle("0", 2))
                                       .Add("x/byteorder", "little")
                                       .Add("x/data/0", Floats({1, 2}))
                                       .Build()));
  EXPECT_EQ(found.form, StoredWeights::Form::kStateDict);
  EXPECT_TRUE(found.network.is_null());
  EXPECT_THAT(found.values.at("w"), ElementsAre(1, 2));
}

TEST(TorchZipTest, RefusesWhatDoesNotBelongTogether) {
  const std::string pickle = ZipPickle("0", 2);
  const std::string data = Floats({1, 2});
  EXPECT_THAT(Find(ZipBuilder().Add("x/data.pkl", pickle).Build()),
              StatusIs(kBadTorch, HasSubstr("lacks the storage '0'")));
  EXPECT_THAT(Find(ZipBuilder()
                       .Add("x/data.pkl", pickle)
                       .Add("x/data/0", Floats({1, 2, 3}))
                       .Build()),
              StatusIs(kBadTorch, HasSubstr("12 bytes")));
  EXPECT_THAT(Find(ZipBuilder()
                       .Add("x/data.pkl", pickle)
                       .Add("x/data/0", data)
                       .Add("x/byteorder", "big")
                       .Build()),
              StatusIs(kBadTorch, HasSubstr("little-endian")));
  EXPECT_THAT(Find(ZipBuilder()
                       .Add("x/data.pkl", pickle)
                       .Add("y/data.pkl", pickle)
                       .Build()),
              StatusIs(kBadTorch, HasSubstr("two data.pkl")));
  EXPECT_THAT(Find(ZipBuilder().Add("a.png", "1").Build()),
              StatusIs(kBadTorch, HasSubstr("no data.pkl")));
}

TEST(TorchZipTest, SaysThatATorchScriptModuleIsOne) {
  // Its code is compressed, and it has a data.pkl too.
  EXPECT_THAT(Find(ZipBuilder()
                       .Add("m/code/__torch__.py", std::string(300, 'c'), true)
                       .Add("m/constants.pkl", "\x80\x02).")
                       .Add("m/data.pkl", "\x80\x02).")
                       .Build()),
              StatusIs(kBadTorch, HasSubstr("is a TorchScript module")));
}

TEST(TorchStreamTest, ReadsAndChecksTheFormBeforeZip) {
  const std::string stream = StorageStream(Floats({1, 2}));
  // A whole file of it: no state dict, but a storage by itself.
  EXPECT_THAT(Find(stream), StatusIs(kBadTorch, HasSubstr("no dict at all")));
  for (size_t bytes = 0; bytes < stream.size(); ++bytes) {
    EXPECT_FALSE(TorchFile::Parse(stream.substr(0, bytes)).ok()) << bytes;
  }
  EXPECT_THAT(TorchFile::Parse(stream + "x"),
              StatusIs(kBadTorch, HasSubstr("behind its end")));
}

TEST(TorchFileTest, RefusesFilesThatAreNone) {
  EXPECT_THAT(Find(""), StatusIs(kBadTorch, HasSubstr("empty")));
  EXPECT_THAT(Find("hello"), StatusIs(kBadTorch));
  EXPECT_THAT(Find("PK\x03\x04"), StatusIs(kBadTorch, HasSubstr("zip")));
  EXPECT_THAT(Find(PickleBuilder().Value({{"other", 1}}).Build()),
              StatusIs(kBadTorch, HasSubstr("a dict with other")));
  EXPECT_THAT(Find(PickleBuilder().Value({{"ema", {1}}}).Build()),
              StatusIs(kBadTorch, HasSubstr("persistence")));
  EXPECT_THAT(Find(PickleBuilder().Value({{"w", 1}}).Build() + "more"),
              StatusIs(kBadTorch, HasSubstr("4 bytes behind")));
}

// A state dict with one view of a storage of four floats.
absl::StatusOr<Found> FindView(int64_t offset,
                               const std::vector<int64_t>& sizes,
                               const std::vector<int64_t>& strides) {
  PickleBuilder pickle;
  pickle.Raw("}(").Text("w");
  AppendView(&pickle, Floats({0, 1, 2, 3}), offset, sizes, strides);
  return Find(pickle.Op('u').Build());
}

TEST(TorchTensorTest, ReadsViews) {
  EXPECT_THAT(FindView(0, {2, 2}, {1, 2})->values.at("w"),
              ElementsAre(0, 2, 1, 3));
  EXPECT_THAT(FindView(3, {1}, {1})->values.at("w"), ElementsAre(3));
  EXPECT_THAT(FindView(1, {2, 0}, {1, 1})->values.at("w"), ElementsAre());
}

TEST(TorchTensorTest, RefusesViewsThatLeaveTheirStorage) {
  const int64_t large = int64_t{1} << 33, most = INT64_MAX;
  const auto bad = [](int64_t offset, const std::vector<int64_t>& sizes,
                      const std::vector<int64_t>& strides) {
    EXPECT_THAT(FindView(offset, sizes, strides),
                StatusIs(kBadTorch, HasSubstr("'w'")));
  };
  bad(0, {1048576, 1048576}, {1048576, 1});
  bad(0, {2, 2}, {1000, 1});
  bad(0, {-1, 4}, {4, 1});
  bad(0, {2}, {-1});
  bad(-1, {2}, {1});
  bad(3, {4}, {1});
  bad(most, {2}, {most});
  bad(0, {large, large, 4}, {4, 4, 1});
  bad(0, {5}, {0});  // more elements than the storage has
  bad(0, {2, 2}, {1});
  bad(5, {0}, {1});
  bad(0, std::vector<int64_t>(40, 1), std::vector<int64_t>(40, 1));
}

TEST(TorchTensorTest, AFileThatBecomesFarLargerIsRefused) {
  // One storage of 64 KiB, a hundred names for it.
  const std::string bytes(1 << 16, '\0');
  PickleBuilder pickle;
  pickle.Raw("}(").Text("0");
  AppendView(&pickle, bytes, 0, {1 << 14}, {1});
  pickle.Raw("q\x01");
  for (int i = 1; i < 100; ++i) {
    pickle.Text(std::to_string(i)).Raw("h\x01");
  }
  EXPECT_THAT(Find(pickle.Op('u').Build()),
              StatusIs(kBadTorch, HasSubstr("overlap so much")));
}

Json Arguments() {
  return {{"img_resolution", 16},
          {"img_channels", 3},
          {"use_fp16", true},
          {"sigma_max", 80.5},
          {"model_type", "SongUNet"}};
}

RawTensors Tensors() {
  return {{"model.enc.16x16_conv.weight", {{1, 2}, Floats({1, 2})}},
          {"model.enc.16x16_conv.resample_filter", {{1}, Floats({3})}},
          {"model.map_layer0.bias", {{1}, Floats({4})}}};
}

TEST(EdmModuleTest, ReadsASnapshotsNetworkAndConfiguration) {
  RETORT_ASSERT_OK_AND_ASSIGN(const Found found,
                              Find(EdmSnapshot(Arguments(), Tensors())));
  EXPECT_EQ(found.form, StoredWeights::Form::kEdmSnapshot);
  // What decides no weight is left out.
  EXPECT_EQ(found.network, Json({{"img_resolution", 16},
                                 {"img_channels", 3},
                                 {"model_type", "SongUNet"}}));
  ASSERT_EQ(found.values.size(), 3);
  EXPECT_THAT(found.values.at("model.enc.16x16_conv.weight"),
              ElementsAre(1, 2));
  EXPECT_THAT(found.values.at("model.enc.16x16_conv.resample_filter"),
              ElementsAre(3));
}

TEST(EdmModuleTest, ReadsTheNetworkOfATrainingState) {
  RETORT_ASSERT_OK_AND_ASSIGN(const Found found,
                              Find(EdmSnapshot(Arguments(), Tensors(), "net")));
  EXPECT_EQ(found.form, StoredWeights::Form::kEdmTrainingState);
  EXPECT_EQ(found.values.size(), 3);
}

// A snapshot whose root is as told.
std::string SnapshotOf(const std::string& class_name, int version) {
  EdmModule root;
  root.Add("w", {{1}, Floats({1})});
  PickleBuilder pickle;
  pickle.Raw("}(").Text("ema");
  root.Append(&pickle, class_name, Arguments(), version);
  return pickle.Op('u').Build();
}

TEST(EdmModuleTest, RefusesOtherClassesAndVersions) {
  EXPECT_TRUE(Find(SnapshotOf("EDMPrecond", 6)).ok());
  EXPECT_THAT(Find(SnapshotOf("VPPrecond", 6)),
              StatusIs(kBadTorch, HasSubstr("only EDMPrecond is known")));
  EXPECT_THAT(Find(SnapshotOf("EDMPrecond", 99)),
              StatusIs(kBadTorch, HasSubstr("version 99")));
}

TEST(EdmModuleTest, RefusesAModuleThatHoldsItself) {
  PickleBuilder pickle;
  pickle.Raw("}(").Text("ema");
  pickle.Global("torch_utils.persistence", "_reconstruct_persistent_obj");
  pickle.Raw("(}(").Text("type").Text("class").Text("version").Int(6);
  pickle.Text("class_name").Text("EDMPrecond").Text("state");
  pickle.Raw("}(").Text("_init_kwargs").Raw("}");
  pickle.Text("_parameters").Raw("}").Text("_buffers").Raw("}");
  // A container as its own child.
  pickle.Text("_modules").Raw("}(").Text("a");
  pickle.Global("torch.nn.modules.container", "ModuleDict");
  pickle.Raw(")\x81q\x01}(").Text("_parameters").Raw("}");
  pickle.Text("_buffers").Raw("}").Text("_modules").Raw("}(");
  pickle.Text("a").Raw(
      "h\x01uubuu"
      "utRu");
  EXPECT_THAT(Find(pickle.Build()), StatusIs(kBadTorch, HasSubstr("deeper")));
}

TEST(EdmModuleTest, ACutOffSnapshotIsAnErrorWhereverItIsCut) {
  const std::string whole = EdmSnapshot(Arguments(), Tensors());
  for (size_t bytes = 0; bytes < whole.size(); ++bytes) {
    EXPECT_FALSE(Find(whole.substr(0, bytes)).ok()) << bytes;
  }
}

TEST(EdmModuleTest, ASnapshotWithAnyByteChangedNeverCrashes) {
  const std::string whole = EdmSnapshot(Arguments(), Tensors());
  int read = 0;
  for (size_t at = 0; at < whole.size(); ++at) {
    for (const char flip : {'\x01', '\x80', '\xff'}) {
      std::string bytes = whole;
      bytes[at] ^= flip;
      read += Find(bytes).ok() ? 1 : 0;
    }
  }
  EXPECT_GT(read, 0);  // a changed weight is a weight
}

}  // namespace
}  // namespace retort::io
