#include "server/base/pagination.h"

#include <gtest/gtest.h>

#include <limits>

#include "tests/support/status_matchers.h"

namespace retort::service {
namespace {

using ::retort::testing::StatusIs;

TEST(PaginationTest, BeginsAtTheNewestRowWithTheDefaultSize) {
  RETORT_ASSERT_OK_AND_ASSIGN(const Page page, ParsePage(0, "", "jobs/p"));
  EXPECT_EQ(page.size, kDefaultPageSize);
  EXPECT_EQ(page.before, std::numeric_limits<int64_t>::max());
}

TEST(PaginationTest, GoesOnWhereTheTokenSays) {
  const std::string token = NextPageToken(17, "jobs/p");
  RETORT_ASSERT_OK_AND_ASSIGN(const Page page, ParsePage(5, token, "jobs/p"));
  EXPECT_EQ(page.size, 5);
  EXPECT_EQ(page.before, 17);
}

TEST(PaginationTest, CutsALargePage) {
  RETORT_ASSERT_OK_AND_ASSIGN(const Page page, ParsePage(100000, "", "x"));
  EXPECT_EQ(page.size, kMaxPageSize);
}

TEST(PaginationTest, RefusesATokenOfAnotherListing) {
  const std::string token = NextPageToken(17, "jobs/p");
  EXPECT_THAT(ParsePage(5, token, "jobs/q"),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(ParsePage(5, "rubbish", "jobs/p"),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(ParsePage(-1, "", "jobs/p"),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace retort::service
