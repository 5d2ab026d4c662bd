#include "client/output.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "client/call_status.h"
#include "retort/v1/job_service.pb.h"

namespace retort::client {
namespace {

using ::testing::HasSubstr;

TEST(OutputTest, JsonHasTheNamesOfTheApiAndZeros) {
  v1::JobProgress progress;
  progress.set_images_per_second(2.5);
  EXPECT_THAT(ToJson(progress), HasSubstr("\"images_per_second\": 2.5"));
  EXPECT_THAT(ToJson(progress, false), HasSubstr("\"loss\":0"));
}

TEST(OutputTest, OneThingIsNotSeveral) {
  EXPECT_EQ(Counted(0, "job"), "0 jobs");
  EXPECT_EQ(Counted(1, "job"), "1 job");
  EXPECT_EQ(Counted(2, "network call"), "2 network calls");
}

TEST(OutputTest, PeriodsReadWell) {
  EXPECT_EQ(Period(absl::Seconds(4)), "4 s");
  EXPECT_EQ(Period(absl::Seconds(123)), "2 m 03 s");
  EXPECT_EQ(Period(absl::Seconds(3720)), "1 h 02 m");
  EXPECT_EQ(Period(absl::Hours(49)), "2 d 01 h");
  EXPECT_EQ(Period(absl::Seconds(-5)), "0 s");
}

TEST(OutputTest, BytesReadWell) {
  EXPECT_EQ(Bytes(17), "17 B");
  EXPECT_EQ(Bytes(1536), "1.5 KiB");
  EXPECT_EQ(Bytes(int64_t{3} << 30), "3.0 GiB");
}

TEST(OutputTest, AFileThatCannotBeWrittenIsAUsageError) {
  EXPECT_EQ(ExitCodeOf(WriteOutput("/no/such/folder/x", "x")), kExitUsage);
}

}  // namespace
}  // namespace retort::client
