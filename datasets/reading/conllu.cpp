// Reads CoNLL-U (Universal Dependencies): one word per line in ten columns, with blank lines between sentences. FORM is
// the word, and UPOS or XPOS is its tag.
#include <array>
#include <charconv>

#include <fmt/format.h>

#include "datasets/kinds/tagging.h"
#include "datasets/reading/line_reader.h"
#include "datasets/reading/sample_source.h"

namespace polyhead {
namespace {

class Conllu : public SampleSource {
 public:
  explicit Conllu(const SampleFile& file) : file_(file), in_(file) {}

  // Reads the lines of a sentence, comments included.
  bool next(Record& record) override {
    std::string line;
    record.content.clear();
    for (bool words = false;;) {
      const bool more = in_.next(line);
      if (!more || blank(line)) {
        if (words) return true;
        record.content.clear();
        if (!more) return false;
        continue;
      }
      if (record.content.empty()) record.line = in_.number();
      if (record.content.size() + line.size() + 1 > kMaxRecord)
        file_.fail(record.line, fmt::format("begins a sentence of more than {} MiB; end sentences with a blank line",
                                            kMaxRecord >> 20));
      record.content += line + '\n';
      words = words || line.front() != '#';
    }
  }

  Sample parse(const Record& record) const override {
    Sample sample;
    std::string_view rest = record.content;
    for (std::uint64_t number = record.line; !rest.empty(); ++number) {
      const std::string_view line = rest.substr(0, rest.find('\n'));
      rest.remove_prefix(line.size() + 1);
      if (line.front() != '#') read_word(number, line, sample);
    }
    if (sample.words.empty()) file_.fail(record.line, "begins a sentence without words; add them or take it out");
    check_words(file_, record.line, sample);
    return sample;
  }

 private:
  void read_word(std::uint64_t number, std::string_view line, Sample& sample) const {
    std::array<std::string_view, 10> columns;
    std::size_t count = 0;
    for (std::string_view rest = line;; ++count) {
      const std::size_t end = rest.find('\t');
      if (count < columns.size()) columns[count] = rest.substr(0, end);
      if (end == std::string_view::npos) break;
      rest.remove_prefix(end + 1);
    }
    if (++count != columns.size())
      file_.fail(number, fmt::format("has {} columns, expected 10, separated by tabs; correct it, or end the sentence "
                                     "before it with a blank line",
                                     count));
    const std::string_view id = columns[0];
    if (id.find_first_not_of("0123456789-.") == std::string_view::npos &&
        id.find_first_of("-.") != std::string_view::npos)
      return;  // the surface form of several words, or a word that is not in the text
    std::size_t place = 0;
    const auto [end, error] = std::from_chars(id.data(), id.data() + id.size(), place);
    if (error != std::errc() || end != id.data() + id.size() || place != sample.words.size() + 1)
      file_.fail(number, fmt::format("has the ID '{}', expected {}; words are numbered from 1 in each sentence, and a "
                                     "blank line ends it",
                                     id, sample.words.size() + 1));
    const char* name = file_.xpos ? "xpos" : "upos";
    const std::string_view tag = columns[file_.xpos ? 4 : 3];
    if (tag == "_")
      file_.fail(number, fmt::format("has no {} ('_'); annotate it, take the sentence out, or read the other column "
                                     "(tag_column = {})",
                                     name, file_.xpos ? "upos" : "xpos"));
    check_text(file_, number, "form", columns[1]);
    check_text(file_, number, name, tag);
    // A form may contain spaces ("10 000"); it is still a single word.
    std::string word;
    for (const char c : columns[1])
      if (c == ' ')
        word += "\xc2\xa0";
      else
        word += c;
    sample.words.push_back(std::move(word));
    sample.tags.emplace_back(tag);
  }

  const SampleFile& file_;
  LineReader in_;
};

}  // namespace

std::unique_ptr<SampleSource> open_conllu(const SampleFile& file) {
  return std::make_unique<Conllu>(file);
}

}  // namespace polyhead
