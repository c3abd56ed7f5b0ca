// translation: a text per sample, in tokens.
#include <algorithm>

#include "datasets/target.h"

namespace polyhead {
namespace {

// Whether the texts are equal except for white space.
bool same_text(std::string_view a, std::string_view b) {
  const auto next = [](std::string_view& text) {
    text.remove_prefix(std::min(text.find_first_not_of(kBlanks), text.size()));
    const std::string_view word = text.substr(0, text.find_first_of(kBlanks));
    text.remove_prefix(word.size());
    return word;
  };
  for (;;) {
    const std::string_view here = next(a), there = next(b);
    if (here != there) return false;
    if (here.empty()) return true;
  }
}

class Translation : public Target {
 public:
  using Target::Target;

  SecondText second_text() const override { return SecondText::named; }

  const std::vector<PartNames>& parts() const override {
    static const std::vector<PartNames> all = {{"text",
                                                {"source", "src", "source_text", "source_sentence", "input", "sentence",
                                                 "document", "article", "question", "dialogue", "content", "review"},
                                                PartNames::Role::input},
                                               {"target",
                                                {"tgt", "target_text", "target_sentence", "translation", "summary",
                                                 "output", "response", "answer", "highlights"}}};
    return all;
  }
  bool fits(Format format) const override { return format == Format::text || Target::fits(format); }
  bool has_target_files() const override { return true; }
  std::optional<std::string> language(const SampleFile& file, std::string_view part) const override {
    return part == "text" ? file.source_language : file.target_language;
  }
  void read(const SampleParts& in, Sample& sample) const override {
    in.input(sample);
    sample.target = in.text("target");
  }

  bool keeps_texts() const override { return true; }
  std::string target_text(const Sample& sample) const override { return sample.target; }
  void encode(const EncodingContext& in, EncodedSample& out) const override {
    out.target = in.tokenizer.encode(out.sample.target);
    if (out.target.empty()) in.fail(nothing_kept("target"));
    out.altered = in.info.kind != "wordpiece" && !same_text(in.tokenizer.decode(out.target), out.sample.target);
    out.cut = out.cut || out.target.size() > in.max_length - 1;
    out.target.resize(std::min(out.target.size(), in.max_length - 1));
    out.target.push_back(in.info.eos);
  }
  std::uint64_t append(const EncodedSample& one, const NumberOf&, ShardContent& content) const override {
    content.target.push(one.target);
    return 0;
  }
  void write(const ShardContent& content, const ColumnWriter& out) const override {
    out.ragged_tokens("target", content.target, content.vocab_size);
  }
  void open(const ShardReader& in, const ShardExpectation& expected, Shard& out) const override {
    out.target =
        in.column("target/tokens", {ColumnType::u16, ColumnType::u32}, {Rule::What::token, expected.vocab_size});
    out.target_offsets = in.column("target/offsets", {ColumnType::u64}, {Rule::What::filled, out.target.size()});
    in.check_count(out.target_offsets, out.samples());
  }

  void pack(const StoredSample& sample, const PackedSample& out) const override {
    TaskSlice& slice = out.slice;
    if (slice.target_offsets.empty()) slice.target_offsets.push_back(0);
    sample.target_tokens(slice.target_tokens);
    const auto end = static_cast<std::int64_t>(slice.target_tokens.size());
    slice.count += end - slice.target_offsets.back();
    slice.target_offsets.push_back(end);
  }
  std::size_t losses(const TaskSlice& slice) const override { return slice.target_tokens.size(); }
  std::string show(const StoredSample& sample, const TaskInfo&, const Tokenizer& tokenizer,
                   std::span<const std::int64_t>) const override {
    std::vector<std::int64_t> tokens;
    sample.target_tokens(tokens);
    return tokenizer.decode(tokens);
  }
};

}  // namespace

std::unique_ptr<Target> make_translation(Kind kind) {
  return std::make_unique<Translation>(kind);
}

}  // namespace polyhead
