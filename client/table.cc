#include "client/table.h"

#include <algorithm>
#include <cstdio>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/output.h"

namespace retort::client {
namespace {

using Rows = std::vector<std::vector<std::string>>;

constexpr size_t kGap = 2;
// What a sentence should have, and what it must have; and what is left of
// names.
constexpr size_t kSentence = 40;
constexpr size_t kNarrowSentence = 24;
constexpr size_t kName = 12;

std::vector<size_t> WidthsOf(const Rows& rows) {
  std::vector<size_t> widths(rows[0].size());
  for (const auto& row : rows) {
    for (size_t i = 0; i < row.size() && i < widths.size(); ++i) {
      widths[i] = std::max(widths[i], row[i].size());
    }
  }
  return widths;
}

// Of a line up to its last column.
size_t BeforeLast(const Rows& rows) {
  const std::vector<size_t> widths = WidthsOf(rows);
  size_t sum = 0;
  for (size_t i = 0; i + 1 < widths.size(); ++i) sum += widths[i] + kGap;
  return sum;
}

// What lines take if the last column has no more than `sentence`.
size_t Least(const Rows& rows, size_t sentence) {
  return BeforeLast(rows) + std::min(WidthsOf(rows).back(), sentence);
}

void LeaveOut(const std::string& head, Rows* rows) {
  const auto& heads = (*rows)[0];
  const auto found = std::find(heads.begin(), heads.end(), head);
  if (found == heads.end()) return;
  const size_t column = found - heads.begin();
  for (auto& row : *rows) {
    if (column < row.size()) row.erase(row.begin() + column);
  }
}

// "ab..yz".
std::string WithoutMiddle(const std::string& text, size_t width) {
  if (text.size() <= width) return text;
  const size_t end = (width - 2) / 2;
  return absl::StrCat(text.substr(0, width - 2 - end), "..",
                      text.substr(text.size() - end));
}

// Takes the last cells' further lines to rows of their own.
Rows WithLastWrapped(const Rows& rows, size_t width) {
  Rows all;
  const size_t last = rows[0].size() - 1;
  for (const auto& row : rows) {
    all.push_back(row);
    if (row.size() <= last) continue;
    const std::vector<std::string> lines = Wrapped(row[last], width);
    all.back()[last] = lines[0];
    for (size_t i = 1; i < lines.size(); ++i) {
      all.emplace_back(last + 1).back() = lines[i];
    }
  }
  return all;
}

}  // namespace

Table::Table(std::vector<std::string> head) {
  rows_.push_back(std::move(head));
}

void Table::Add(std::vector<std::string> row) {
  rows_.push_back(std::move(row));
}

std::string Table::ToString() const {
  return ToString(std::numeric_limits<int>::max(), {});
}

std::string Table::ToString(int columns,
                            const std::vector<std::string>& spare) const {
  const size_t room = std::max(columns, 0);
  Rows rows = rows_;
  for (const std::string& head : spare) {
    if (Least(rows, kSentence) <= room) break;
    LeaveOut(head, &rows);
  }
  if (const size_t least = Least(rows, kNarrowSentence); least > room) {
    const size_t first = WidthsOf(rows)[0];
    const size_t less = std::min(least - room, first);
    for (auto& row : rows) {
      if (row.empty()) continue;
      row[0] = WithoutMiddle(row[0], std::max(first - less, kName));
    }
  }
  const size_t before = BeforeLast(rows);
  rows = WithLastWrapped(rows, std::max(room, before + 1) - before);
  const std::vector<size_t> widths = WidthsOf(rows);
  std::string text;
  for (const auto& row : rows) {
    std::string line;
    for (size_t i = 0; i < row.size() && i < widths.size(); ++i) {
      absl::StrAppendFormat(&line, "%-*s  ", static_cast<int>(widths[i]),
                            row[i]);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    absl::StrAppend(&text, line, "\n");
  }
  return text;
}

void Table::Print() const { fputs(ToString().c_str(), stdout); }

void Table::Print(const std::string& nothing) const {
  if (rows_.size() == 1) {
    Note(nothing);
  } else {
    Print();
  }
}

std::vector<std::string> Wrapped(absl::string_view text, size_t width) {
  width = std::max<size_t>(width, 1);
  std::vector<std::string> lines;
  while (text.size() > width) {
    size_t end = text.rfind(' ', width);
    if (end == absl::string_view::npos || end == 0) end = width;
    lines.emplace_back(text.substr(0, end));
    text.remove_prefix(end);
    while (!text.empty() && text[0] == ' ') text.remove_prefix(1);
  }
  if (lines.empty() || !text.empty()) lines.emplace_back(text);
  return lines;
}

}  // namespace retort::client
