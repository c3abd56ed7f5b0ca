// tagging: one label per word, or per vector.
#include "datasets/kinds/tagging.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "core/base/names.h"
#include "datasets/kinds/tag_schemes.h"
#include "datasets/target.h"

namespace polyhead {
namespace {

void read_vectors(const SampleParts& in, Sample& sample) {
  in.input(sample);
  sample.tags = in.word_labels("tags", sample);
  const std::size_t rows = sample.features.size() / sample.width;
  if (rows != sample.tags.size())
    in.fail(fmt::format("has {} vectors and {} tags; every vector needs one tag", rows, sample.tags.size()));
  for (const std::string& tag : sample.tags)
    if (tag.empty() || tag.find_first_of(kBlanks) != std::string::npos)
      in.fail(fmt::format("has '{}' in 'tags', which is empty or holds white space", tag));
}

class Tagging : public Target {
 public:
  using Target::Target;

  InputForm input_form() const override { return InputForm::words; }
  SecondText second_text() const override { return SecondText::none; }

  const std::vector<PartNames>& parts() const override {
    static const std::vector<PartNames> all = {
        {"words", {"tokens", "token", "word"}, PartNames::Role::input},
        {"tags", {"ner_tags", "pos_tags", "chunk_tags", "upos", "xpos", "ner", "pos", "labels", "tag"}}};
    return all;
  }
  bool fits(Format format) const override { return format != Format::text; }
  void read(const SampleParts& in, Sample& sample) const override {
    if (in.has_vectors()) return read_vectors(in, sample);
    sample.words = in.words("words");
    sample.tags = in.word_labels("tags", sample);
    check_words(in.file(), in.line(), sample);
  }

  const LabelRules* labels() const override {
    static const LabelRules rules = {
        .part = "tags", .one = "tag", .many = "tags", .most = kNotScored - 1, .per_word = true};
    return &rules;
  }
  std::span<std::string> labels_of(Sample& sample) const override { return sample.tags; }

  bool keeps_texts() const override { return true; }
  std::string target_text(const Sample& sample) const override {
    return fmt::format("{}", fmt::join(sample.tags, " "));
  }
  void encode(const EncodingContext& in, EncodedSample& out) const override {
    const auto number_of = [&](std::size_t word) {
      return static_cast<std::uint16_t>(in.number_of(out.sample.tags[word]));
    };
    const std::vector<std::int64_t>& first = in.input.first_piece;
    if (out.sample.width > 0) {
      for (const std::int64_t row : first) out.tags.push_back(number_of(static_cast<std::size_t>(row)));
      return;
    }
    out.tags.assign(in.input.tokens.size(), kNotScored);
    for (std::size_t word = 0; word < first.size(); ++word)
      out.tags[static_cast<std::size_t>(first[word])] = number_of(word);
  }
  std::uint64_t append(const EncodedSample& one, const NumberOf&, ShardContent& content) const override {
    content.tags.insert(content.tags.end(), one.tags.begin(), one.tags.end());
    return 0;
  }
  void write(const ShardContent& content, const ColumnWriter& out) const override {
    out.dataset("target/tags", content.tags);
  }
  void open(const ShardReader& in, const ShardExpectation& expected, Shard& out) const override {
    out.tags = in.column("target/tags", {ColumnType::u16}, {Rule::What::tag, expected.classes});
    in.check_rows(out.tags, out.input_rows(), "input tokens");
  }

  void pack(const StoredSample& sample, const PackedSample& out) const override {
    const std::size_t first = out.slice.tags.size();
    sample.tags(out.slice.tags);
    for (std::size_t i = first; i < out.slice.tags.size(); ++i) out.slice.count += out.slice.tags[i] != kIgnore;
  }
  // Returns "word/TAG …". A scored piece begins a word.
  std::size_t losses(const TaskSlice& slice) const override { return slice.tags.size(); }
  std::string show(const StoredSample& sample, const TaskInfo& task, const Tokenizer& tokenizer,
                   std::span<const std::int64_t> tokens) const override {
    std::vector<std::int64_t> tags;
    sample.tags(tags);
    std::vector<std::string> words;
    for (std::size_t i = 0; i < tokens.size();) {
      std::size_t end = i + 1;
      while (end < tokens.size() && tags[end] == kIgnore) ++end;
      if (tags[i] != kIgnore)
        words.push_back(tokenizer.decode(tokens.subspan(i, end - i)) + "/" + label_name(task, tags[i]));
      i = end;
    }
    return fmt::format("{}", fmt::join(words, " "));
  }
  void classes(const StoredSample& sample, std::vector<std::int64_t>& out) const override { sample.tags(out); }
};

}  // namespace

void check_words(const SampleFile& file, std::uint64_t line, Sample& sample) {
  if (sample.words.empty()) file.fail(line, "has an empty 'words'; give it words or take the line out");
  if (sample.words.size() != sample.tags.size())
    file.fail(line, fmt::format("has {} words and {} tags; every word needs one tag", sample.words.size(),
                                sample.tags.size()));
  const auto check = [&](const std::vector<std::string>& list, std::string_view key) {
    for (const std::string& one : list)
      if (one.empty() || one.find_first_of(kBlanks) != std::string::npos)
        file.fail(line, fmt::format("has '{}' in '{}', which is empty or holds white space; split it or take it out",
                                    one, key));
      else if (!is_utf8(one))
        check_text(file, line, key, one);
  };
  check(sample.words, "words");
  check(sample.tags, "tags");
  if (file.bio.value_or(file.format == Format::conll)) sample.changed_tags = to_bio(sample.tags);
  for (const std::string& word : sample.words) sample.text += (sample.text.empty() ? "" : " ") + word;
}

std::unique_ptr<Target> make_tagging(Kind kind) {
  return std::make_unique<Tagging>(kind);
}

}  // namespace polyhead
