// The tokenizer in the folder of a pretrained model: which file is taken, what is refused, and what is written.
// (tests/python/training/pretrained_test.py compares with transformers.)
#include "datasets/tokenizer/pretrained.h"

#include "core/base/files.h"
#include "datasets/tokenizer/sentencepiece.h"
#include "datasets/tokenizer/tokenizer.h"
#include "tests/datasets/folder.h"

namespace polyhead {
namespace {

constexpr const char* kVocabulary = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\n";
constexpr const char* kJson =
    R"({"normalizer": {"type": "BertNormalizer", "lowercase": false},
        "model": {"type": "WordPiece", "vocab": {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "[MASK]": 4, "b": 6, "a": 5}}})";

class PretrainedTokenizerTest : public FolderTest {
 protected:
  void write(const char* name, const std::string& text) { write_file_atomically(folder_ / name, text); }
  void refuses(Exit code, const std::vector<std::string>& words) {
    expect_error(code, words, [&] { read_pretrained_tokenizer(folder_); });
  }
  TokenizerInfo info_of(const PretrainedTokenizer& found) {
    write(found.file.c_str(), found.content);
    return inspect_tokenizer(found.kind, folder_ / found.file, found.lowercase);
  }
};

TEST_F(PretrainedTokenizerTest, MakesTheVocabularyOfTokenizerJson) {
  write("tokenizer.json", kJson);
  const PretrainedTokenizer found = read_pretrained_tokenizer(folder_);
  EXPECT_EQ(found.kind, "wordpiece");
  EXPECT_EQ(found.content, kVocabulary);
  EXPECT_EQ(found.lowercase, false);
  const TokenizerInfo info = info_of(found);
  EXPECT_EQ(info.lowercase, false);  // the vocabulary has no upper-case letter, so this must be said
  EXPECT_EQ(tokenizer_difference(found, info), "");
}

TEST_F(PretrainedTokenizerTest, PrefersVocabTxtAndItsConfiguration) {
  write("tokenizer.json", kJson);
  write("vocab.txt", std::string(kVocabulary) + "c\n");
  write("tokenizer_config.json", R"({"do_lower_case": true, "strip_accents": null})");
  const PretrainedTokenizer found = read_pretrained_tokenizer(folder_);
  EXPECT_EQ(found.content, std::string(kVocabulary) + "c\n");
  EXPECT_EQ(found.lowercase, true);
  TokenizerInfo info = info_of(found);
  EXPECT_EQ(tokenizer_difference(found, info), "");
  info.lowercase = false;
  EXPECT_EQ(tokenizer_difference(found, info), "only one of them lower-cases texts");
  info.sha256 = "0";
  EXPECT_EQ(tokenizer_difference(found, info), "it has other pieces");
  info.kind = "sentencepiece";
  EXPECT_EQ(tokenizer_difference(found, info), "its kind is sentencepiece instead of wordpiece");
}

TEST_F(PretrainedTokenizerTest, RefusesWhatItCannotRead) {
  refuses(Exit::config, {"there is no tokenizer", "vocab.txt"});
  write("merges.txt", "");
  refuses(Exit::config, {"merges.txt", "byte-level BPE", "vocab.txt"});
  write("tokenizer.json", R"({"model": {"type": "BPE"}})");
  refuses(Exit::config, {"tokenizer.json", "\"BPE\"", "WordPiece"});
  write("tokenizer.json", "{");
  refuses(Exit::data, {"tokenizer.json"});
  write("tokenizer.json", R"({"model": {"type": "WordPiece", "vocab": {"a": 0, "b": 2}}})");
  refuses(Exit::data, {"tokenizer.json", "0 to 1, each once"});
  write("tokenizer.json", R"({"model": {"type": "WordPiece", "vocab": {"a\nb": 0}}})");
  refuses(Exit::data, {"line break"});
  write("tokenizer.json", R"({"model": {"type": "WordPiece", "vocab": [["a", 0]]}})");
  refuses(Exit::data, {"model.vocab is not an object"});
  write("tokenizer.json", R"({"normalizer": {"type": "NFC"}, "model": {"type": "WordPiece", "vocab": {"a": 0}}})");
  refuses(Exit::config, {"\"NFC\"", "BertNormalizer"});
  write("vocab.txt", kVocabulary);
  write("tokenizer_config.json", R"({"do_lower_case": true, "strip_accents": false})");
  refuses(Exit::config, {"tokenizer_config.json", "strip_accents = false"});
  write("tokenizer_config.json", R"({"tokenize_chinese_chars": false})");
  refuses(Exit::config, {"tokenize_chinese_chars = false"});
}

TEST_F(PretrainedTokenizerTest, WritesWhatItReads) {
  write("vocab.txt", std::string(kVocabulary) + "A\n");  // a cased vocabulary
  const TokenizerInfo info = inspect_tokenizer("wordpiece", folder_ / "vocab.txt");
  const std::filesystem::path out = folder_ / "out";
  std::filesystem::create_directory(out);
  write_pretrained_tokenizer(out, folder_, info, 64);
  const PretrainedTokenizer found = read_pretrained_tokenizer(out);
  EXPECT_EQ(found.lowercase, false);
  EXPECT_EQ(tokenizer_difference(found, info), "");
}

TEST_F(PretrainedTokenizerTest, XlmRobertaHasOtherIdsThanItsFile) {
  std::vector<std::string> texts;
  for (int i = 0; i < 300; ++i) texts.push_back("the " + std::string(1, static_cast<char>('a' + i % 26)) + "ab cade");
  // pad = 0, unk = 1: not the file of an XLM-RoBERTa, which begins with unk, bos, eos.
  write("sentencepiece.bpe.model", train_sentencepiece(texts, 60));
  const PretrainedTokenizer found = read_pretrained_tokenizer(folder_);
  EXPECT_EQ(found.kind, "xlm_roberta");
  expect_error(Exit::data, {"tokenizer.model", "XLM-RoBERTa"}, [&] { info_of(found); });
}

TEST_F(PretrainedTokenizerTest, PairsOfXlmRobertaHaveTwoSeparators) {
  TokenizerInfo info{.kind = "xlm_roberta",
                     .file = {},
                     .sha256 = {},
                     .vocab_size = 20,
                     .pad = 1,
                     .unk = 3,
                     .bos = 0,
                     .eos = 2,
                     .mask = 19};
  const EncodedPair pair = frame_pair({7, 8}, {9}, info, 100);
  EXPECT_EQ(pair.tokens, (std::vector<std::int64_t>{0, 7, 8, 2, 2, 9, 2}));
  EXPECT_EQ(pair.second, 5U);
  EXPECT_EQ(frame_pair({7, 7, 7, 7}, {9, 9, 9}, info, 9).tokens,
            (std::vector<std::int64_t>{0, 7, 7, 7, 2, 2, 9, 9, 2}));
}

}  // namespace
}  // namespace polyhead
