// Labels, targets and texts that look right but are wrong: look-alikes, lost digits, duplicates.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "datasets/import/target_forms.h"
#include "datasets/import/unknown_tokens.h"
#include "datasets/tokenizer/sentencepiece.h"
#include "datasets/tokenizer/tokenizer.h"
#include "datasets/tokenizer/unicode.h"
#include "tests/datasets/import/import_folder.h"

namespace polyhead {
namespace {

using Ids = std::vector<std::int64_t>;

class ValuesTest : public ImportFolderTest {
 protected:
  // Imports, and returns the lines that begin with "warning: ", together.
  std::string warnings() {
    std::string out;
    std::filesystem::remove_all(out_);
    import_dataset(options_, out_, [&](const std::string& line) {
      if (line.starts_with("warning: ")) out += line + "\n";
    });
    return out;
  }
  static void has(const std::string& text, const std::vector<std::string>& words) {
    for (const std::string& word : words) EXPECT_NE(text.find(word), std::string::npos) << word << " in: " << text;
  }
};

TEST_F(ValuesTest, LabelsThatLookAlikeAreNamedOnce) {
  const char* content =
      "text,label\na,pos\nb, pos\na b,caf\xc3\xa9\nb a,cafe\xcc\x81\nb b,new york\na a,new\xc2\xa0york\n"
      "c,\xef\xbb\xbfPOS\nc,pos\n";
  only(Kind::classification, "t.csv", content);
  const std::string text = warnings();
  has(text, {"labels that look alike", "'pos' (t.csv line 2)", "' pos' (t.csv line 3)", "'cafe\\u0301' (t.csv line 5)",
             "'new\\u00a0york'", "'\\ufeffPOS' (t.csv line 8)", "labels = strip, nfc"});
  EXPECT_EQ(text.find("look alike"), text.rfind("look alike"));
}

TEST_F(ValuesTest, StripAndNfcMergeThem) {
  ImportTask& t = only(Kind::classification, "t.csv",
                       "text,label\na,pos\nb, pos\na b,\xef\xbb\xbfpos\nc,caf\xc3\xa9\nc,cafe\xcc\x81 \n");
  t.strip_labels = t.compose_labels = true;
  EXPECT_EQ(import().task("t").labels, (std::vector<std::string>{"caf\xc3\xa9", "pos"}));
}

TEST_F(ValuesTest, ALookAlikeInAnotherSplitIsSaid) {
  options_.tasks.clear();
  task("t", Kind::classification,
       {{"train", file("t.csv", "text,label\na,pos\nb,neg\n")}, {"test", file("e.csv", "text,label\na,pos \n")}});
  refuse({"e.csv", "line 2", "the label 'pos '", "train has 'pos', which looks the same", "labels = strip, nfc"});
}

TEST_F(ValuesTest, EmptyLabelsAreRefused) {
  for (const char* labels : {R"([""])", R"(["p", " "])", R"(["\u00a0"])", R"(["\ufeff"])"}) {
    only(Kind::multilabel, "t.jsonl",
         std::string("{\"text\": \"a\", \"labels\": [\"p\"]}\n{\"text\": \"b\", \"labels\": ") + labels + "}\n");
    refuse({"t.jsonl", "line 2", "an empty name in 'labels'"});
  }
  only(Kind::multilabel, "t.jsonl", "{\"text\": \"a\", \"labels\": [\"p\"]}\n{\"text\": \"b\", \"labels\": []}\n");
  EXPECT_EQ(import().task("t").labels, std::vector<std::string>{"p"});
}

TEST_F(ValuesTest, BooleansAreLabelsOfTheirOwn) {
  only(Kind::classification, "t.jsonl", "{\"text\": \"a\", \"label\": true}\n{\"text\": \"b\", \"label\": false}\n");
  EXPECT_EQ(import().task("t").labels, (std::vector<std::string>{"false", "true"}));
  only(Kind::multilabel, "t.jsonl", "{\"text\": \"a\", \"labels\": [1, 2]}\n{\"text\": \"b\", \"labels\": []}\n");
  EXPECT_EQ(import().task("t").labels, (std::vector<std::string>{"1", "2"}));
  only(Kind::classification, "t.jsonl", "{\"text\": \"a\", \"label\": \"x\"}\n{\"text\": \"b\", \"label\": true}\n");
  refuse({"line 2", "the label true as a boolean"});
}

TEST_F(ValuesTest, TheManifestSaysWhatLabelsWere) {
  only(Kind::classification, "t.jsonl", "{\"text\": \"a\", \"label\": 1}\n{\"text\": \"b\", \"label\": 0}\n");
  EXPECT_EQ(import().task("t").label_type, "integer");
  only(Kind::classification, "t.jsonl", "{\"text\": \"a\", \"label\": true}\n{\"text\": \"b\", \"label\": false}\n");
  EXPECT_EQ(import().task("t").label_type, "boolean");
  only(Kind::classification, "t.jsonl", "{\"text\": \"a\", \"label\": 1}\n{\"text\": \"b\", \"label\": \"x\"}\n");
  EXPECT_EQ(import().task("t").label_type, "");
  only(Kind::classification, "t.csv", "text,label\na,1\nb,0\n");
  EXPECT_EQ(import().task("t").label_type, "");
}

TEST_F(ValuesTest, TokenizerConfigSaysWhetherTextsAreLowered) {
  std::filesystem::create_directory(folder_ / "v");
  options_.vocab = folder_ / "v" / "vocab.txt";
  write_file_atomically(options_.vocab, "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\n");
  write_file_atomically(folder_ / "v" / "tokenizer_config.json", "{\"do_lower_case\": false}");
  only(Kind::classification, "t.csv", "text,label\na b,p\nA b,n\n");
  const Manifest cased = import();
  EXPECT_EQ(cased.tokenizer.lowercase, false);
  EXPECT_EQ(tokens(reader(cased, "t"), 1), (Ids{2, 1, 6, 3}));
  write_file_atomically(folder_ / "v" / "tokenizer_config.json", "{\"do_lower_case\": true}");
  const Manifest lowered = import();
  EXPECT_EQ(lowered.tokenizer.lowercase, std::nullopt);  // as the vocabulary shows
  EXPECT_EQ(tokens(reader(lowered, "t"), 1), (Ids{2, 5, 6, 3}));
}

TEST_F(ValuesTest, LabelNamesNameNumbersInTheirOrder) {
  ImportTask& t =
      only(Kind::classification, "t.jsonl", "{\"text\": \"a\", \"label\": 1}\n{\"text\": \"b\", \"label\": 0}\n");
  t.label_names = {"positive", "negative", "mixed"};
  EXPECT_EQ(import().task("t").labels, (std::vector<std::string>{"positive", "negative"}));
  has(warnings(), {"no sample has 'mixed' of label_names"});
  t.label_names = {"positive"};
  refuse({"line 1", "the label '1', which is neither a number from 0 to 0 nor one of label_names (positive)"});
}

TEST_F(ValuesTest, SingleAndHiddenLabelsAreWarnedOf) {
  only(Kind::classification, "t.jsonl",
       "{\"text\": \"a\", \"label\": \"p\"}\n{\"text\": \"b\", \"label\": \"p\"}\n{\"text\": \"c\", \"label\": -1}\n");
  has(warnings(),
      {"1 of 2 labels are in one sample each: '-1' (t.jsonl line 3)", "have the label -1", "no_label = -1"});
  options_.tasks.clear();
  task("t", Kind::classification,
       {{"train", file("t.jsonl", "{\"text\": \"a\", \"label\": 0}\n")},
        {"test", file("e.jsonl", "{\"text\": \"a\", \"label\": -1}\n")}});
  refuse({"e.jsonl", "line 1", "'-1'", "kept hidden", "take 'test' out"});
}

TEST_F(ValuesTest, TargetsThatLosePrecisionAreWarnedOf) {
  only(Kind::regression, "t.csv", "text,value\na,1700000001\nb,1700000002\n");
  has(warnings(),
      {"lose precision", "32-bit floats", "1700000002 becomes 1700000000 (t.csv line 3)", "2 of 2 samples"});
  only(Kind::regression, "t.jsonl", "{\"text\": \"a\", \"value\": 10000.01}\n{\"text\": \"b\", \"value\": 10000.02}\n");
  has(warnings(), {"lose precision"});
  only(Kind::regression, "t.csv", "text,value\na,0.1\nb,+60.0\nc,1e-50\na b,16777216\n");
  EXPECT_EQ(warnings(), "");
  only(Kind::regression, "t.jsonl", "{\"text\": \"a\", \"value\": 1}\n{\"text\": \"b\", \"value\": 1e999}\n");
  refuse({"line 2", "is not JSON (number overflow"});
}

TEST_F(ValuesTest, InputsOfTrainInOtherSplitsAreCounted) {
  options_.tasks.clear();
  task("t", Kind::classification,
       {{"train", file("t.csv", "text,second,label\na,b,p\nb,,p\nc,,n\nc,,n\n")},
        {"valid", file("v.csv", "text,second,label\na,,p\nb,a,p\n")},
        {"test", file("e.csv", "text,second,label\na,,p\na,b,n\nc,,p\n")}});
  const std::string text = warnings();
  has(text, {"2 of the 3 inputs of test are in train too (first: e.csv line 3)"});
  EXPECT_EQ(text.find("inputs of valid"), std::string::npos);
}

TEST_F(ValuesTest, UnknownTokensAreWarnedOf) {
  only(Kind::classification, "t.csv", "text,label\na b zebra,p\nzebra yak,p\na b a b,n\nb,n\n");
  has(warnings(), {"16.7 % of the tokens of task 't'", "(first: t.csv line 2)", "such as 'zebra', 'yak'"});
}

TEST_F(ValuesTest, WhatMaxLengthCutsIsSaid) {
  options_.max_length = 5;
  only(Kind::classification, "t.csv", "text,label\na b a,p\nb a,p\na b a b,n\nb,n\n");
  has(warnings(), {"task 't': 1 of 4 samples are longer than max_length = 5 tokens", "(first: t.csv line 4)"});
  only(Kind::classification, "t.csv", "text,second,label\na b,a,p\nb,a,p\na,b,n\nb,b,n\n");
  has(warnings(), {"1 of 4 samples are longer", "(first: t.csv line 2)"});
  only(Kind::tagging, "t.jsonl",
       R"({"words": ["a", "b", "a", "b"], "tags": ["O", "O", "O", "O"]})"
       "\n");
  has(warnings(), {"1 of 1 samples are longer", "(first: t.jsonl line 1)"});
  only(Kind::tagging, "t.jsonl",
       R"({"words": ["a", "cccccccccccc"], "tags": ["O", "O"]})"
       "\n");
  has(warnings(), {"1 of 1 samples are longer", "(first: t.jsonl line 1)"});
  only(Kind::classification, "t.csv", "text,label\na b a,p\nb a,p\n");
  EXPECT_EQ(warnings().find("longer than"), std::string::npos);
}

TEST_F(ValuesTest, CapitalsWithoutSmallLettersDoNotMakeAVocabularyCased) {
  const std::string base = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\n";
  const auto encode = [&](const std::string& more) {
    write_file_atomically(folder_ / "v" / "vocab.txt", base + more);
    const TokenizerInfo info = inspect_tokenizer("wordpiece", folder_ / "v" / "vocab.txt");
    return load_tokenizer(folder_ / "v", info)->encode("A b");
  };
  std::filesystem::create_directory(folder_ / "v");
  EXPECT_EQ(encode("™\nℝ\n"), (Ids{5, 6}));
  EXPECT_EQ(encode("Q\n"), (Ids{1, 6}));
}

TEST_F(ValuesTest, LongWordsAreCutInThemselves) {
  const TokenizerInfo info = inspect_tokenizer("wordpiece", options_.vocab);
  const auto t = load_tokenizer(folder_, info);
  const std::string address = "c" + std::string(40, 'c');
  const std::vector<std::string> words = {address, "a", "b", address, "a"};
  const EncodedWords fits = encode_words(*t, info, words, 200);
  EXPECT_EQ(fits.tokens.size(), 2U + 41 + 1 + 1 + 41 + 1);
  const EncodedWords cut = encode_words(*t, info, words, 25);  // 23: 3 short words, 10 pieces of each long one
  EXPECT_EQ(cut.first_piece, (Ids{1, 11, 12, 13, 23}));
  EXPECT_EQ(cut.tokens.size(), 25U);
  EXPECT_TRUE(cut.cut && !fits.cut);  // although every word is there
  // So many short words that the long one is not to blame: it keeps a quarter of the room.
  std::vector<std::string> many(100, "a");
  many.insert(many.begin(), address);
  const EncodedWords rest = encode_words(*t, info, many, 66);
  EXPECT_EQ(rest.first_piece[1], 17);
  EXPECT_EQ(rest.first_piece.size(), 49U);
  // Ordinary words are cut at a word's end, as ever.
  const std::vector<std::string> plain = {"a", "cccc", "b"};
  EXPECT_EQ(encode_words(*t, info, plain, 6).first_piece, (Ids{1}));
}

TEST_F(ValuesTest, TargetsKeepTheirCharacters) {
  std::string content;
  for (int i = 0; i < 200; ++i)
    content += "{\"text\": \"day " + std::to_string(i) + "\", \"target\": \"今天，天气（" + std::to_string(i % 10) +
               "）½！\"}\n";
  options_.tokenizer = "sentencepiece";
  options_.vocab.clear();
  options_.vocab_size = 60;
  only(Kind::translation, "t.jsonl", content);
  const Manifest manifest = import();
  const auto t = load_tokenizer(out_, manifest.tokenizer);
  EXPECT_EQ(t->decode(t->encode("今天，天气（7）½！")), "今天，天气（7）½！");
  options_.normalization = Normalization::nfkc;
  has(warnings(),
      {"normalization = nfkc", "， （ ） ½ ！", "choose normalization = none", "targets give another text"});
}

TEST_F(ValuesTest, FormsOfTargets) {
  const auto allow = [](const std::string& text) {
    TargetForms forms;
    forms.add(text);
    return forms.allow_nfkc();
  };
  EXPECT_TRUE(allow("plain caf\xc3\xa9, with a no-break\xc2\xa0space 今天"));
  EXPECT_FALSE(allow("…"));
  EXPECT_FALSE(allow("cafe\xcc\x81"));
  EXPECT_FALSE(allow("\xe2\x84\xab"));                 // the sign for ångström, which the form makes a letter
  EXPECT_TRUE(allow(std::string(10'000, 'a') + "…"));  // rarer than what a vocabulary leaves out
}

TEST_F(ValuesTest, AppendKeepsWhatTheDataSetHas) {
  options_.max_length = 6;
  only(Kind::classification, "t.csv", "text,label\na b,p\nb a,n\n").license = "CC0";
  import();
  options_.append = true;
  options_.max_length = 128;  // the default
  options_.tasks.clear();
  task("u", Kind::classification, {{"train", file("u.csv", "text,label\na a a a a a a a,p\nb,n\n")}});
  import_dataset(options_, out_, [](const std::string&) {});
  const Manifest manifest = read_manifest(out_);
  EXPECT_EQ(manifest.max_length, 6U);
  EXPECT_EQ(tokens(reader(manifest, "u"), 0).size(), 6U);
  options_.stated = {"max_length"};
  expect_error(Exit::config, {"max_length is 6, the import description says 128", "take 'max_length' out"},
               [&] { import_dataset(options_, out_, [](const std::string&) {}); });
  options_.stated = {"tokenizer"};
  options_.tokenizer = "sentencepiece";
  options_.vocab.clear();
  expect_error(Exit::config, {"tokenizer is wordpiece, the import description says sentencepiece"},
               [&] { import_dataset(options_, out_, [](const std::string&) {}); });
  options_.stated.clear();
  only(Kind::classification, "w.csv", "text,label\na,p\n").license = "MIT";
  expect_error(Exit::data, {"license = MIT", "'CC0' in the data set"},
               [&] { import_dataset(options_, out_, [](const std::string&) {}); });
}

TEST_F(ValuesTest, MessagesHoldNoControlBytes) {
  only(Kind::classification, "t.csv", "text,label\na,p\n");
  options_.tasks.back().files["test"] = {file("e.csv", "text,label\na,\x1b[31mred\n")};
  refuse({"e.csv", "line 2", "\\x1b[31mred"});
  EXPECT_EQ(escape_controls("a\x1b\x07 \xff é"), "a\\x1b\\x07 \\xff é");
}

}  // namespace
}  // namespace polyhead
