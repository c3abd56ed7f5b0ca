// Tables of one sample a row. CSV by RFC 4180: fields in quotes may hold commas, doubled quotes and line breaks. TSV: a
// tab separates, a line ends, everything else is taken as it is.
#include <algorithm>
#include <charconv>
#include <cmath>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "core/base/error.h"
#include "datasets/line_reader.h"
#include "datasets/samples.h"

namespace polyhead {
namespace {

constexpr std::array<std::string_view, 8> kColumns = {"text",  "second", "label", "labels",
                                                      "value", "target", "words", "tags"};
enum Column { text, second, label, labels, value, target, words, tags };

std::vector<std::string> split(std::string_view list, char separator) {
  std::vector<std::string> parts;
  while (!list.empty()) {
    const std::size_t end = std::min(list.find(separator), list.size());
    if (end > 0) parts.emplace_back(list.substr(0, end));
    list.remove_prefix(std::min(end + 1, list.size()));
  }
  return parts;
}

std::vector<Column> needed(Kind kind) {
  switch (kind) {
    case Kind::classification:
      return {text, label};
    case Kind::multilabel:
      return {text, labels};
    case Kind::regression:
      return {text, value};
    case Kind::tagging:
      return {words, tags};
    case Kind::translation:
      return {text, target};
    case Kind::masked_lm:
      break;
  }
  return {text};
}

class Delimited : public SampleSource {
 public:
  explicit Delimited(const SampleFile& file) : file_(file), in_(file) {
    std::vector<std::string> names = file.columns;
    Record header;
    if (names.empty() && next(header)) names = fields(header);
    columns_ = names.size();
    place_.fill(kNone);
    for (std::size_t c = 0; c < kColumns.size(); ++c) {
      const auto found = std::find(names.begin(), names.end(), kColumns[c]);
      if (found == names.end()) continue;
      place_[c] = static_cast<std::size_t>(found - names.begin());
      if (std::find(found + 1, names.end(), kColumns[c]) != names.end())
        file.fail(std::max<std::uint64_t>(header.line, 1), fmt::format("the column '{}' is there twice", kColumns[c]));
    }
    for (const Column c : needed(file.kind))
      if (place_[c] == kNone && !names.empty())
        file.fail(std::max<std::uint64_t>(header.line, 1),
                  fmt::format("there is no column '{}', which a {} task needs; the columns are {}. Name it in the "
                              "file's first line, or, where the file has no such line, write 'columns = {}' in the "
                              "task's section",
                              kColumns[c], name_of(file.kind), fmt::join(names, ", "), cure()));
  }

  bool next(Record& record) override {
    do {
      record.content.clear();
      if (!in_.append(record.content)) return false;
      record.line = in_.number();
      if (file_.format == Format::csv) join_quoted_lines(record);
      if (record.content.ends_with('\r')) record.content.pop_back();
    } while (blank(record.content));
    return true;
  }

  Sample parse(const Record& record) const override {
    std::vector<std::string> all = fields(record);
    if (all.size() != columns_)
      file_.fail(record.line, fmt::format("has {} fields, expected {}; {}", all.size(), columns_,
                                          file_.format == Format::csv ? "put fields that hold a comma in quotes"
                                                                      : "a field may hold no tab and no line break"));
    const auto take = [&](Column c) {
      check_text(file_, record.line, kColumns[c].data(), all[place_[c]]);
      return std::move(all[place_[c]]);
    };
    Sample sample;
    if (file_.kind == Kind::tagging) {
      sample.words = split(take(words), ' ');
      sample.tags = split(take(tags), ' ');
      check_words(file_, record.line, sample);
      return sample;
    }
    sample.text = take(text);
    if (place_[second] != kNone && !blank(all[place_[second]])) sample.second = take(second);
    if (file_.kind == Kind::classification) sample.label = take(label);
    if (file_.kind == Kind::translation) sample.target = take(target);
    if (file_.kind == Kind::multilabel && !blank(all[place_[labels]])) sample.labels = split(take(labels), '|');
    if (file_.kind == Kind::regression) sample.value = numbers(record, take(value));
    return sample;
  }

 private:
  static constexpr std::size_t kNone = SIZE_MAX;

  std::string cure() const {
    std::vector<std::string_view> names;
    for (const Column c : needed(file_.kind)) names.push_back(kColumns[c]);
    return fmt::format("{}", fmt::join(names, ", "));
  }

  // A record goes on while the number of its quotes is odd.
  void join_quoted_lines(Record& record) {
    std::size_t from = 0;
    for (bool open = false;;) {
      for (; (from = record.content.find('"', from)) != std::string::npos; ++from) open = !open;
      if (!open) return;
      from = record.content.size();
      record.content += '\n';
      if (!in_.append(record.content))
        file_.fail(record.line,
                   "has a quote that is open at the end of the file; close it, or double quotes inside a field");
    }
  }

  std::vector<std::string> fields(const Record& record) const {
    std::vector<std::string> all;
    std::string_view rest = record.content;
    if (file_.format == Format::tsv) {
      for (;;) {
        const std::size_t end = rest.find('\t');
        all.emplace_back(rest.substr(0, end));
        if (end == std::string_view::npos) return all;
        rest.remove_prefix(end + 1);
      }
    }
    const auto fail = [&](const char* what) {
      file_.fail(record.line, fmt::format("has {} in field {}; put the whole field in quotes and double the quotes "
                                          "inside it",
                                          what, all.size()));
    };
    for (;;) {
      std::string& field = all.emplace_back();
      if (rest.starts_with('"')) {
        for (rest.remove_prefix(1);;) {
          const std::size_t end = rest.find('"');
          if (end == std::string_view::npos) fail("an open quote");
          field += rest.substr(0, end);
          rest.remove_prefix(end + 1);
          if (!rest.starts_with('"')) break;
          field += '"';
          rest.remove_prefix(1);
        }
        if (!rest.empty() && rest.front() != ',') fail("text behind a closing quote");
      } else {
        field = rest.substr(0, rest.find(','));
        if (field.find('"') != std::string::npos) fail("a quote");
        rest.remove_prefix(field.size());
      }
      if (rest.empty()) return all;
      rest.remove_prefix(1);
    }
  }

  std::vector<float> numbers(const Record& record, const std::string& list) const {
    std::vector<float> out;
    for (const std::string& one : split(list, ' ')) {
      float number = 0;
      const auto [end, error] = std::from_chars(one.data(), one.data() + one.size(), number);
      if (error != std::errc() || end != one.data() + one.size() || !std::isfinite(number))
        file_.fail(record.line, fmt::format("has '{}' in 'value', which is not a number that a 32-bit float can hold; "
                                            "write 0.5, or several numbers separated by spaces",
                                            one));
      out.push_back(number);
    }
    return out;
  }

  const SampleFile& file_;
  LineReader in_;
  std::size_t columns_ = 0;
  std::array<std::size_t, kColumns.size()> place_{};  // of a column among the fields
};

}  // namespace

std::unique_ptr<SampleSource> open_delimited(const SampleFile& file) {
  return std::make_unique<Delimited>(file);
}

}  // namespace polyhead
