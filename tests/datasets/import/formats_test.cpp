// Import from TSV, CSV, plain text, CoNLL-U and vectors: the samples that are read, and the files that are refused.
#include <fmt/format.h>

#include "datasets/hdf5.h"
#include "datasets/shard_writer.h"
#include "tests/datasets/import/import_folder.h"

namespace polyhead {
namespace {

namespace fs = std::filesystem;
using Ids = std::vector<std::int64_t>;
using FormatsTest = ImportFolderTest;

TEST_F(FormatsTest, CsvFieldsHoldCommasQuotesAndLineBreaks) {
  only(Kind::classification, "t.csv",
       "\xef\xbb\xbfid,label,text,second\r\n"
       "1,p,\"a,b\",\r\n"
       "\r\n"
       "2,\"q,\"\"r\",\"a\r\nb\n\",c\r\n"
       "3,p,c,\"b\"");
  const Manifest m = import();
  EXPECT_EQ(m.tasks[0].labels, (std::vector<std::string>{"p", "q,\"r"}));
  const SplitReader in = reader(m, "t");
  ASSERT_EQ(in.size(), 3U);
  EXPECT_EQ(tokens(in, 0), (Ids{2, 5, 9, 6, 3}));
  EXPECT_EQ(in.sample(0).second(), 0U);
  EXPECT_EQ(tokens(in, 1), (Ids{2, 5, 6, 3, 7, 3}));
  EXPECT_EQ(in.sample(1).second(), 4U);
  EXPECT_EQ(in.sample(1).label(), 1);
  EXPECT_EQ(tokens(in, 2), (Ids{2, 7, 3, 6, 3}));
}

TEST_F(FormatsTest, TsvTakesFieldsAsTheyAre) {
  only(Kind::multilabel, "t.tsv", "text\tlabels\na \"b\tp|q\nc\t\n");
  Manifest m = import();
  EXPECT_EQ(m.tasks[0].labels, (std::vector<std::string>{"p", "q"}));
  EXPECT_EQ(tokens(reader(m, "t"), 0), (Ids{2, 5, 10, 6, 3}));
  Ids labels;
  reader(m, "t").sample(0).labels(labels);
  reader(m, "t").sample(1).labels(labels);
  EXPECT_EQ(labels, (Ids{1, 1, 0, 0}));

  only(Kind::regression, "t.tsv", "0.5 -2\tx\ta\n1e1 3\ty\tb\n").columns = {"value", "id", "text"};
  m = import();
  std::vector<double> values;
  for (const std::uint64_t i : {0, 1}) reader(m, "t").sample(i).values(values);
  EXPECT_EQ(values, (std::vector<double>{0.5, -2, 10, 3}));

  only(Kind::tagging, "t.dat", "words\ttags\na  bc\tX Y\n").format = Format::tsv;
  m = import();
  Ids tags;
  reader(m, "t").sample(0).tags(tags);
  EXPECT_EQ(tags, (Ids{-100, 0, 1, -100, -100}));
}

TEST_F(FormatsTest, TablesAreRefusedByLine) {
  const Kind c = Kind::classification;
  const auto bad = [&](Kind kind, const std::string& name, const std::string& content,
                       const std::vector<std::string>& words) {
    only(kind, name, content);
    refuse(words);
  };
  bad(c, "t.csv", "text,tag\na,p\n",
      {"task 't'", "t.csv, line 1", "no column 'label'", "the columns are text, tag", "columns = label:NAME",
       "columns = text, label"});
  bad(c, "t.csv", "text,label,text\na,p,b\n", {"line 1", "the column 'text' is there twice"});
  bad(c, "t.csv", "text,label\n\na,b,p\n", {"line 3", "has 3 fields, expected 2", "in quotes"});
  bad(c, "t.tsv", "text\tlabel\na\n", {"line 2", "has 1 fields, expected 2", "no tab"});
  bad(c, "t.csv", "text,label\n\"b\"c,p\n", {"line 2", "behind a closing quote in field 1", "double the quotes"});
  bad(c, "t.csv", "text,label\na,p\n\"b,p\nc,p\n", {"line 3", "open at the end of the file", "close it"});
  bad(c, "t.csv", "text,label\n ,p\n", {"line 2", "empty 'text'"});
  bad(c, "t.csv", "text,label\na,\n", {"line 2", "empty 'label'"});
  bad(c, "t.csv", "text,label\n\xff,p\n", {"line 2", "not UTF-8", "iconv"});
  bad(c, "t.csv", "", {"0 samples in its train file"});
  bad(c, "t.csv", "text,label\n", {"0 samples in its train file"});
  bad(Kind::regression, "t.csv", "text,value\na,1 x\n", {"line 2", "'x' in 'value'"});
  bad(Kind::regression, "t.csv", "text,value\na,1e99\n", {"line 2", "'1e99' in 'value'"});
  bad(Kind::tagging, "t.csv", "words,tags\na b,X\n", {"line 2", "2 words and 1 tags"});
  bad(Kind::masked_lm, "t.dat", "a\n", {"task 't'", "t.dat", "ending does not determine a format", "format = "});
  only(c, "t.csv", "a,p\n").columns = {"text"};
  refuse({"line 1", "no column 'label'"});
  only(c, "t.jsonl", "{}").columns = {"text", "label"};
  refuse({"'columns'", "jsonl", "belongs to TSV and CSV"});
}

TEST_F(FormatsTest, RecordsAreBounded) {
  const std::string giant(kMaxRecord, 'a');
  only(Kind::masked_lm, "t.csv", "text\na\n\"b\n" + giant);
  refuse({"task 't'", "line 4", "more than 16 MiB", "close an open quote"});
  only(Kind::masked_lm, "t.txt", "a\n" + giant + "a\n");
  refuse({"line 2", "more than 16 MiB"});
  only(Kind::masked_lm, "t.jsonl", std::string(kMaxRecord + 1, ' '));
  refuse({"line 1", "more than 16 MiB"});
  std::string sentence;
  while (sentence.size() <= kMaxRecord) sentence += std::string(99'999, '#') + "\n";
  only(Kind::tagging, "t.conllu", "\n" + sentence);
  refuse({"line 2", "more than 16 MiB", "blank line"});
  only(Kind::masked_lm, "t.txt", giant + "\n");
  EXPECT_EQ(tokens(reader(import(), "t"), 0), (Ids{2, 1, 3}));
}

TEST_F(FormatsTest, PlainTextAndItsTranslations) {
  only(Kind::masked_lm, "t.txt",
       "\xef\xbb\xbf"
       "a\r\n\n  \nb c");
  Manifest m = import();
  EXPECT_EQ(tokens(reader(m, "t"), 0), (Ids{2, 5, 3}));
  EXPECT_EQ(tokens(reader(m, "t"), 1), (Ids{2, 6, 7, 3}));

  ImportTask& t = only(Kind::translation, "t.en", "a\n\nb b\n");
  t.targets["train"] = {file("t.it", "b\n \nc\r\n")};
  m = import();
  const SplitReader in = reader(m, "t");
  ASSERT_EQ(in.size(), 2U);
  Ids target;
  in.sample(1).target_tokens(target);
  EXPECT_EQ(tokens(in, 1), (Ids{2, 6, 6, 3}));
  EXPECT_EQ(target, (Ids{7, 3}));

  file("t.it", "b\n\nc\na\na\n");
  refuse({"task 't'", "t.en has 3 lines", "t.it has 5", "line i"});
  file("t.it", "b\n");
  refuse({"t.en has 3 lines", "t.it has 1"});
  file("t.it", "b\n\n\n");
  refuse({"t.it, line 3", "empty 'target'"});
  file("t.it", "b\na\na\n");
  refuse({"t.en, line 2", "empty 'text'"});
  file("t.it", "b\n\n\xc3\n");
  refuse({"t.it, line 3", "'target' that is not UTF-8"});
  options_.tasks[0].targets["train"] = {folder_ / "none"};
  refuse({"cannot open", "none"});
  options_.tasks[0].targets.clear();
  options_.tasks[0].format = Format::text;
  refuse({"no translations of", "train_target = FILE"});
  options_.tasks[0].targets["valid"] = {file("v.it", "a\n")};
  refuse({"'valid_target' without 'valid'"});
  only(Kind::translation, "t.jsonl", "{}").targets["train"] = {folder_ / "t.it"};
  options_.tasks[0].format = Format::jsonl;
  refuse({"'train_target'", "plain text"});
  only(Kind::classification, "t.txt", "a\n");
  refuse({"is classification", "plain text without targets"});
}

const char* const kSentences =
    "# sent_id = 1\n"
    "1-2\tac\t_\t_\t_\t_\t_\t_\t_\t_\n"
    "1\ta\ta\tADP\tE\t_\t0\troot\t_\t_\n"
    "2\tc\tc\tDET\tRD\t_\t1\tdet\t_\t_\n"
    "2.1\tb\tb\tVERB\tV\t_\t_\t_\t_\t_\n"
    "3\tb c\tb\tNUM\t_\t_\t1\tx\t_\t_\n"
    "\n"
    "# only a comment\n"
    "\n\n"
    "1\tb\tb\tADP\tE\t_\t0\troot\t_\t_\r\n";

TEST_F(FormatsTest, ConlluHoldsWordsAndTags) {
  ImportTask& t = only(Kind::tagging, "t.conllu", kSentences);
  t.files["test"] = t.files["train"];
  Manifest m = import();
  EXPECT_EQ(m.tasks[0].labels, (std::vector<std::string>{"ADP", "DET", "NUM"}));
  const SplitReader in = reader(m, "t", "test");
  ASSERT_EQ(in.size(), 2U);
  EXPECT_EQ(in.sample(0).input_text(),
            "a c b\xc2\xa0"
            "c");
  EXPECT_EQ(in.sample(0).target_text(), "ADP DET NUM");
  EXPECT_EQ(in.sample(1).target_text(), "ADP");
  options_.tasks[0].xpos = true;
  refuse({"t.conllu, line 6", "no xpos ('_')", "tag_column = upos"});
  std::string tagged = kSentences;
  tagged.replace(tagged.find("NUM\t_"), 5, "NUM\tN");
  file("t.conllu", tagged);
  m = import();
  EXPECT_EQ(m.tasks[0].labels, (std::vector<std::string>{"E", "N", "RD"}));

  const auto bad = [&](const std::string& content, const std::vector<std::string>& words) {
    only(Kind::tagging, "t.conllu", "1\ta\t_\tX\tX\t_\t0\t_\t_\t_\n\n" + content);
    refuse(words);
  };
  bad("1\ta\t_\tX\n", {"task 't'", "t.conllu, line 3", "has 4 columns, expected 10"});
  bad("1\ta\t_\tX\tX\t_\t0\t_\t_\t_\t_\n", {"line 3", "has 11 columns"});
  bad("# c\n2\ta\t_\tX\tX\t_\t0\t_\t_\t_\n", {"line 4", "the ID '2', expected 1"});
  bad("x\ta\t_\tX\tX\t_\t0\t_\t_\t_\n", {"line 3", "the ID 'x'"});
  bad("1-2\ta\t_\t_\t_\t_\t_\t_\t_\t_\n", {"line 3", "a sentence without words"});
  bad("1\t\t_\tX\tX\t_\t0\t_\t_\t_\n", {"line 3", "empty 'form'"});
  bad("1\ta\t_\tX X\tX\t_\t0\t_\t_\t_\n", {"line 3", "'X X' in 'tags'"});
  only(Kind::classification, "t.conllu", kSentences);
  refuse({"is classification", "kind = tagging"});
}

// Columns of a shard, as h5py reads them in tests/python/data/import_formats_test.py.
TEST_F(FormatsTest, VectorsInsteadOfText) {
  options_.vocab.clear();
  options_.tokenizer = "sentencepiece";
  options_.max_length = 4;
  only(Kind::classification, "t.jsonl",
       R"({"features": [[1, 2], [3, 4]], "label": "p"})"
       "\n"
       R"({"features": [[0, 0], [0, 1], [0, 2], [0, 3], [0, 4]], "label": "q"})");
  task("u", Kind::tagging,
       {{"train", file("u.jsonl", R"({"features": [[1], [3]], "tags": ["x", "y"]})")}, {"test", folder_ / "u.jsonl"}});
  const Manifest m = import();
  EXPECT_EQ(m.tokenizer.vocab_size, 5);
  EXPECT_EQ(m.tokenizer.kind, "wordpiece");
  EXPECT_EQ(m.tasks[0].features, 2U);
  EXPECT_EQ(m.tasks[1].features, 1U);
  EXPECT_EQ(m.tasks[0].splits.at("train").input_tokens, 6U);  // cut to max_length

  const auto bad = [&](Kind kind, const std::string& line, const std::vector<std::string>& words) {
    only(kind, "t.jsonl",
         R"({"features": [[1, 2]], "label": "p", "tags": ["p"]})"
         "\n" +
             line);
    refuse(words);
  };
  const Kind c = Kind::classification;
  bad(c, R"({"features": [[1, 2], [3]], "label": "p"})", {"line 2", "1 numbers in vector 1", "2 in the first"});
  bad(c, R"({"features": [[1, 2, 3]], "label": "p"})", {"line 2", "vectors of 3 numbers", "vectors of 2 numbers"});
  bad(c, R"({"text": "a", "label": "p"})", {"line 2", "has text", "vectors of 2 numbers"});
  bad(c, R"({"features": [[1, 2]], "text": "a", "label": "p"})", {"line 2", "both 'features' and 'text'"});
  bad(c, R"({"features": [[1, "2"]], "label": "p"})", {"line 2", "not a number"});
  bad(c, R"({"features": [[1, 1e99]], "label": "p"})", {"line 2", "no 32-bit float"});
  for (const char* none : {"[]", "[[]]", "[1, 2]", "\"a\""})
    bad(c, fmt::format(R"({{"features": {}, "label": "p"}})", none), {"line 2", "not a list of lists"});
  bad(Kind::tagging, R"({"features": [[1, 2]], "tags": ["p", "p"]})", {"line 2", "1 vectors and 2 tags"});
  bad(Kind::tagging, R"({"features": [[1, 2]], "tags": ["p p"]})", {"line 2", "'p p' in 'tags'"});
  only(Kind::masked_lm, "t.jsonl", R"({"features": [[1, 2]]})");
  refuse({"line 1", "masked_lm needs text"});
}

TEST_F(FormatsTest, ChunkedAndFilteredShardsHoldTheSame) {
  std::string lines;
  for (int i = 0; i < 3000; ++i) lines += fmt::format("{{\"text\": \"{}\", \"label\": \"p\"}}\n", i % 3 ? "a b" : "c");
  for (const bool wide : {false, true}) {
    std::string vocab = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\n";
    for (int i = 0; wide && i < 70'000; ++i) vocab += fmt::format("#{}\n", i);
    options_.vocab = file("vocab.txt", vocab + "c\n");
    only(Kind::classification, "t.jsonl", lines);
    options_.storage = {};
    const Manifest plain = import();
    std::vector<Ids> expected;
    for (std::uint64_t i = 0; i < 3000; ++i) expected.push_back(tokens(reader(plain, "t"), i));
    EXPECT_EQ(expected[0][1], wide ? 70'007 : 7);
    for (const ShardStorage& storage : {ShardStorage{true, 0, false, false}, ShardStorage{true, 9, true, true}}) {
      options_.storage = storage;
      const Manifest m = import();
      const SplitReader in = reader(m, "t");
      for (std::uint64_t i = 0; i < 3000; ++i) ASSERT_EQ(tokens(in, i), expected[i]);
      if (storage.deflate > 0) {
        EXPECT_LT(m.tasks[0].splits.at("train").shards[0].bytes, plain.tasks[0].splits.at("train").shards[0].bytes / 2);
      }
    }
  }
  options_.storage = {false, 1, false, false};
  refuse({"need 'storage = chunked'"}, Exit::config);
}

}  // namespace
}  // namespace polyhead
