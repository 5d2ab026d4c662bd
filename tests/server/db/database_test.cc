#include "server/db/database.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "core/base/status_macros.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace retort::db {
namespace {

using ::retort::testing::IsOk;
using ::retort::testing::StatusIs;
using ::testing::HasSubstr;

class DatabaseTest : public ::testing::Test {
 protected:
  void SetUp() override { Reopen(); }

  void Reopen() {
    db_.reset();
    auto opened = Database::Open(path_);
    ASSERT_THAT(opened, IsOk());
    db_ = *std::move(opened);
  }
  absl::Status Execute(const std::string& sql) {
    return db_->Write(
        [&](Connection& connection) { return connection.Execute(sql); });
  }
  int64_t Count(const std::string& table) {
    int64_t count = -1;
    EXPECT_THAT(db_->Read([&](Connection& connection) {
      return connection.Query("SELECT COUNT(*) FROM " + table, {},
                              [&](const Row& row) {
                                count = row.Int(0);
                                return absl::OkStatus();
                              });
    }),
                IsOk());
    return count;
  }

  retort::testing::TempDir dir_;
  const std::string path_ = dir_.path() + "/retort.db";
  std::unique_ptr<Database> db_;
};

TEST_F(DatabaseTest, GivesBackWhatWasBound) {
  ASSERT_THAT(Execute("CREATE TABLE t(a, b, c, d, e)"), IsOk());
  const absl::Time time = absl::FromUnixMicros(1234567);
  const std::string bytes("\0\xff", 2);
  ASSERT_THAT(db_->Write([&](Connection& connection) {
    return connection.Execute("INSERT INTO t VALUES(?, ?, ?, ?, ?)",
                              {int64_t{1} << 40, 0.25, "", Blob{bytes}, time});
  }),
              IsOk());
  ASSERT_THAT(db_->Read([&](Connection& connection) {
    return connection.Query("SELECT * FROM t", {}, [&](const Row& row) {
      EXPECT_EQ(row.Int(0), int64_t{1} << 40);
      EXPECT_EQ(row.Double(1), 0.25);
      EXPECT_EQ(row.Text(2), "");
      EXPECT_FALSE(row.IsNull(2));
      EXPECT_EQ(row.Bytes(3), bytes);
      EXPECT_EQ(row.Time(4), time);
      return absl::OkStatus();
    });
  }),
              IsOk());
}

TEST_F(DatabaseTest, RollsBackWhenTheBodyFails) {
  ASSERT_THAT(Execute("CREATE TABLE t(a)"), IsOk());
  const absl::Status status =
      db_->Write([&](Connection& connection) -> absl::Status {
        RETORT_RETURN_IF_ERROR(connection.Execute("INSERT INTO t VALUES(1)"));
        return absl::AbortedError("changed my mind");
      });
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kAborted));
  EXPECT_EQ(Count("t"), 0);
}

TEST_F(DatabaseTest, KeepsWhatWasCommittedWhenOpenedAgain) {
  ASSERT_THAT(Execute("CREATE TABLE t(a)"), IsOk());
  ASSERT_THAT(Execute("INSERT INTO t VALUES(1)"), IsOk());
  Reopen();
  EXPECT_EQ(Count("t"), 1);
}

TEST_F(DatabaseTest, RunsEachMigrationOnce) {
  ASSERT_THAT(db_->Migrate("x", {"CREATE TABLE t(a)"}), IsOk());
  ASSERT_THAT(db_->Migrate("x", {"CREATE TABLE t(a)",
                                 "ALTER TABLE t ADD b; CREATE TABLE u(a)"}),
              IsOk());
  EXPECT_EQ(Count("u"), 0);
  EXPECT_THAT(db_->Migrate("x", {"CREATE TABLE t(a)"}),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("newer retortd")));
}

TEST_F(DatabaseTest, LeavesNothingOfAMigrationThatFails) {
  EXPECT_FALSE(
      db_->Migrate("x", {"CREATE TABLE t(a)", "NO SUCH STATEMENT"}).ok());
  EXPECT_THAT(db_->Migrate("x", {"CREATE TABLE t(a)"}), IsOk());
}

TEST_F(DatabaseTest, SaysWhenAUniqueIndexRefuses) {
  ASSERT_THAT(Execute("CREATE TABLE t(a UNIQUE)"), IsOk());
  ASSERT_THAT(Execute("INSERT INTO t VALUES(1)"), IsOk());
  const absl::Status refused = Execute("INSERT INTO t VALUES(1)");
  EXPECT_THAT(refused, StatusIs(absl::StatusCode::kAlreadyExists));
  // That is no fault of the file's.
  EXPECT_FALSE(IsDatabaseError(refused));
}

TEST_F(DatabaseTest, KnowsWhatIsAFaultOfTheFile) {
  ASSERT_THAT(Execute("CREATE TABLE t(a)"), IsOk());
  ASSERT_THAT(db_->Read([](Connection& connection) {
    return connection.Execute("PRAGMA query_only = ON");
  }),
              IsOk());
  const absl::Status refused = Execute("INSERT INTO t VALUES(1)");
  EXPECT_THAT(refused, StatusIs(absl::StatusCode::kPermissionDenied));
  EXPECT_TRUE(IsDatabaseError(refused));
  EXPECT_FALSE(IsDatabaseError(absl::OkStatus()));
  EXPECT_FALSE(IsDatabaseError(absl::DataLossError("a hash is another")));
}

TEST_F(DatabaseTest, SaysWhenTheDatabaseIsFull) {
  ASSERT_THAT(Execute("CREATE TABLE t(a)"), IsOk());
  // Provokes SQLITE_FULL, as a full disk does.
  absl::Status status = db_->Read([](Connection& connection) {
    return connection.Query("PRAGMA max_page_count = 1", {},
                            [](const Row&) { return absl::OkStatus(); });
  });
  ASSERT_THAT(status, IsOk());
  for (int i = 0; i < 100 && status.ok(); ++i) {
    status = Execute("INSERT INTO t VALUES(zeroblob(10000))");
  }
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kResourceExhausted,
                               HasSubstr("free some space")));
}

TEST_F(DatabaseTest, RefusesAFileThatIsNoDatabase) {
  const std::string path = dir_.path() + "/other";
  std::ofstream(path) << std::string(4096, 'x');
  EXPECT_THAT(Database::Open(path), StatusIs(absl::StatusCode::kDataLoss));
}

}  // namespace
}  // namespace retort::db
