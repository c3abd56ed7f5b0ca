// span: the place of an answer in a text, for a question (extractive question answering).
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "core/base/utf8.h"
#include "datasets/target.h"

namespace polyhead {
namespace {

constexpr std::size_t kCutOff = 0, kInsideToken = 1;

// Reads whole numbers from 0.
std::vector<std::uint64_t> read_places(const SampleParts& in, std::string_view part) {
  Sample numbers;
  in.numbers(part, numbers);
  std::vector<std::uint64_t> out;
  for (const double number : numbers.exact) {
    if (number < 0 || number != std::floor(number) || number > UINT32_MAX)
      in.fail(fmt::format("has {} in '{}', expected a number of characters from 0", number, part));
    out.push_back(static_cast<std::uint64_t>(number));
  }
  return out;
}

bool is_blank(std::u32string_view text) {
  return std::ranges::all_of(text, [](char32_t c) { return is_space(c); });
}

class Span : public Target {
 public:
  using Target::Target;

  InputForm input_form() const override { return InputForm::context; }
  SecondText second_text() const override { return SecondText::none; }
  bool takes_vectors() const override { return false; }
  std::string input_text(const Sample& sample) const override { return *sample.second; }

  const std::vector<PartNames>& parts() const override {
    static const std::vector<PartNames> all = {
        {"question", {"query"}, PartNames::Role::input},
        {"text", {"context", "passage", "paragraph", "document", "article"}, PartNames::Role::input},
        {"start", {"answer_start", "answers.answer_start", "start_char"}},
        {"end", {"answer_end", "end_char"}, PartNames::Role::optional},
        {"answer", {"answer_text", "answers.text"}, PartNames::Role::optional}};
    return all;
  }
  // The question is the first text of the input, the context the second.
  void read(const SampleParts& in, Sample& sample) const override {
    sample.text = in.text("question");
    sample.second = in.text("text");
    const std::u32string text = decode_utf8(*sample.second);
    const std::vector<std::uint64_t> starts = read_places(in, "start");
    std::vector<std::uint64_t> ends;
    std::vector<std::string> texts;
    if (in.has("end")) ends = read_places(in, "end");
    if (in.has("answer")) texts = in.texts("answer");
    if (ends.empty() && texts.empty()) in.fail("lacks 'end' or 'answer', the text of the answer; add one of them");
    for (const auto& [count, part] : {std::pair(ends.size(), "end"), std::pair(texts.size(), "answer")})
      if (count > 0 && count != starts.size())
        in.fail(fmt::format("has {} entries in 'start' and {} in '{}'; every answer needs one in each", starts.size(),
                            count, part));
    for (std::size_t i = 0; i < starts.size(); ++i) {
      const std::u32string answer = texts.empty() ? U"" : decode_utf8(texts[i]);
      add_answer(in, text, {starts[i], ends.empty() ? starts[i] + answer.size() : ends[i]}, sample);
      if (!texts.empty() && texts[i] != sample.references.back())
        in.fail(
            fmt::format("has the answer '{}', but its text has '{}' at character {}; count characters (Unicode "
                        "code points) from 0",
                        texts[i], sample.references.back(), starts[i]));
    }
  }

  bool keeps_texts() const override { return true; }
  std::string target_text(const Sample& sample) const override {
    std::string all;
    for (std::string one : sample.references) {
      std::ranges::replace(one, '\n', ' ');
      all += (all.empty() ? "" : "\n") + one;
    }
    return all;
  }
  void encode(const EncodingContext& in, EncodedSample& out) const override {
    out.characters = in.input.characters;
    const CharacterRange& answer = out.sample.answer;
    // The smallest run of tokens that covers the answer.
    std::size_t first = 0, last = 0;
    for (std::size_t i = 0; i < out.characters.size(); ++i) {
      const CharacterRange& token = out.characters[i];
      if (token.begin >= token.end || token.end <= answer.begin || token.begin >= answer.end) continue;
      if (first == 0) first = i;
      last = i;
    }
    if (first == 0 || (in.input.cut && covering(out.characters).end < answer.end)) {
      out.remarks.push_back(kCutOff);
      return;
    }
    out.span = {static_cast<std::uint32_t>(first), static_cast<std::uint32_t>(last)};
    if (out.characters[first].begin < answer.begin || out.characters[last].end > answer.end)
      out.remarks.push_back(kInsideToken);
  }
  std::string_view remark(std::size_t which) const override {
    return which == kCutOff ? "answers end behind the tokens that max_length keeps, so that they are not trained on; "
                              "evaluations still expect them"
                            : "answers begin or end inside a token; the smallest run of tokens that covers an answer "
                              "is its target";
  }
  std::uint64_t append(const EncodedSample& one, const NumberOf&, ShardContent& content) const override {
    content.span.insert(content.span.end(), {one.span.first, one.span.second});
    std::uint64_t bytes = 2 * sizeof(std::uint32_t);
    if (!content.target_text) return bytes;
    for (const CharacterRange& token : one.characters)
      content.characters.insert(content.characters.end(), {token.begin, token.end});
    return bytes + one.characters.size() * sizeof(CharacterRange);
  }
  void write(const ShardContent& content, const ColumnWriter& out) const override {
    out.dataset("target/span", content.span, 2);
    if (!content.characters.empty()) out.dataset("target/characters", content.characters, 2);
  }
  void open(const ShardReader& in, const ShardExpectation&, Shard& out) const override {
    if (!out.second.present()) in.fail("/input/second is missing, where the texts of span begin");
    out.span = in.column("target/span", {ColumnType::u32}, {}, 2);
    in.check_rows(out.span, out.samples() * 2, "samples x 2");
    out.characters = in.optional("target/characters", {ColumnType::u32}, {}, 2);
    if (out.characters.present()) in.check_rows(out.characters, out.input_rows() * 2, "input tokens x 2");
  }

  void pack(const StoredSample& sample, const PackedSample& out) const override {
    const auto [first, last] = sample.span();
    out.slice.context_begin.push_back(static_cast<std::int64_t>(sample.second()));
    out.slice.span_begin.push_back(first > 0 ? static_cast<std::int64_t>(first) : kIgnore);
    out.slice.span_end.push_back(first > 0 ? static_cast<std::int64_t>(last) : kIgnore);
    out.slice.count += first > 0;
  }
  std::string show(const StoredSample& sample, const TaskInfo&, const Tokenizer& tokenizer,
                   std::span<const std::int64_t> tokens) const override {
    const auto [first, last] = sample.span();
    return first == 0 ? "(cut off)" : tokenizer.decode(tokens.subspan(first, last - first + 1));
  }

 private:
  // Adds an answer to the references; the first one is the target.
  static void add_answer(const SampleParts& in, std::u32string_view text, std::pair<std::uint64_t, std::uint64_t> place,
                         Sample& sample) {
    auto [begin, end] = place;
    if (begin >= end || end > text.size())
      in.fail(
          fmt::format("has an answer from character {} to {} in a text of {} characters; 'start' and 'end' count "
                      "characters (Unicode code points) from 0, and 'end' is the one after the answer",
                      begin, end, text.size()));
    const std::u32string_view answer = text.substr(begin, end - begin);
    if (is_blank(answer))
      in.fail(fmt::format("has an answer from character {} to {} that is white space; correct it or take the line out",
                          begin, end));
    sample.references.push_back(encode_utf8(answer));
    if (sample.references.size() > 1) return;
    while (is_space(text[begin])) ++begin;
    while (is_space(text[end - 1])) --end;
    sample.answer = {static_cast<std::uint32_t>(begin), static_cast<std::uint32_t>(end)};
  }
};

}  // namespace

std::unique_ptr<Target> make_span(Kind kind) {
  return std::make_unique<Span>(kind);
}

}  // namespace polyhead
