// Reads the columns of CoNLL's shared tasks: one word per line, with columns separated by tabs or spaces, and blank
// lines between sentences. -DOCSTART- lines are skipped.
#include "datasets/reading/conll.h"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "datasets/kinds/tagging.h"
#include "datasets/reading/line_reader.h"

namespace polyhead {
namespace {

constexpr std::string_view kDocument = "-DOCSTART-";

bool is_header(const std::vector<std::string_view>& columns) {
  const auto named = [&](std::initializer_list<std::string_view> names) {
    return std::any_of(columns.begin(), columns.end(), [&](std::string_view column) {
      std::string lower(column);
      std::transform(lower.begin(), lower.end(), lower.begin(),
                     [](unsigned char c) { return static_cast<char>(c < 0x80 ? c | 0x20 : c); });
      return std::find(names.begin(), names.end(), lower) != names.end();
    });
  };
  return columns.size() > 1 && named({"word", "words", "token", "tokens", "form"}) &&
         named({"tag", "tags", "label", "labels", "ner", "pos", "upos", "ner_tags", "pos_tags", "ner_tag", "pos_tag"});
}

class Conll : public SampleSource {
 public:
  explicit Conll(const SampleFile& file) : file_(file), in_(file) {}

  // Reads the lines of a sentence, without comments, headers and -DOCSTART-.
  bool next(Record& record) override {
    std::string line;
    std::uint64_t lines = 0;
    record.content.clear();
    while (in_.next(line)) {
      if (blank(line)) {
        if (!record.content.empty()) return true;
        continue;
      }
      const std::vector<std::string_view> columns = conll_columns(line);
      if (columns.front() == kDocument) continue;
      if (record.content.empty()) {
        if (is_comment(line, columns.size()) || skip_header(columns)) continue;
        record.line = in_.number();
      }
      if (width_ == 0) width_ = columns.size();
      if (record.content.size() + line.size() + 1 > kMaxRecord)
        file_.fail(record.line, fmt::format("begins a sentence of more than {} MiB; end sentences with a blank line",
                                            kMaxRecord >> 20));
      // A line that is skipped inside a sentence leaves an empty line, so that messages have the right line numbers.
      record.content.append(in_.number() - record.line - lines, '\n');
      record.content += line + '\n';
      lines = in_.number() - record.line + 1;
    }
    return !record.content.empty();
  }

  Sample parse(const Record& record) const override {
    Sample sample;
    std::string_view rest = record.content;
    for (std::uint64_t number = record.line; !rest.empty(); ++number) {
      const std::string_view line = rest.substr(0, rest.find('\n'));
      rest.remove_prefix(line.size() + 1);
      if (!line.empty()) read_word(number, conll_columns(line), sample);
    }
    check_words(file_, record.line, sample);
    return sample;
  }

 private:
  // "#begin document", "# id 17": comments come before a sentence and have fewer or more columns than its words. '#'
  // may also be a word.
  bool is_comment(std::string_view line, std::size_t columns) const {
    return (line.starts_with("# ") || line.starts_with("#begin ") || line.starts_with("#end ")) &&
           (columns != width_ || columns == 1);
  }

  bool skip_header(const std::vector<std::string_view>& columns) {
    const bool first = !started_;
    started_ = true;
    return first && (file_.header == Header::yes || (file_.header == Header::automatic && is_header(columns)));
  }

  void read_word(std::uint64_t number, const std::vector<std::string_view>& columns, Sample& sample) const {
    const std::size_t word = file_.word_column, tag = file_.tag_column == 0 ? columns.size() : file_.tag_column;
    if (columns.size() < 2 || word > columns.size() || tag > columns.size() || columns.size() != width_)
      file_.fail(
          number,
          fmt::format("has {} column{}, expected {}; columns are separated by tabs or spaces, sentences by blank "
                      "lines, and word_column and tag_column count from 1",
                      columns.size(), columns.size() == 1 ? "" : "s",
                      std::max({width_, word, file_.tag_column, std::size_t{2}})));
    if (word == tag)
      file_.fail(number, fmt::format("has its word and its tag in column {}; write word_column = N", tag));
    check_text(file_, number, "word", columns[word - 1]);
    check_text(file_, number, "tag", columns[tag - 1]);
    // A column that is separated by tabs may contain spaces ("10 000"); it is still a single word.
    std::string& added = sample.words.emplace_back();
    for (const char c : columns[word - 1])
      if (c == ' ')
        added += "\xc2\xa0";
      else
        added += c;
    sample.tags.emplace_back(columns[tag - 1]);
  }

  const SampleFile& file_;
  LineReader in_;
  std::size_t width_ = 0;  // number of columns of the first word
  bool started_ = false;
};

}  // namespace

std::vector<std::string_view> conll_columns(std::string_view line) {
  std::vector<std::string_view> columns;
  const bool tabs = line.find('\t') != std::string_view::npos;
  while (tabs || !line.empty()) {
    const std::size_t end = std::min(line.find(tabs ? '\t' : ' '), line.size());
    if (tabs || end > 0) columns.push_back(line.substr(0, end));
    if (tabs && end == line.size()) break;
    line.remove_prefix(std::min(end + 1, line.size()));
  }
  if (columns.empty()) columns.emplace_back();
  return columns;
}

bool has_a_word_a_line(const SampleFile& file) {
  LineReader in(file);
  std::size_t words = 0, breaks = 0;
  bool between = false;
  std::string line;
  for (int i = 0; i < 1000 && in.next(line); ++i) {
    if (blank(line)) {
      between = words > 0;
      continue;
    }
    const std::vector<std::string_view> columns = conll_columns(line);
    if (columns.front() == kDocument) continue;
    if (columns.size() < 2 || std::any_of(columns.begin(), columns.end(), [](std::string_view column) {
          return column.empty() || column.find(' ') != std::string_view::npos;
        }))
      return false;
    if (between) ++breaks;
    between = false;
    ++words;
  }
  return breaks > 0;
}

std::unique_ptr<SampleSource> open_conll(const SampleFile& file) {
  return std::make_unique<Conll>(file);
}

}  // namespace polyhead
