#ifndef RETORT_SERVER_DB_DATABASE_H_
#define RETORT_SERVER_DB_DATABASE_H_

#include <cstdint>
#include <initializer_list>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

struct sqlite3;
struct sqlite3_stmt;

namespace retort::db {

// A value bound to a `?` of a statement. Text is copied by SQLite; Blob marks
// bytes that are not text.
struct Blob {
  absl::string_view bytes;
};
class Value {
 public:
  Value(int v) : v_(int64_t{v}) {}                           // NOLINT
  Value(int64_t v) : v_(v) {}                                // NOLINT
  Value(double v) : v_(v) {}                                 // NOLINT
  Value(bool v) : v_(int64_t{v}) {}                          // NOLINT
  Value(absl::string_view v) : v_(v) {}                      // NOLINT
  Value(const std::string& v) : v_(absl::string_view(v)) {}  // NOLINT
  Value(const char* v) : v_(absl::string_view(v)) {}         // NOLINT
  Value(Blob v) : v_(v) {}                                   // NOLINT
  Value(absl::Time v) : v_(absl::ToUnixMicros(v)) {}         // NOLINT
  Value(std::nullptr_t) : v_(nullptr) {}                     // NOLINT

  const auto& variant() const { return v_; }

 private:
  std::variant<std::nullptr_t, int64_t, double, absl::string_view, Blob> v_;
};

// One row of a result, valid only inside the callback that gets it. Columns
// count from 0; NULL reads as 0, "" or the epoch.
class Row {
 public:
  explicit Row(sqlite3_stmt* statement) : statement_(statement) {}
  int64_t Int(int column) const;
  double Double(int column) const;
  std::string Text(int column) const;
  std::string Bytes(int column) const { return Text(column); }
  absl::Time Time(int column) const;  // microseconds, as bound from a Time
  bool IsNull(int column) const;

 private:
  sqlite3_stmt* statement_;
};

// What a transaction's body works with. Statements are prepared once and
// kept. Errors: AlreadyExists (a unique index refused), ResourceExhausted
// (disk or database full, with the remedy), DataLoss (damaged file, or the disk
// does not read or write), PermissionDenied (may not be opened or written),
// Unavailable (locked by another process), Internal for the rest.
class Connection {
 public:
  using Values = std::initializer_list<Value>;

  // Runs a statement that returns no rows.
  absl::Status Execute(absl::string_view sql, Values values = {});
  absl::Status Execute(absl::string_view sql, const std::vector<Value>& values);

  // Calls `row` for each row, in order, until it returns an error, which
  // becomes the result.
  absl::Status Query(absl::string_view sql, Values values,
                     absl::FunctionRef<absl::Status(const Row&)> row);
  absl::Status Query(absl::string_view sql, const std::vector<Value>& values,
                     absl::FunctionRef<absl::Status(const Row&)> row);

  // Rows changed by the last Execute; rowid of the last INSERT.
  int64_t Changes() const;
  int64_t LastInsertId() const;

 private:
  friend class Database;
  Connection() = default;
  absl::Status Run(absl::string_view sql, const Value* values, size_t count,
                   absl::FunctionRef<absl::Status(const Row&)> row);
  absl::StatusOr<sqlite3_stmt*> Prepare(absl::string_view sql);

  sqlite3* handle_ = nullptr;
  std::map<std::string, sqlite3_stmt*, std::less<>> statements_;
};

// The file cannot be read or written, now at least: an error of this folder
// that says nothing of what was to be stored.
bool IsDatabaseError(const absl::Status& status);

// The service's SQLite file: write-ahead log, synchronous=FULL, foreign keys
// on. What Write committed survives a crash of the process and of the machine.
//
//   RETORT_RETURN_IF_ERROR(db->Migrate("jobs", kMigrations));
//   absl::Status s = db->Write([&](db::Connection& c) -> absl::Status {
//     RETORT_RETURN_IF_ERROR(c.Execute("INSERT INTO t VALUES(?, ?)", {1, s}));
//     return c.Execute("DELETE FROM u WHERE id = ?", {id});
//   });
//
// Thread-safe: transactions run one after another. A body must be short, must
// not call the Database again and must not call back into anything that might.
class Database {
 public:
  // Opens or creates the file. DataLoss if it is no database, PermissionDenied,
  // ResourceExhausted as above.
  static absl::StatusOr<std::unique_ptr<Database>> Open(
      const std::string& path);
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  // Brings the tables of `component` up to date: migrations[i] (any number of
  // statements) is run once ever, in order, and remembered.
  // FailedPrecondition if the file was written by a newer build.
  absl::Status Migrate(absl::string_view component,
                       const std::vector<std::string>& migrations);

  // Runs `body` in a transaction and commits it if it returns OK, else rolls
  // it back and returns its error.
  absl::Status Write(absl::FunctionRef<absl::Status(Connection&)> body)
      ABSL_LOCKS_EXCLUDED(mutex_);

  // Runs a body that only reads, in one consistent snapshot.
  absl::Status Read(absl::FunctionRef<absl::Status(Connection&)> body)
      ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  Database() = default;
  absl::Status Transact(absl::string_view begin,
                        absl::FunctionRef<absl::Status(Connection&)> body)
      ABSL_LOCKS_EXCLUDED(mutex_);

  absl::Mutex mutex_;
  Connection connection_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace retort::db

#endif  // RETORT_SERVER_DB_DATABASE_H_
