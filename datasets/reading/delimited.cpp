// Reads tables with one sample per row. CSV follows RFC 4180 like Python's csv module: quoted fields may contain
// commas, doubled quotes and line breaks. In TSV only tabs and line ends have a meaning.
#include <algorithm>
#include <cmath>
#include <map>

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/base/numbers.h"
#include "datasets/reading/field_names.h"
#include "datasets/reading/input_files.h"
#include "datasets/reading/line_reader.h"
#include "datasets/reading/sample_source.h"
#include "datasets/target.h"

namespace polyhead {
namespace {

std::vector<std::string> split(std::string_view list, char separator) {
  std::vector<std::string> parts;
  while (!list.empty()) {
    const std::size_t end = std::min(list.find(separator), list.size());
    if (end > 0) parts.emplace_back(list.substr(0, end));
    list.remove_prefix(std::min(end + 1, list.size()));
  }
  return parts;
}

// Part -> index of its field.
using Places = std::map<std::string_view, std::size_t>;

// A row of a table.
class Row : public SampleParts {
 public:
  // header_cure: what to do if the row holds the names of columns; "" if it cannot.
  Row(const SampleFile& file, std::uint64_t line, const std::vector<std::string>& fields, const Places& places,
      const FieldNames& names, std::string header_cure)
      : SampleParts(file, line),
        fields_(fields),
        places_(places),
        names_(names),
        header_cure_(std::move(header_cure)) {}

  bool has(std::string_view part) const override {
    const std::string* field = find(part);
    return field != nullptr && !blank(*field);
  }
  bool has_vectors() const override { return false; }
  void input(Sample& sample) const override {
    sample.text = text("text");
    if (has("second")) sample.second = text("second");
  }
  std::string text(std::string_view part) const override {
    const std::string* field = find(part);
    if (field == nullptr) fail(fmt::format("has no column '{}', which a {} task needs", part, name_of(file().kind)));
    check_text(file(), line(), names_.of(part), *field);
    return *field;
  }
  std::vector<std::string> texts(std::string_view part) const override { return {text(part)}; }
  std::vector<std::string> words(std::string_view part) const override { return split(text(part), ' '); }
  std::string label(std::string_view part, Sample&) const override { return text(part); }
  std::vector<std::string> word_labels(std::string_view part, Sample&) const override { return words(part); }
  std::vector<std::string> label_set(std::string_view part, Sample&) const override {
    return has(part) ? split(text(part), '|') : std::vector<std::string>();
  }
  void numbers(std::string_view part, Sample& sample) const override {
    for (const std::string& one : words(part)) {
      double exact = 0;
      float number = 0;
      if (read_number(one, exact) != NumberProblem::none || read_number(one, number) != NumberProblem::none)
        fail(
            fmt::format("has '{}' in '{}', which is not a number that a 32-bit float can hold; write 0.5, or several "
                        "numbers separated by spaces{}",
                        one, names_.of(part), header_cure_));
      sample.value.push_back(number);
      sample.exact.push_back(exact);
    }
  }

 private:
  const std::string* find(std::string_view part) const {
    const auto found = places_.find(part);
    return found == places_.end() ? nullptr : &fields_[found->second];
  }

  const std::vector<std::string>& fields_;
  const Places& places_;
  const FieldNames& names_;
  std::string header_cure_;
};

class Delimited : public SampleSource {
 public:
  explicit Delimited(const SampleFile& file)
      : file_(file),
        in_(file),
        quoted_(file.quoting.value_or(file.format == Format::csv)),
        separator_(file.format == Format::csv ? ',' : '\t') {
    Record first;
    const bool any = read(first);
    first_line_ = std::max<std::uint64_t>(first.line, 1);
    if (any) choose_separator(first);
    std::vector<std::string> names = file.columns;
    const bool header = file.header == Header::yes || (names.empty() && file.header == Header::automatic);
    if (header && any) take_header(first, names);
    if (!header && any) {
      if (file.header == Header::automatic && looks_like_names(file, fields(first)))
        file.fail(first.line,
                  fmt::format("holds the columns' names ({}), not a sample; write 'header = yes' to leave it "
                              "out, or 'header = no' to take it as a sample",
                              list_of(fields(first))));
      pending_ = std::move(first);
    }
    columns_ = names.size();
    if (!names.empty()) find_places(first_line_, names);
  }

  bool next(Record& record) override {
    if (!pending_) return read(record);
    record = std::move(*pending_);
    pending_.reset();
    return true;
  }

  Sample parse(const Record& record) const override {
    const std::vector<std::string> all = fields(record);
    if (all.size() != columns_)
      file_.fail(record.line, fmt::format("has {} fields, expected {}; {}", all.size(), columns_,
                                          quoted_ ? "put fields that hold a comma in quotes"
                                                  : "a field may hold no tab and no line break"));
    Sample sample;
    if (group_ != kNone) sample.group = all[group_];
    const Target& target = target_of(file_.kind);
    const LabelRules* labels = target.labels();
    sample.left_out =
        labels != nullptr && labels->optional && names_.marks_no_label(file_, all[places_.at(labels->part)]);
    if (sample.left_out) return sample;
    const Row row(file_, record.line, all, places_, names_, header_cure(record));
    target.read(row, sample);
    if (names_.has_weights(file_)) row.weight(sample);
    return sample;
  }

 private:
  static constexpr std::size_t kNone = SIZE_MAX;

  bool read(Record& record) {
    do {
      record.content.clear();
      if (!in_.append(record.content)) return false;
      record.line = in_.number();
      if (quoted_) join_quoted_lines(record);
      if (record.content.ends_with('\r')) record.content.pop_back();
    } while (blank(record.content));
    return true;
  }

  // In many countries spreadsheets write CSV with semicolons.
  void choose_separator(const Record& first) {
    if (file_.format != Format::csv || !file_.columns.empty() || fields(first).size() > 1) return;
    for (const char other : {';', '\t'}) {
      separator_ = other;
      if (fields(first).size() == 1) continue;
      if (file_.inputs)
        file_.inputs->say(fmt::format("task '{}': {} separates its columns by {}", file_.task, file_.file.string(),
                                      other == ';' ? "semicolons" : "tabs"));
      return;
    }
    separator_ = ',';
  }

  void take_header(const Record& first, std::vector<std::string>& names) {
    std::vector<std::string> header = fields(first);
    if (!names.empty() && names.size() != header.size())
      file_.fail(first.line, fmt::format("has {} fields, but 'columns' names {}; name each of them, in their order",
                                         header.size(), names.size()));
    if (names.empty()) names = std::move(header);
  }

  void find_places(std::uint64_t line, const std::vector<std::string>& names) {
    const auto find = [&](const std::string& name) {
      const auto found = std::find(names.begin(), names.end(), name);
      if (found == names.end()) return kNone;
      if (std::find(found + 1, names.end(), name) != names.end())
        file_.fail(line, fmt::format("the column '{}' is there twice", name));
      return static_cast<std::size_t>(found - names.begin());
    };
    names_ = FieldNames(file_, line, names, "column");
    names_.say(file_);
    for (const std::string_view part : part_names())
      if (const std::string& theirs = names_.of(part); !theirs.empty()) places_[part] = find(theirs);
    if (places_.contains("features"))
      file_.fail(line, "has a column 'features', but vectors come in JSON Lines; rename or convert it");
    if (file_.group.empty()) return;
    group_ = find(file_.group);
    if (group_ == kNone)
      file_.fail(line, fmt::format("there is no column '{}', which 'group' names; the columns are {}", file_.group,
                                   list_of(names)));
  }

  // A record continues on the next line while the quote of a field is open.
  void join_quoted_lines(Record& record) {
    bool open = false, start = true;  // inside a quoted field, at the start of a field
    for (std::size_t at = 0;; ++at) {
      if (at == record.content.size()) {
        if (!open) return;
        record.content += '\n';
        if (!in_.append(record.content))
          file_.fail(record.line,
                     "has a quote that is open at the end of the file; close it, or double quotes inside a field");
      }
      const char c = record.content[at];
      if (open) {
        open = c != '"' || (at + 1 < record.content.size() && record.content[at + 1] == '"' && ++at > 0);
      } else {
        open = start && c == '"';
        start = c == separator_;
      }
    }
  }

  std::vector<std::string> fields(const Record& record) const {
    std::vector<std::string> all;
    std::string_view rest = record.content;
    for (;;) {
      std::string& field = all.emplace_back();
      if (quoted_ && rest.starts_with('"')) {
        for (rest.remove_prefix(1);;) {
          const std::size_t end = rest.find('"');
          field += rest.substr(0, end);
          rest.remove_prefix(end + 1);
          if (!rest.starts_with('"')) break;
          field += '"';
          rest.remove_prefix(1);
        }
        if (!rest.empty() && rest.front() != separator_)
          file_.fail(record.line, fmt::format("has text behind a closing quote in field {}; put the whole field in "
                                              "quotes and double the quotes inside it",
                                              all.size()));
      } else {
        field = rest.substr(0, rest.find(separator_));
        rest.remove_prefix(field.size());
      }
      if (rest.empty()) return all;
      rest.remove_prefix(1);
    }
  }

  std::string header_cure(const Record& record) const {
    if (record.line != first_line_ || file_.columns.empty() || file_.header != Header::automatic) return "";
    return "; where the line holds the columns' names, write 'header = yes'";
  }

  const SampleFile& file_;
  LineReader in_;
  bool quoted_;
  char separator_;
  std::uint64_t first_line_ = 1;
  std::optional<Record> pending_;  // the first line, if it is a sample
  std::size_t columns_ = 0;
  FieldNames names_;
  Places places_;
  std::size_t group_ = kNone;
};

}  // namespace

std::unique_ptr<SampleSource> open_delimited(const SampleFile& file) {
  return std::make_unique<Delimited>(file);
}

}  // namespace polyhead
