// WordPiece on hand-made cases, training of SentencePiece and its limits, and the sequences that the model reads.
#include "datasets/tokenizer/tokenizer.h"

#include <algorithm>

#include "core/base/files.h"
#include "datasets/tokenizer/sentencepiece.h"
#include "tests/datasets/folder.h"

namespace polyhead {
namespace {

using Ids = std::vector<std::int64_t>;

class TokenizerTest : public FolderTest {
 protected:
  // A WordPiece tokenizer of these pieces behind the special ones, which are 0..4.
  std::unique_ptr<Tokenizer> wordpiece(const std::vector<std::string>& pieces) {
    std::string vocab = "[PAD]\n[UNK]\r\n[CLS]\n[SEP]\n[MASK]\n";
    for (const std::string& piece : pieces) vocab += piece + "\n";
    write_file_atomically(folder_ / "vocab.txt", vocab);
    info_ = inspect_tokenizer("wordpiece", folder_ / "vocab.txt");
    return load_tokenizer(folder_, info_);
  }
  static std::vector<std::string> texts() {
    std::vector<std::string> all;
    all.reserve(300);
    for (int i = 0; i < 300; ++i)
      all.push_back("the " + std::string(1, static_cast<char>('a' + i % 26)) + "ab cade " + std::to_string(i * 7919) +
                    " hello world");
    return all;
  }
  TokenizerInfo info_;
};

TEST_F(TokenizerTest, WordPieceTakesTheLongestMatchFirst) {
  const auto t = wordpiece({"un", "##aff", "##able", "##affable", "affable", "a"});
  EXPECT_EQ(t->encode("unaffable"), (Ids{5, 8}));
  EXPECT_EQ(t->encode("affable  a\n"), (Ids{9, 10}));
  EXPECT_EQ(t->encode("unaffa"), (Ids{1}));  // a rest that matches nothing: the whole word is unk
  EXPECT_EQ(t->encode(std::string(101, 'a')), (Ids{1}));
  EXPECT_EQ(t->encode(""), Ids{});
  EXPECT_EQ(t->encode(" \t\xc2\xa0\xe3\x80\x80"), Ids{});
  EXPECT_EQ(t->decode(Ids{2, 5, 8, 9, 0, 4, 3}), "unaffable affable");
}

TEST_F(TokenizerTest, WordPieceLowersStripsAndSplits) {
  const auto t = wordpiece({"uber", "!", ",", "a", "b", "漢", "字", "¿", "ss", "i", "я", "$"});
  EXPECT_EQ(t->encode("Über! U\xcc\x88"
                      "ber,A"),
            (Ids{5, 6, 5, 7, 8}));
  EXPECT_EQ(t->encode("a漢字b"), (Ids{8, 10, 11, 9}));
  EXPECT_EQ(t->encode("a\xef\xa9\x87 b"), (Ids{8, 10, 9}));  // U+FA47, a compatibility form of 漢
  EXPECT_EQ(t->encode("a\xe2\x80\xa8"
                      "b\xe2\x80\xa9"),
            (Ids{8, 9}));                       // line and paragraph separators
  EXPECT_EQ(t->encode("a\xcd\xb8"), (Ids{1}));  // not assigned, but not dropped
  EXPECT_EQ(t->encode("¿a$"), (Ids{12, 8, 16}));
  EXPECT_EQ(t->encode("İ Я"), (Ids{14, 15}));
  EXPECT_EQ(t->encode("a\xe2\x80\x8b"
                      "b"),
            (Ids{1}));  // ZWSP is dropped: "ab"
  EXPECT_EQ(t->encode("\x01\xff"
                      "a\xc3"),
            (Ids{8}));                                                     // control, not UTF-8
  EXPECT_EQ(t->encode("a \xed\xa0\x80 \xf4\x90\x80\x80 b"), (Ids{8, 9}));  // surrogate, above U+10FFFF
}

TEST_F(TokenizerTest, WordPieceKeepsCaseWhereItsVocabularyHasIt) {
  const auto t = wordpiece({"Über", "uber", "a", "A"});
  EXPECT_EQ(t->encode("Über uber a A"), (Ids{5, 6, 7, 8}));
}

TEST_F(TokenizerTest, RefusesFilesThatAreNoTokenizer) {
  write_file_atomically(folder_ / "vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\na\n");
  expect_error(Exit::data, {"vocab.txt", "lacks [MASK]"},
               [&] { inspect_tokenizer("wordpiece", folder_ / "vocab.txt"); });
  expect_error(Exit::data, {"vocab.txt", "not a SentencePiece model"},
               [&] { inspect_tokenizer("sentencepiece", folder_ / "vocab.txt"); });
  expect_error(Exit::config, {"'bytes' is unknown"}, [&] { inspect_tokenizer("bytes", folder_ / "vocab.txt"); });
}

TEST_F(TokenizerTest, ChecksTheManifestsFigures) {
  wordpiece({"a"});
  const TokenizerInfo good = info_;
  EXPECT_EQ(good.vocab_size, 6);
  EXPECT_EQ(good.file, "vocab.txt");
  const auto refuse = [&](const char* word, const std::function<void(TokenizerInfo&)>& change) {
    TokenizerInfo bad = good;
    change(bad);
    expect_error(Exit::data, {word, "vocab.txt"}, [&] { load_tokenizer(folder_, bad); });
  };
  refuse("another SHA-256", [](TokenizerInfo& i) { i.sha256[0] = 'x'; });
  refuse("vocab_size = 6, the manifest says 7", [](TokenizerInfo& i) { i.vocab_size = 7; });
  refuse("mask = 4, the manifest says 5", [](TokenizerInfo& i) { i.mask = 5; });
  std::filesystem::rename(folder_ / "vocab.txt", folder_ / "x");
  refuse("is missing", [](TokenizerInfo&) {});
}

TEST_F(TokenizerTest, SentencePieceIsTrainedTheSameEveryTime) {
  const std::string model = train_sentencepiece(texts(), 60);
  EXPECT_EQ(train_sentencepiece(texts(), 60), model);
  write_file_atomically(folder_ / "tokenizer.model", model);
  info_ = inspect_tokenizer("sentencepiece", folder_ / "tokenizer.model");
  EXPECT_EQ(info_.vocab_size, 60);
  EXPECT_EQ((Ids{info_.pad, info_.unk, info_.bos, info_.eos, info_.mask}), (Ids{0, 1, 2, 3, 4}));
  const auto t = load_tokenizer(folder_, info_);
  Ids ids = t->encode("hello world the cade");
  EXPECT_EQ(t->decode(ids), "hello world the cade");
  EXPECT_GT(*std::min_element(ids.begin(), ids.end()), 4);
  ids.insert(ids.begin(), {2, 4, 0});
  ids.insert(ids.end(), {3, 1'000'000, -1});
  EXPECT_EQ(t->decode(ids), "hello world the cade");
  ids = t->encode("<mask>");
  EXPECT_EQ(std::count(ids.begin(), ids.end(), 4), 0);
  EXPECT_NO_THROW(t->encode("\xff\xfe\x80"));
}

TEST_F(TokenizerTest, SentencePieceSaysWhichSizesArePossible) {
  // The size is an upper bound: the most that the texts allow is what that size gives when it is asked for.
  write_file_atomically(folder_ / "most.model", train_sentencepiece(texts(), 5000));
  const std::int64_t most = inspect_tokenizer("sentencepiece", folder_ / "most.model").vocab_size;
  EXPECT_GT(most, 60);
  EXPECT_LT(most, 5000);
  EXPECT_EQ(train_sentencepiece(texts(), most), train_sentencepiece(texts(), 5000));
  expect_error(Exit::data, {"cannot make 10 pieces", "set vocab_size above "},
               [] { train_sentencepiece(texts(), 10); });
  expect_error(Exit::data, {"of the 0 training texts"}, [] { train_sentencepiece({}, 60); });
}

TEST_F(TokenizerTest, LongTextsAreCutBeforeTraining) {
  std::vector<std::string> all = texts();
  for (int i = 0; i < 300; ++i) all.push_back(std::string(4095, ' ') + "ü zzzz");  // cut inside 'ü'
  all.push_back("z z z z z z");
  EXPECT_FALSE(train_sentencepiece(all, 60).empty());
}

TEST_F(TokenizerTest, SequencesAreCut) {
  const auto t = wordpiece({"a", "b", "c", "##c", "d"});
  EXPECT_EQ(encode_input(*t, info_, "a b", 4), (Ids{2, 5, 6, 3}));
  EXPECT_EQ(encode_input(*t, info_, "a b c", 4), (Ids{2, 5, 6, 3}));
  EXPECT_EQ(encode_input(*t, info_, "", 4), (Ids{2, 3}));

  const auto pair = [&](const char* a, const char* b, std::size_t length) {
    return encode_pair(*t, info_, a, b, length);
  };
  EXPECT_EQ(pair("a b", "d", 10).tokens, (Ids{2, 5, 6, 3, 9, 3}));
  EXPECT_EQ(pair("a b", "d", 10).second, 4U);
  EXPECT_EQ(pair("a a a a", "d", 6).tokens, (Ids{2, 5, 5, 3, 9, 3}));
  EXPECT_EQ(pair("a", "d d d d", 6).tokens, (Ids{2, 5, 3, 9, 9, 3}));
  EXPECT_EQ(pair("a a a a", "d d d d", 8).tokens, (Ids{2, 5, 5, 5, 3, 9, 9, 3}));
  EXPECT_EQ(pair("a a a a", "d d d d", 8).second, 5U);

  const std::vector<std::string> words = {"a", "bc", "zz", "\x01", "cc"};
  const EncodedWords whole = encode_words(*t, info_, words, 20);
  EXPECT_EQ(whole.tokens, (Ids{2, 5, 6, 8, 1, 1, 7, 8, 3}));
  EXPECT_EQ(whole.first_piece, (Ids{1, 2, 4, 5, 6}));
  const EncodedWords cut = encode_words(*t, info_, words, 4);
  EXPECT_EQ(cut.tokens, (Ids{2, 5, 3}));  // "bc" would not fit whole
  EXPECT_EQ(cut.first_piece, (Ids{1}));
  EXPECT_TRUE(cut.cut && !whole.cut);
}

}  // namespace
}  // namespace polyhead
