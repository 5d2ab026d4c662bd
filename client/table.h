#ifndef RETORT_CLIENT_TABLE_H_
#define RETORT_CLIENT_TABLE_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace retort::client {

// Columns of equal width with a head. Rows may be shorter than the head.
class Table {
 public:
  explicit Table(std::vector<std::string> head);
  void Add(std::vector<std::string> row);
  std::string ToString() const;
  // The same in lines of at most `columns` characters. To that end, and no
  // further than it needs: columns are left out, those of `spare` (their heads)
  // in this order; the last column's text goes on on lines of its own; the
  // first column's cells lose their middle.
  std::string ToString(int columns,
                       const std::vector<std::string>& spare) const;
  void Print() const;
  // Prints a list: one without rows as `nothing`, on standard error.
  void Print(const std::string& nothing) const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

// The text in lines of at most `width` characters, cut between words where
// that is possible. At least one line.
std::vector<std::string> Wrapped(absl::string_view text, size_t width);

}  // namespace retort::client

#endif  // RETORT_CLIENT_TABLE_H_
