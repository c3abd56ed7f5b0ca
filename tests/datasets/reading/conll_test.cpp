// Files with one word per line: columns, comments, tag schemes, and tables that are such files.
#include <fmt/format.h>

#include "datasets/kinds/tag_schemes.h"
#include "tests/datasets/import/import_folder.h"

namespace polyhead {
namespace {

using Ids = std::vector<std::int64_t>;
using Tags = std::vector<std::string>;

Tags bio(Tags tags) {
  to_bio(tags);
  return tags;
}

TEST(TagSchemesTest, BecomeBio) {
  const Tags expected = {"B-P", "I-P", "O", "B-L", "B-L", "I-L", "B-P"};
  EXPECT_EQ(bio({"I-P", "I-P", "O", "I-L", "B-L", "I-L", "I-P"}), expected);  // IOB1
  EXPECT_EQ(bio({"B-P", "E-P", "O", "S-L", "B-L", "E-L", "S-P"}), expected);  // IOBES
  EXPECT_EQ(bio({"B-P", "L-P", "O", "U-L", "B-L", "L-L", "U-P"}), expected);  // BILOU
  EXPECT_EQ(bio(expected), expected);
  Tags same = expected;
  EXPECT_EQ(to_bio(same), 0U);
  EXPECT_EQ(bio({"B-P", "E-P", "I-P"}), (Tags{"B-P", "I-P", "B-P"}));
  EXPECT_EQ(bio({"NOUN", "I-P"}), (Tags{"NOUN", "I-P"}));  // no scheme
  EXPECT_EQ(bio({"B-I-P", "E-I-P"}), (Tags{"B-I-P", "I-I-P"}));
}

class ConllTest : public ImportFolderTest {
 protected:
  // The words and tags of each sentence of the only task, which has its file as train and test.
  std::vector<std::pair<std::string, std::string>> sentences() {
    options_.tasks[0].files["test"] = options_.tasks[0].files["train"];
    progress_.clear();
    std::filesystem::remove_all(out_);
    import_dataset(options_, out_, [&](const std::string& line) { progress_ += line + "\n"; });
    const Manifest m = read_manifest(out_);
    const SplitReader in = reader(m, "t", "test");
    std::vector<std::pair<std::string, std::string>> all;
    for (std::uint64_t i = 0; i < in.size(); ++i)
      all.emplace_back(in.sample(i).input_text().value(), in.sample(i).target_text().value());
    return all;
  }
  using Sentences = std::vector<std::pair<std::string, std::string>>;
  std::string progress_;
};

const char* const kFourColumns =
    "-DOCSTART- -X- -X- O\n"
    "\n"
    "a NN B-NP I-ORG\n"
    "b VB  B-VP O\r\n"
    "c NN B-NP I-PER\n"
    "c NN B-NP B-PER\n"
    " \n"
    "-DOCSTART- -X- O O\n\n\n"
    "b NN B-NP O";

TEST_F(ConllTest, ColumnsOfCoNLL2003) {
  only(Kind::tagging, "t.conll", kFourColumns);
  EXPECT_EQ(sentences(), (Sentences{{"a b c c", "B-ORG O B-PER B-PER"}, {"b", "O"}}));
  EXPECT_NE(progress_.find("written as BIO (2)"), std::string::npos) << progress_;
  options_.tasks[0].bio = false;
  EXPECT_EQ(sentences(), (Sentences{{"a b c c", "I-ORG O I-PER B-PER"}, {"b", "O"}}));
  options_.tasks[0].tag_column = 2;
  EXPECT_EQ(sentences(), (Sentences{{"a b c c", "NN VB NN NN"}, {"b", "NN"}}));
}

TEST_F(ConllTest, TabsCommentsAndHeaders) {
  only(Kind::tagging, "t.conll",
       "#begin document (x); part 0\nTokens\tTag\n# a comment\na b\tX\n#\tY\n\n# id 1\n#\tY\nc\tX\n");
  options_.tasks[0].header = Header::yes;
  EXPECT_EQ(sentences(), (Sentences{{"a\xc2\xa0"
                                     "b #",
                                     "X Y"},
                                    {"# c", "Y X"}}));
  options_.tasks[0].word_column = 2;
  options_.tasks[0].tag_column = 1;
  only(Kind::tagging, "t.conll", "X a\nY b\n\nX c\n").word_column = 2;
  options_.tasks[0].tag_column = 1;
  EXPECT_EQ(sentences(), (Sentences{{"a b", "X Y"}, {"c", "X"}}));
}

TEST_F(ConllTest, BadLinesAreNamed) {
  const auto bad = [&](const std::string& content, const std::vector<std::string>& words) {
    only(Kind::tagging, "t.conll", "a X\n\n-DOCSTART-\n\na X\n" + content);
    refuse(words);
  };
  bad("b\n", {"task 't'", "t.conll, line 6", "has 1 column, expected 2", "blank lines"});
  bad("-DOCSTART- O\nb X Y\n", {"line 7", "has 3 columns, expected 2"});
  bad("b \xff\n", {"line 6", "not UTF-8"});
  only(Kind::tagging, "t.conll", "a X\n").tag_column = 3;
  refuse({"line 1", "has 2 columns, expected 3"});
  only(Kind::tagging, "t.conll", "a X\n").tag_column = 1;
  refuse({"line 1", "its word and its tag in column 1"});
  only(Kind::classification, "t.conll", "a X\n");
  refuse({"is classification", "kind = tagging"});
  only(Kind::tagging, "t.jsonl", R"({"words": ["a"], "tags": ["X"]})").word_column = 2;
  refuse({"has 'word_column'", "belongs to conll"});
  only(Kind::masked_lm, "t.txt", "a\n").bio = true;
  refuse({"is masked_lm", "'tag_scheme' belongs to tagging"});
}

TEST_F(ConllTest, ATableOfAWordALineIsRecognised) {
  const Sentences expected = {{"a b", "X Y"}, {"c", "X"}};
  only(Kind::tagging, "t.tsv", "a\tX\nb\tY\n\nc\tX\n");
  EXPECT_EQ(sentences(), expected);
  EXPECT_NE(progress_.find("read as 'format = conll'"), std::string::npos) << progress_;
  only(Kind::tagging, "t.tsv", "X\ta\nY\tb\n\nX\tc\n").columns = {"tags", "words"};
  EXPECT_EQ(sentences(), expected);
  only(Kind::tagging, "t.tsv", "word\ttag\na\tX\nb\tY\n\nc\tX\n");
  EXPECT_EQ(sentences(), expected);
  only(Kind::tagging, "t.tsv", "id\tner\tform\n1\tX\ta\n2\tY\tb\n\n1\tX\tc\n").fields = {{"words", "form"},
                                                                                         {"tags", "ner"}};
  EXPECT_EQ(sentences(), expected);
  // Sentences of one word without a blank line between them are a table.
  only(Kind::tagging, "t.tsv", "words\ttags\na\tX\nb\tY\n\n");
  EXPECT_EQ(sentences(), (Sentences{{"a", "X"}, {"b", "Y"}}));
}

TEST_F(ConllTest, SchemesOfOtherFormatsAreChangedWhenAsked) {
  only(Kind::tagging, "t.jsonl", R"({"words": ["a", "b"], "tags": ["I-X", "I-X"]})");
  EXPECT_EQ(sentences(), (Sentences{{"a b", "I-X I-X"}}));
  options_.tasks[0].bio = true;
  EXPECT_EQ(sentences(), (Sentences{{"a b", "B-X I-X"}}));
}

}  // namespace
}  // namespace polyhead
