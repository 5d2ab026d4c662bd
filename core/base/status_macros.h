#ifndef RETORT_CORE_BASE_STATUS_MACROS_H_
#define RETORT_CORE_BASE_STATUS_MACROS_H_

#include <utility>

#include "absl/base/optimization.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"

// Returns from the enclosing function when `expr` (an absl::Status) is an
// error; the function must return Status or StatusOr.
//
//   RETORT_RETURN_IF_ERROR(MakeDirs(path));
#define RETORT_RETURN_IF_ERROR(expr)               \
  do {                                             \
    ::absl::Status retort_status = (expr);         \
    if (ABSL_PREDICT_FALSE(!retort_status.ok())) { \
      return retort_status;                        \
    }                                              \
  } while (false)

// Evaluates `expr` (a StatusOr); returns its error, or assigns its value to
// `lhs`, which may declare a variable. Wrap an expression that holds a bare
// comma in parentheses. Expands to several statements: not for the body of
// an unbraced if.
//
//   RETORT_ASSIGN_OR_RETURN(std::string text, ReadFile(path));
#define RETORT_ASSIGN_OR_RETURN(lhs, ...)                                      \
  RETORT_ASSIGN_OR_RETURN_IMPL(RETORT_STATUS_CONCAT(retort_result_, __LINE__), \
                               lhs, (__VA_ARGS__))

#define RETORT_ASSIGN_OR_RETURN_IMPL(result, lhs, expr) \
  auto result = expr;                                   \
  if (ABSL_PREDICT_FALSE(!result.ok())) {               \
    return std::move(result).status();                  \
  }                                                     \
  lhs = std::move(result).value()

#define RETORT_STATUS_CONCAT_INNER(x, y) x##y
#define RETORT_STATUS_CONCAT(x, y) RETORT_STATUS_CONCAT_INNER(x, y)

#endif  // RETORT_CORE_BASE_STATUS_MACROS_H_
