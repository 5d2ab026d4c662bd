#include "core/io/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <limits>
#include <string>

#include "absl/strings/escaping.h"
#include "core/base/file.h"
#include "core/base/write_fault.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace retort::io {
namespace {

using ::retort::testing::IsOk;
using ::retort::testing::IsOkAndHolds;
using ::retort::testing::StatusIs;
using ::retort::testing::TempDir;
using ::testing::HasSubstr;

constexpr auto kBadTensors = absl::StatusCode::kInvalidArgument;

// What safetensors 0.8.0's Python package writes for PackageTensors().
std::string PackageBytes() {
  const std::string header =
      R"({"__metadata__":{"format":"pt"},)"
      R"("i64":{"dtype":"I64","shape":[1],"data_offsets":[0,8]},)"
      R"("scalar":{"dtype":"F64","shape":[],"data_offsets":[8,16]},)"
      R"("empty":{"dtype":"F32","shape":[2,0],"data_offsets":[16,16]},)"
      R"("f32":{"dtype":"F32","shape":[1],"data_offsets":[16,20]},)"
      R"("i32":{"dtype":"I32","shape":[1],"data_offsets":[20,24]},)"
      R"("f16":{"dtype":"F16","shape":[1],"data_offsets":[24,26]},)"
      R"("i16":{"dtype":"I16","shape":[1,2],"data_offsets":[26,30]},)"
      R"("i8":{"dtype":"I8","shape":[1],"data_offsets":[30,31]},)"
      R"("a.u8":{"dtype":"U8","shape":[3],"data_offsets":[31,34]},)"
      R"("b.bool":{"dtype":"BOOL","shape":[3],"data_offsets":[34,37]}})"
      "       ";
  return absl::HexStringToBytes("6802000000000000") + header +
         absl::HexStringToBytes(
             "fbffffffffffffff000000000000d03f0000003ffcffffff003efeff0300ff"
             "0102ff010001");
}

TensorMap PackageTensors() {
  return {{"b.bool", at::tensor({1, 0, 1}).to(at::kBool)},
          {"a.u8", at::tensor({1, 2, 255}).to(at::kByte)},
          {"i8", at::tensor({-1}).to(at::kChar)},
          {"i16", at::tensor({-2, 3}).to(at::kShort).view({1, 2})},
          {"f16", at::tensor({1.5}).to(at::kHalf)},
          {"i32", at::tensor({-4}).to(at::kInt)},
          {"f32", at::tensor({0.5}).to(at::kFloat)},
          {"scalar", at::scalar_tensor(0.25, at::kDouble)},
          {"i64", at::tensor({-5}).to(at::kLong)},
          {"empty", at::zeros({2, 0})}};
}

void ExpectSameTensors(const TensorMap& actual, const TensorMap& expected) {
  ASSERT_EQ(actual.size(), expected.size());
  for (const auto& [name, tensor] : expected) {
    ASSERT_TRUE(actual.count(name)) << name;
    EXPECT_EQ(actual.at(name).scalar_type(), tensor.scalar_type()) << name;
    EXPECT_TRUE(at::equal(actual.at(name), tensor)) << name;
  }
}

TEST(SafetensorsTest, ReadsWhatThePythonPackageWrites) {
  TempDir dir;
  ASSERT_THAT(base::AtomicWriteFile(dir / "f", PackageBytes()), IsOk());
  std::string sha256;
  RETORT_ASSERT_OK_AND_ASSIGN(const SafetensorsFile file,
                              ReadSafetensors(dir / "f", &sha256));
  ExpectSameTensors(file.tensors, PackageTensors());
  EXPECT_EQ(file.metadata.at("format"), "pt");
  EXPECT_EQ(sha256, base::Sha256Hex(PackageBytes()));
}

TEST(SafetensorsTest, WritesTheBytesThatThePythonPackageWrites) {
  TempDir dir;
  std::string sha256;
  ASSERT_THAT(WriteSafetensors(dir / "f", PackageTensors(), {{"format", "pt"}},
                               &sha256),
              IsOk());
  EXPECT_THAT(base::ReadFile(dir / "f"), IsOkAndHolds(PackageBytes()));
  EXPECT_EQ(sha256, base::Sha256Hex(PackageBytes()));
}

TEST(SafetensorsTest, KeepsEveryBitOfSpecialValues) {
  TempDir dir;
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double inf = std::numeric_limits<double>::infinity();
  const at::Tensor special = at::tensor({nan, inf, -inf, -0.0, 1e-310});
  TensorMap tensors;
  for (const auto type : {at::kDouble, at::kFloat, at::kHalf, at::kBFloat16}) {
    tensors[c10::toString(type)] = special.to(type);
  }
  ASSERT_THAT(WriteSafetensors(dir / "a", tensors), IsOk());
  RETORT_ASSERT_OK_AND_ASSIGN(const SafetensorsFile file,
                              ReadSafetensors(dir / "a"));
  ASSERT_THAT(WriteSafetensors(dir / "b", file.tensors), IsOk());
  RETORT_ASSERT_OK_AND_ASSIGN(const std::string a, base::ReadFile(dir / "a"));
  EXPECT_THAT(base::ReadFile(dir / "b"), IsOkAndHolds(a));
  EXPECT_TRUE(at::allclose(file.tensors.at("Double"), special, 0, 0,
                           /*equal_nan=*/true));
}

TEST(SafetensorsTest, RoundTripsNoTensors) {
  TempDir dir;
  ASSERT_THAT(WriteSafetensors(dir / "f", {}), IsOk());
  RETORT_ASSERT_OK_AND_ASSIGN(const SafetensorsFile file,
                              ReadSafetensors(dir / "f"));
  EXPECT_TRUE(file.tensors.empty());
}

TEST(SafetensorsTest, RoundTripsAwkwardNamesAndMetadata) {
  TempDir dir;
  const TensorMap tensors = {{"", at::zeros({1})},
                             {"quote\" \\ \n \xc3\xa9", at::ones({1})}};
  ASSERT_THAT(WriteSafetensors(dir / "f", tensors, {{"k\n", "\"v\""}}), IsOk());
  RETORT_ASSERT_OK_AND_ASSIGN(const SafetensorsFile file,
                              ReadSafetensors(dir / "f"));
  ExpectSameTensors(file.tensors, tensors);
  EXPECT_EQ(file.metadata.at("k\n"), "\"v\"");
}

TEST(SafetensorsTest, WritesStridedTensorsAndParametersInOrder) {
  TempDir dir;
  const at::Tensor base = at::arange(12).view({3, 4});
  const at::Tensor parameter = at::rand({4}).requires_grad_();
  const TensorMap tensors = {{"transposed", base.t()},
                             {"column", base.select(1, 2)},
                             {"expanded", at::ones({1}).expand({5})},
                             {"parameter", parameter}};
  ASSERT_THAT(WriteSafetensors(dir / "f", tensors), IsOk());
  RETORT_ASSERT_OK_AND_ASSIGN(const SafetensorsFile file,
                              ReadSafetensors(dir / "f"));
  ExpectSameTensors(file.tensors, tensors);
  EXPECT_FALSE(file.tensors.at("parameter").requires_grad());
}

TEST(SafetensorsTest, RefusesTensorsTheFormatCannotHold) {
  TempDir dir;
  const at::Tensor one = at::ones({1});
  EXPECT_THAT(WriteSafetensors(dir / "f", {{"x", at::Tensor()}}),
              StatusIs(kBadTensors, HasSubstr("'x' is undefined")));
  EXPECT_THAT(WriteSafetensors(dir / "f", {{"x", one.to(at::kComplexFloat)}}),
              StatusIs(kBadTensors, HasSubstr("ComplexFloat")));
  EXPECT_THAT(WriteSafetensors(dir / "f", {{"x", one.to_sparse()}}),
              StatusIs(kBadTensors, HasSubstr("sparse")));
  EXPECT_THAT(WriteSafetensors(dir / "f", {{"__metadata__", one}}),
              StatusIs(kBadTensors, HasSubstr("reserves")));
  EXPECT_THAT(WriteSafetensors(dir / "f", {{"\xff", one}}),
              StatusIs(kBadTensors, HasSubstr("UTF-8")));
  EXPECT_FALSE(base::FileExists(dir / "f"));
}

TEST(SafetensorsTest, KeepsTheOldFileWhenTheDiskFillsUp) {
  TempDir dir;
  ASSERT_THAT(WriteSafetensors(dir / "f", PackageTensors()), IsOk());
  RETORT_ASSERT_OK_AND_ASSIGN(const std::string old, base::ReadFile(dir / "f"));
  base::ScopedWriteFault full_disk(/*bytes=*/2000, ENOSPC);
  EXPECT_THAT(WriteSafetensors(dir / "f", {{"big", at::zeros({10000})}}),
              StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_THAT(base::ReadFile(dir / "f"), IsOkAndHolds(old));
}

TEST(SafetensorsTest, RefusesEveryTruncation) {
  TempDir dir;
  const std::string whole = PackageBytes();
  for (size_t size = 0; size < whole.size(); size += 11) {
    ASSERT_THAT(base::AtomicWriteFile(dir / "f", whole.substr(0, size)),
                IsOk());
    EXPECT_THAT(ReadSafetensors(dir / "f"),
                StatusIs(kBadTensors, HasSubstr(dir / "f")))
        << size;
  }
}

TEST(SafetensorsTest, RefusesAHugeHeaderLengthWithoutAllocatingIt) {
  TempDir dir;
  for (const char* length :
       {"ffffffffffffffff", "ffffffffffffff7f", "0000000001000000"}) {
    ASSERT_THAT(
        base::AtomicWriteFile(dir / "f", absl::HexStringToBytes(length) + "{}"),
        IsOk());
    EXPECT_THAT(ReadSafetensors(dir / "f"),
                StatusIs(kBadTensors, HasSubstr("announces a header of")))
        << length;
  }
}

TEST(SafetensorsTest, RefusesAHeaderAboveTheLimit) {
  TempDir dir;
  const uint64_t length = kMaxSafetensorsHeaderBytes + 8;
  std::string file(reinterpret_cast<const char*>(&length), sizeof(length));
  file += "{}";
  file.append(length, ' ');
  ASSERT_THAT(base::AtomicWriteFile(dir / "f", file), IsOk());
  EXPECT_THAT(ReadSafetensors(dir / "f"),
              StatusIs(kBadTensors, HasSubstr("are allowed")));
}

TEST(SafetensorsTest, SurvivesDamageToAnyByteOfTheHeader) {
  TempDir dir;
  const std::string whole = PackageBytes();
  for (size_t i = 0; i < 8 + 0x268; i += 3) {
    std::string damaged = whole;
    damaged[i] ^= 0x15;
    ASSERT_THAT(base::AtomicWriteFile(dir / "f", damaged), IsOk());
    const auto file = ReadSafetensors(dir / "f");
    // Some damage only renames a tensor; the rest must be refused.
    if (!file.ok()) {
      EXPECT_THAT(file, StatusIs(kBadTensors)) << i;
    }
  }
}

TEST(SafetensorsTest, RefusesBoolsThatAreNeitherTrueNorFalse) {
  TempDir dir;
  std::string bytes = PackageBytes();
  bytes.back() = 2;
  ASSERT_THAT(base::AtomicWriteFile(dir / "f", bytes), IsOk());
  EXPECT_THAT(ReadSafetensors(dir / "f"),
              StatusIs(kBadTensors, HasSubstr("'b.bool' is BOOL")));
}

TEST(SafetensorsTest, NamesAMissingFileAndRefusesADirectory) {
  TempDir dir;
  EXPECT_THAT(ReadSafetensors(dir / "none"),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr(dir / "none")));
  EXPECT_THAT(ReadSafetensors(dir.path()), StatusIs(kBadTensors));
}

}  // namespace
}  // namespace retort::io
