// Answers to questions: from characters of a file to tokens of a shard, and back to characters.
#include <gtest/gtest.h>

#include "core/base/batch.h"
#include "datasets/inspect.h"
#include "datasets/model_input.h"
#include "datasets/sampling/packing.h"
#include "datasets/shard.h"
#include "datasets/shard_writer.h"
#include "datasets/tokenizer/sentencepiece.h"
#include "datasets/verify.h"
#include "tests/core/expect_error.h"
#include "tests/datasets/import/import_folder.h"

namespace polyhead {
namespace {

class SpanTest : public ImportFolderTest {
 protected:
  // A task of these train lines, and the same lines as valid.
  ImportTask& lines(const std::string& content) {
    options_.tasks.clear();
    return task("t", Kind::span, {{"train", file("t.jsonl", content)}, {"valid", file("v.jsonl", content)}});
  }
  void vocabulary(const std::string& words) {
    options_.vocab = file("vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n" + words);
  }
  std::string imported() {
    std::string said;
    std::filesystem::remove_all(out_);
    import_dataset(options_, out_, [&](const std::string& line) { said += line + "\n"; });
    return said;
  }
};

using Span = std::pair<std::uint64_t, std::uint64_t>;

TEST_F(SpanTest, CharactersBecomeTokens) {
  // [CLS] a [SEP] a b c a [SEP]: the answer "b c" is tokens 4 and 5.
  lines("{\"question\": \"a\", \"text\": \"a b c a\", \"start\": 2, \"end\": 5}\n");
  const Manifest manifest = import();
  const SplitReader in = reader(manifest, "t");
  EXPECT_EQ(in.sample(0).second(), 3U);
  EXPECT_EQ(in.sample(0).span(), Span(4, 5));
  EXPECT_EQ(in.sample(0).text_of(4, 5), std::nullopt) << "train keeps no texts";
  const SplitReader valid = reader(manifest, "t", "valid");
  EXPECT_EQ(valid.sample(0).text_of(4, 5), "b c");
  EXPECT_EQ(valid.sample(0).input_text(), "a b c a");
  EXPECT_EQ(valid.sample(0).target_text(), "b c");

  Batch batch;
  const MaskingOptions masking;
  append(batch, 0, manifest.tasks[0], manifest.tokenizer, in.sample(0), 7, masking);
  EXPECT_EQ(batch.slices[0].context_begin, std::vector<std::int64_t>{3});
  EXPECT_EQ(batch.slices[0].span_begin, std::vector<std::int64_t>{4});
  EXPECT_EQ(batch.slices[0].span_end, std::vector<std::int64_t>{5});
  EXPECT_EQ(batch.slices[0].count, 1);
  const auto tokenizer = load_tokenizer(out_, manifest.tokenizer);
  EXPECT_EQ(inspect_split(in, manifest.tasks[0], *tokenizer, 1, 1).texts[0].target, "b c");
  EXPECT_TRUE(verify_dataset(out_, manifest, {}).all_faults().empty());
}

TEST_F(SpanTest, CharactersAreCodePointsOfTheOriginalText) {
  // WordPiece lowers and takes accents off; "É" is one character of two bytes, "e\u0301" two characters, "日" a word.
  vocabulary("ecole\nete\nun\n日\n本\n,\n");
  lines(
      "{\"question\": \"un\", \"text\": \"\xc3\x89"
      "cole, e\xcc\x81te\xcc\x81 un\", \"start\": 7, \"end\": 12}\n"
      "{\"question\": \"un\", \"text\": \"  \xc3\x89t\xc3\xa9 \xe6\x97\xa5\xe6\x9c\xac un\", \"start\": 7, \"end\": "
      "8}\n");
  const Manifest manifest = import();
  const SplitReader valid = reader(manifest, "t", "valid");
  const auto answer = [&](std::uint64_t i) {
    const auto [first, last] = valid.sample(i).span();
    return valid.sample(i).text_of(first, last).value();
  };
  EXPECT_EQ(answer(0), "e\xcc\x81te\xcc\x81");
  EXPECT_EQ(answer(1), "\xe6\x9c\xac");
}

TEST_F(SpanTest, TheSmallestRunOfTokensCoversAnAnswer) {
  vocabulary("ab\nc\n##c\n");
  lines("{\"question\": \"c\", \"text\": \"c ab c\", \"start\": 3, \"end\": 6}\n");
  EXPECT_NE(imported().find("2 of 2 answers begin or end inside a token"), std::string::npos);
  const Manifest manifest = read_manifest(out_);
  EXPECT_EQ(reader(manifest, "t").sample(0).span(), Span(4, 5));
  EXPECT_EQ(reader(manifest, "t", "valid").sample(0).target_text(), "b c");
}

TEST_F(SpanTest, AnAnswerBehindTheLastTokenIsNotTrainedOn) {
  options_.max_length = 8;  // [CLS] a [SEP] b b b b [SEP]
  lines(
      "{\"question\": \"a\", \"text\": \"b b b b b c\", \"start\": 10, \"end\": 11}\n"
      "{\"question\": \"a\", \"text\": \"b b b b b c\", \"start\": 6, \"end\": 9}\n"
      "{\"question\": \"a\", \"text\": \"b b b c\", \"start\": 6, \"end\": 7}\n");
  EXPECT_NE(imported().find("4 of 6 answers end behind the tokens that max_length keeps"), std::string::npos);
  const Manifest manifest = read_manifest(out_);
  const SplitReader in = reader(manifest, "t");
  Batch batch;
  for (std::uint64_t i = 0; i < 3; ++i)
    append(batch, 0, manifest.tasks[0], manifest.tokenizer, in.sample(i), i, MaskingOptions{});
  EXPECT_EQ(batch.slices[0].span_begin, (std::vector<std::int64_t>{kIgnore, kIgnore, 6}));
  EXPECT_EQ(batch.slices[0].span_end, (std::vector<std::int64_t>{kIgnore, kIgnore, 6}));
  EXPECT_EQ(batch.slices[0].count, 1);
  EXPECT_EQ(reader(manifest, "t", "valid").sample(1).target_text(), "b b");
}

TEST_F(SpanTest, KeysOfHubsAreRead) {
  const std::string hub =
      "{\"id\": \"1\", \"title\": \"x\", \"context\": \"a b c a\", \"question\": \"a\", "
      "\"answers\": {\"text\": [\"b c\", \"c\"], \"answer_start\": [2, 4]}}\n";
  lines(hub);
  const Manifest manifest = import();
  EXPECT_EQ(reader(manifest, "t").sample(0).span(), Span(4, 5));
  EXPECT_EQ(reader(manifest, "t", "valid").sample(0).target_text(), "b c\nc");
}

TEST_F(SpanTest, RangesThatDoNotFitAreRefused) {
  const std::string good = "{\"question\": \"a\", \"text\": \"a b\", \"start\": 2, \"end\": 3}\n";
  for (const auto& [start, end] : {std::pair(2, 4), std::pair(2, 2), std::pair(3, 2)}) {
    lines(good + "{\"question\": \"a\", \"text\": \"\xc3\xa9 b\", \"start\": " + std::to_string(start) +
          ", \"end\": " + std::to_string(end) + "}\n");
    refuse({"t.jsonl, line 2", "in a text of 3 characters"});
  }
  lines(good + "{\"question\": \"a\", \"text\": \"a b\", \"start\": 1, \"end\": 2}\n");
  refuse({"t.jsonl, line 2", "white space"});
  lines(good + "{\"question\": \"a\", \"text\": \"a b\", \"start\": -1, \"end\": 2}\n");
  refuse({"t.jsonl, line 2", "'start'"});
  lines("{\"question\": \"a\", \"context\": \"a b\", \"answer_start\": 0, \"answer\": \"b\"}\n");
  refuse({"t.jsonl, line 1", "has the answer 'b', but its text has 'a' at character 0"});
  lines("{\"question\": \"a\", \"text\": \"a b\", \"start\": 0}\n");
  refuse({"t.jsonl, line 1", "'end' or 'answer'"});
}

TEST_F(SpanTest, CharactersBeyondTheirTextAreFound) {
  ShardContent content;
  content.task = "t", content.split = "valid", content.kind = Kind::span, content.vocab_size = 10;
  content.input.push(std::vector<std::uint32_t>{2, 5, 3, 6, 3});
  content.second = {3}, content.span = {3, 3};
  content.characters = {0, 0, 0, 0, 0, 0, 0, 1, 0, 0};
  content.input_text.emplace().push(std::string("\xc3\xa9"));
  ShardExpectation expected;
  expected.task = "t", expected.split = "valid", expected.kind = Kind::span, expected.vocab_size = 10;
  expected.info.samples = 1;
  write_shard(folder_ / "s.h5", content);
  EXPECT_NO_THROW(check_shard(folder_ / "s.h5", expected));
  content.characters[7] = 2;
  write_shard(folder_ / "s.h5", content);
  expect_error([&] { check_shard(folder_ / "s.h5", expected); }, Exit::data,
               {"/target/characters of sample 0 reaches character 2 of a text of 1"});
}

TEST_F(SpanTest, SentencePieceGivesTheSameCharacters) {
  std::vector<std::string> texts;
  for (int i = 0; i < 50; ++i) texts.emplace_back("caf\xc3\xa9 na\xc3\xafve \xc2\xbd of the way " + std::to_string(i));
  write_file_atomically(folder_ / "m.model", train_sentencepiece(texts, 60));
  TokenizerInfo info;
  const auto tokenizer = load_sentencepiece(folder_ / "m.model", info);
  const std::string text = "  na\xc3\xafve  caf\xc3\xa9 of";
  const EncodedText encoded = tokenizer->encode_with_characters(text);
  EXPECT_EQ(encoded.ids, tokenizer->encode(text));
  // Together the tokens are all characters but white space, in order.
  std::vector<std::uint32_t> seen;
  for (const CharacterRange& range : encoded.characters)
    for (std::uint32_t c = range.begin; c < range.end; ++c) seen.push_back(c);
  EXPECT_EQ(seen, (std::vector<std::uint32_t>{2, 3, 4, 5, 6, 9, 10, 11, 12, 14, 15}));
}

}  // namespace
}  // namespace polyhead
