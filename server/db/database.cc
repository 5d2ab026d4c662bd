#include "server/db/database.h"

#include <sqlite3.h>

#include <cerrno>
#include <optional>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/base/file.h"
#include "core/base/status_macros.h"

namespace retort::db {
namespace {

constexpr int kBusyTimeoutMs = 5000;
// How the message of each error begins.
constexpr char kPrefix[] = "database: ";

absl::Status SqliteStatus(sqlite3* handle, int code, absl::string_view what) {
  const char* detail =
      handle != nullptr ? sqlite3_errmsg(handle) : sqlite3_errstr(code);
  const std::string message = absl::StrCat(kPrefix, what, ": ", detail);
  const char* path =
      handle != nullptr ? sqlite3_db_filename(handle, "main") : nullptr;
  switch (code & 0xff) {
    case SQLITE_CONSTRAINT:
      return absl::AlreadyExistsError(message);
    case SQLITE_FULL:
      return absl::ResourceExhaustedError(absl::StrCat(
          message, "; free some space where ", path ? path : "it",
          " lies (delete ended jobs or unused models) and try again"));
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return absl::UnavailableError(message);
    case SQLITE_NOTADB:
    case SQLITE_CORRUPT:
      return absl::DataLossError(absl::StrCat(
          message, "; restore ", path ? path : "it", " from a backup"));
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
    case SQLITE_READONLY:
      return absl::PermissionDeniedError(message);
    case SQLITE_IOERR: {
      const int error = handle ? sqlite3_system_errno(handle) : 0;
      if (error == ENOSPC || error == EDQUOT || error == EFBIG) {
        return base::ErrnoStatus(error, message, path ? path : "");
      }
      return absl::DataLossError(message);
    }
    default:
      return absl::InternalError(message);
  }
}

int Bind(sqlite3_stmt* statement, int index, const Value& value) {
  struct Visitor {
    sqlite3_stmt* statement;
    int index;
    int operator()(std::nullptr_t) const {
      return sqlite3_bind_null(statement, index);
    }
    int operator()(int64_t v) const {
      return sqlite3_bind_int64(statement, index, v);
    }
    int operator()(double v) const {
      return sqlite3_bind_double(statement, index, v);
    }
    int operator()(absl::string_view v) const {
      return sqlite3_bind_text64(statement, index, v.data() ? v.data() : "",
                                 v.size(), SQLITE_TRANSIENT, SQLITE_UTF8);
    }
    int operator()(Blob v) const {
      return sqlite3_bind_blob64(statement, index,
                                 v.bytes.data() ? v.bytes.data() : "",
                                 v.bytes.size(), SQLITE_TRANSIENT);
    }
  };
  return std::visit(Visitor{statement, index}, value.variant());
}

absl::Status ExecuteScript(sqlite3* handle, const std::string& sql) {
  const int code = sqlite3_exec(handle, sql.c_str(), nullptr, nullptr, nullptr);
  if (code == SQLITE_OK) return absl::OkStatus();
  return SqliteStatus(handle, code, absl::StrCat("running ", sql));
}

absl::Status NoRow(const Row&) { return absl::OkStatus(); }

}  // namespace

int64_t Row::Int(int column) const {
  return sqlite3_column_int64(statement_, column);
}

double Row::Double(int column) const {
  return sqlite3_column_double(statement_, column);
}

std::string Row::Text(int column) const {
  const void* bytes = sqlite3_column_blob(statement_, column);
  const int size = sqlite3_column_bytes(statement_, column);
  return bytes == nullptr ? std::string()
                          : std::string(static_cast<const char*>(bytes), size);
}

absl::Time Row::Time(int column) const {
  return absl::FromUnixMicros(Int(column));
}

bool Row::IsNull(int column) const {
  return sqlite3_column_type(statement_, column) == SQLITE_NULL;
}

absl::Status Connection::Execute(absl::string_view sql, Values values) {
  return Run(sql, values.begin(), values.size(), NoRow);
}

absl::Status Connection::Execute(absl::string_view sql,
                                 const std::vector<Value>& values) {
  return Run(sql, values.data(), values.size(), NoRow);
}

absl::Status Connection::Query(
    absl::string_view sql, Values values,
    absl::FunctionRef<absl::Status(const Row&)> row) {
  return Run(sql, values.begin(), values.size(), row);
}

absl::Status Connection::Query(
    absl::string_view sql, const std::vector<Value>& values,
    absl::FunctionRef<absl::Status(const Row&)> row) {
  return Run(sql, values.data(), values.size(), row);
}

int64_t Connection::Changes() const { return sqlite3_changes64(handle_); }

int64_t Connection::LastInsertId() const {
  return sqlite3_last_insert_rowid(handle_);
}

absl::StatusOr<sqlite3_stmt*> Connection::Prepare(absl::string_view sql) {
  const auto found = statements_.find(sql);
  if (found != statements_.end()) return found->second;
  sqlite3_stmt* statement = nullptr;
  const int code =
      sqlite3_prepare_v3(handle_, sql.data(), static_cast<int>(sql.size()),
                         SQLITE_PREPARE_PERSISTENT, &statement, nullptr);
  if (code != SQLITE_OK) {
    return SqliteStatus(handle_, code, absl::StrCat("preparing ", sql));
  }
  statements_.emplace(sql, statement);
  return statement;
}

absl::Status Connection::Run(absl::string_view sql, const Value* values,
                             size_t count,
                             absl::FunctionRef<absl::Status(const Row&)> row) {
  RETORT_ASSIGN_OR_RETURN(sqlite3_stmt * statement, Prepare(sql));
  absl::Cleanup reset = [statement] {
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
  };
  if (static_cast<size_t>(sqlite3_bind_parameter_count(statement)) != count) {
    return absl::InternalError(
        absl::StrCat(kPrefix, count, " values for: ", sql));
  }
  for (size_t i = 0; i < count; ++i) {
    const int code = Bind(statement, static_cast<int>(i) + 1, values[i]);
    if (code != SQLITE_OK) {
      return SqliteStatus(handle_, code, absl::StrCat("binding ", sql));
    }
  }
  while (true) {
    const int code = sqlite3_step(statement);
    if (code == SQLITE_DONE) return absl::OkStatus();
    if (code != SQLITE_ROW) {
      return SqliteStatus(handle_, code, absl::StrCat("running ", sql));
    }
    RETORT_RETURN_IF_ERROR(row(Row(statement)));
  }
}

bool IsDatabaseError(const absl::Status& status) {
  return absl::StartsWith(status.message(), kPrefix) &&
         !absl::IsAlreadyExists(status) && !absl::IsFailedPrecondition(status);
}

absl::StatusOr<std::unique_ptr<Database>> Database::Open(
    const std::string& path) {
  std::unique_ptr<Database> database(new Database());
  absl::MutexLock lock(&database->mutex_);
  sqlite3* handle = nullptr;
  const int code = sqlite3_open_v2(
      path.c_str(), &handle,
      SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
      nullptr);
  database->connection_.handle_ = handle;
  if (code != SQLITE_OK) {
    return SqliteStatus(handle, code, absl::StrCat("opening ", path));
  }
  sqlite3_extended_result_codes(handle, 1);
  sqlite3_busy_timeout(handle, kBusyTimeoutMs);
  RETORT_RETURN_IF_ERROR(ExecuteScript(
      handle,
      "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; "
      "PRAGMA foreign_keys=ON; "
      "CREATE TABLE IF NOT EXISTS schema_versions("
      "component TEXT PRIMARY KEY, version INTEGER NOT NULL) WITHOUT ROWID"));
  return database;
}

Database::~Database() {
  absl::MutexLock lock(&mutex_);
  for (const auto& [sql, statement] : connection_.statements_) {
    sqlite3_finalize(statement);
  }
  sqlite3_close(connection_.handle_);
}

absl::Status Database::Migrate(absl::string_view component,
                               const std::vector<std::string>& migrations) {
  return Write([&](Connection& connection) -> absl::Status {
    int64_t version = 0;
    RETORT_RETURN_IF_ERROR(connection.Query(
        "SELECT version FROM schema_versions WHERE component = ?", {component},
        [&](const Row& row) {
          version = row.Int(0);
          return absl::OkStatus();
        }));
    const int64_t newest = static_cast<int64_t>(migrations.size());
    if (version > newest) {
      return absl::FailedPreconditionError(
          absl::StrCat("database: its ", component, " tables have version ",
                       version, ", this build knows ", newest,
                       "; it was written by a newer retortd: use that one"));
    }
    for (int64_t i = version; i < newest; ++i) {
      RETORT_RETURN_IF_ERROR(ExecuteScript(connection.handle_, migrations[i]));
    }
    return connection.Execute(
        "INSERT OR REPLACE INTO schema_versions VALUES(?, ?)",
        {component, newest});
  });
}

absl::Status Database::Write(
    absl::FunctionRef<absl::Status(Connection&)> body) {
  return Transact("BEGIN IMMEDIATE", body);
}

absl::Status Database::Read(absl::FunctionRef<absl::Status(Connection&)> body) {
  return Transact("BEGIN", body);
}

absl::Status Database::Transact(
    absl::string_view begin,
    absl::FunctionRef<absl::Status(Connection&)> body) {
  absl::MutexLock lock(&mutex_);
  RETORT_RETURN_IF_ERROR(connection_.Execute(begin));
  absl::Status status = body(connection_);
  if (status.ok()) status = connection_.Execute("COMMIT");
  // A failed COMMIT, too, leaves the transaction open (or SQLite has rolled it
  // back already, and this does nothing).
  if (!status.ok() && !sqlite3_get_autocommit(connection_.handle_)) {
    connection_.Execute("ROLLBACK").IgnoreError();
  }
  return status;
}

}  // namespace retort::db
