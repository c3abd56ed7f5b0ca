// Counts brackets and skips strings to find elements; the parser checks their content.
#include "datasets/reading/json_records.h"

#include <fmt/format.h>

namespace polyhead {

bool JsonRecords::next(Record& record) {
  if (form_ == Form::array) return next_element(record);
  if (form_ == Form::ended) return false;
  while (in_.next(record.content))
    if (!blank(record.content)) {
      record.line = in_.number();
      if (form_ == Form::unknown && record.content[record.content.find_first_not_of(kBlanks)] == '[') {
        form_ = Form::array;
        line_ = std::move(record.content);
        at_ = line_.find('[') + 1;
        return next_element(record);
      }
      form_ = Form::lines;
      return true;
    }
  return false;
}

char JsonRecords::sign() {
  for (;;) {
    at_ = line_.find_first_not_of(kBlanks, at_);
    if (at_ != std::string::npos) return line_[at_];
    at_ = 0;
    if (!in_.next(line_)) return '\0';
  }
}

bool JsonRecords::next_element(Record& record) {
  const auto fail = [&](const std::string& what) {
    file_.fail(in_.number(), what + "; the file begins with '[', so it is read as one JSON array, [{…}, {…}]");
  };
  char c = sign();
  if (!first_ && c == ',') {
    ++at_;
    c = sign();
    if (c == ']') fail("has a ',' before the array's ']'");
  } else if (!first_ && c != ']' && c != '\0') {
    fail(fmt::format("has '{}' behind an element, expected ',' or ']'", c));
  }
  if (c == '\0') fail("ends before the array's ']', so the file is cut off");
  if (c == ']') {
    ++at_;
    if (sign() != '\0') fail("has text behind the array's ']'");
    form_ = Form::ended;
    return false;
  }
  first_ = false;
  read_element(record);
  return true;
}

// Returns where the element ends in the text, continuing from what was read of it before.
std::size_t JsonRecords::Element::end(std::string_view text, std::size_t from) {
  for (std::size_t at = from; at < text.size(); ++at) {
    const char c = text[at];
    if (string) {
      if (c == '\\')
        ++at;
      else
        string = c != '"';
    } else if (c == '"') {
      string = true;
    } else if (c == '{' || c == '[') {
      ++depth;
    } else if (depth == 0 && (c == ',' || c == ']')) {
      whole = true;
      return at;
    } else if (c == '}' || c == ']') {
      depth -= depth > 0 ? 1 : 0;
      whole = depth == 0;
      if (whole) return at + 1;
    }
  }
  return text.size();
}

void JsonRecords::read_element(Record& record) {
  record.line = in_.number();
  record.content.clear();
  for (Element element;;) {
    const std::size_t from = at_;
    at_ = element.end(line_, from);
    if (record.content.size() + at_ - from > kMaxRecord)
      file_.fail(record.line,
                 fmt::format("begins an element of more than {} MiB; split it, or take it out", kMaxRecord >> 20));
    record.content.append(line_, from, at_ - from);
    if (element.whole) return;
    at_ = 0;
    record.content += ' ';  // a line break
    if (!in_.next(line_))
      file_.fail(record.line, "begins an element that the end of the file cuts off; get the file again");
  }
}

}  // namespace polyhead
