#include "core/base/sha256.h"

#include <gtest/gtest.h>

#include <string>

namespace retort::base {
namespace {

// Examples of FIPS 180-4's companion page.
TEST(Sha256Test, MatchesPublishedDigests) {
  EXPECT_EQ(Sha256Hex(""),
            "e3b0c44298fc1c149afbf4c8996fb924"
            "27ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(Sha256Hex("abc"),
            "ba7816bf8f01cfea414140de5dae2223"
            "b00361a396177a9cb410ff61f20015ad");
}

TEST(Sha256Test, DoesNotDependOnHowTheMessageIsCut) {
  const std::string message(1000, 'x');
  Sha256 hash;
  hash.Update(absl::string_view(message).substr(0, 63));
  hash.Update("");
  hash.Update(absl::string_view(message).substr(63));
  EXPECT_EQ(hash.HexDigest(), Sha256Hex(message));
}

TEST(Sha256DeathTest, RefusesToBeUsedAfterItsEnd) {
  Sha256 hash;
  hash.HexDigest();
  EXPECT_DEATH(hash.Update("more"), "the hash is finished");
}

}  // namespace
}  // namespace retort::base
