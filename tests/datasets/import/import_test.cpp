// Errors of import, each with file, line, task and cure, and planted data from files to samples.
// tests/python/data/shards_test.py compares the result of import with h5py and PyPI's sentencepiece.
#include "datasets/import/import.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <sstream>

#include "core/base/batch.h"
#include "core/base/files.h"
#include "datasets/dataset.h"
#include "datasets/import/synthetic.h"
#include "datasets/tokenizer/tokenizer.h"
#include "tests/datasets/folder.h"

namespace polyhead {
namespace {

namespace fs = std::filesystem;

const Progress kQuiet = [](const std::string&) {};

class ImportTest : public FolderTest {
 protected:
  ImportTest() {
    write_file_atomically(folder_ / "vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\nc\n##c\n");
    options_.name = "x";
    options_.tokenizer = "wordpiece";
    options_.vocab = folder_ / "vocab.txt";
    options_.threads = 3;
  }
  ImportTask& task(const std::string& name, Kind kind, const std::map<std::string, std::string>& files) {
    ImportTask task;
    task.name = name;
    task.kind = kind;
    for (const auto& [split, content] : files) {
      task.files[split] = {folder_ / fmt::format("{}.{}.jsonl", name, split)};
      write_file_atomically(task.files[split].front(), content);
    }
    options_.tasks.push_back(task);
    return options_.tasks.back();
  }
  // The only task is this one, and its import fails so; nothing is left behind.
  void refuse(Kind kind, const std::map<std::string, std::string>& files, const std::vector<std::string>& words) {
    options_.tasks.clear();
    task("t", kind, files);
    expect_error(Exit::data, words, [&] { import_dataset(options_, folder_ / "out", kQuiet); });
    EXPECT_FALSE(fs::exists(folder_ / "out"));
    EXPECT_FALSE(fs::exists(folder_ / "out.importing"));
  }
  ImportOptions options_;
};

TEST_F(ImportTest, NamesFileLineTaskAndCure) {
  const Kind c = Kind::classification;
  const std::string good = R"({"text": "a b", "label": "p"})"
                           "\n";
  refuse(c, {{"train", good + "\n{\"text\": \"a\", "}},
         {"task 't'", "t.train.jsonl", "line 3", "is not JSON", "take the line out"});
  refuse(c, {{"train", good + "[]\n"}}, {"line 2", "not a JSON object"});
  refuse(c, {{"train", good + "{\"text\": \"\xff\", \"label\": \"p\"}\n"}}, {"line 2", "is not JSON"});
  refuse(c, {{"train", good + R"({"label": "p"})"}}, {"line 2", "lacks the key 'text'", "classification"});
  refuse(c, {{"train", good + R"({"text": null, "label": "p"})"}}, {"line 2", "lacks the key 'text'"});
  refuse(c, {{"train", good + R"({"text": "a"})"}}, {"line 2", "lacks the key 'label'"});
  refuse(c, {{"train", good + R"({"text": 3, "label": "p"})"}}, {"line 2", "'text' of type number, expected a string"});
  refuse(c, {{"train", good + R"({"text": "a", "label": ["p"]})"}}, {"line 2", "'label' of type array"});
  refuse(c, {{"train", good + R"({"text": " \t\n", "label": "p"})"}}, {"line 2", "empty 'text'", "take the line out"});
  refuse(c, {{"train", good + R"({"text": "\u200b", "label": "p"})"}},
         {"line 2", "without a character that the tokenizer keeps"});
  refuse(c, {{"train", good + R"({"text": "a", "label": ""})"}}, {"line 2", "empty 'label'"});
  refuse(c, {{"train", good}, {"valid", good + R"({"text": "a", "label": "q"})"}},
         {"t.valid.jsonl", "line 2", "the label 'q', which no line of the train file", "add samples of it to train"});
  refuse(c, {{"train", "\n \n"}}, {"task 't'", "0 samples in its train file", "take the task out"});
  refuse(c, {{"train", good}, {"test", ""}}, {"task 't'", "0 samples in its test file", "take 'test' out"});
  refuse(c, {{"valid", good}}, {"task 't'", "no train data", "train = FILE"});
  refuse(c, {{"train", good}, {"dev", good}}, {"a split 'dev'"});
  refuse(Kind::multilabel, {{"train", R"({"text": "a", "labels": "p"})"}}, {"line 1", "not a list of strings"});
  refuse(Kind::multilabel, {{"train", R"({"text": "a", "labels": []})"}}, {"no line", "has a label"});
  refuse(Kind::multilabel,
         {{"train", R"({"text": "a", "labels": ["p"]})"}, {"test", R"({"text": "a", "labels": ["p", "q"]})"}},
         {"t.test.jsonl", "line 1", "the label 'q'"});
  refuse(Kind::regression, {{"train", R"({"text": "a", "value": "1"})"}}, {"line 1", "not a number"});
  refuse(Kind::regression, {{"train", R"({"text": "a", "value": 1e99})"}}, {"line 1", "no 32-bit float"});
  refuse(Kind::regression, {{"train", R"({"text": "a", "value": []})"}}, {"line 1", "empty 'value'"});
  refuse(Kind::regression, {{"train", "{\"text\": \"a\", \"value\": 1}\n{\"text\": \"a\", \"value\": [1, 2]}"}},
         {"line 2", "has 2 values, the task's other samples have 1"});
  refuse(Kind::regression, {{"train", R"({"text": "a", "value": 1})"}, {"test", R"({"text": "a", "value": [1, 2]})"}},
         {"t.test.jsonl", "line 1", "has 2 values, the task's other samples have 1"});
  refuse(Kind::tagging, {{"train", R"({"words": ["a", "b"], "tags": ["X"]})"}}, {"line 1", "2 words and 1 tags"});
  refuse(Kind::tagging, {{"train", R"({"words": [], "tags": []})"}}, {"line 1", "empty 'words'"});
  refuse(Kind::tagging, {{"train", R"({"words": ["a b"], "tags": ["X"]})"}}, {"line 1", "'a b' in 'words'"});
  refuse(Kind::tagging, {{"train", R"({"words": ["a"], "tags": [""]})"}}, {"line 1", "'' in 'tags'"});
  refuse(Kind::tagging, {{"train", R"({"text": "a"})"}}, {"line 1", "lacks the key 'words'", "tagging"});
  refuse(Kind::tagging,
         {{"train", R"({"words": ["a"], "tags": ["X"]})"}, {"test", R"({"words": ["a"], "tags": ["Y"]})"}},
         {"t.test.jsonl", "the tag 'Y'"});
  refuse(Kind::translation, {{"train", R"({"text": "a", "target": "\u200b"})"}},
         {"line 1", "'target' without a character"});
  refuse(Kind::translation, {{"train", R"({"text": "a"})"}}, {"line 1", "lacks the key 'target'"});
}

TEST_F(ImportTest, TheFirstBadLineIsNamedOnAnyNumberOfThreads) {
  std::string lines;
  for (int i = 1; i <= 2000; ++i) lines += i % 100 == 37 ? "{\"text\": \"\\u200b\"}\n" : "{\"text\": \"a\"}\n";
  for (int threads = 1; threads < 6; ++threads) {
    options_.threads = threads;
    refuse(Kind::masked_lm, {{"train", lines}}, {"line 37:"});
  }
}

TEST_F(ImportTest, NamesMissingFilesAndBadOptions) {
  task("t", Kind::masked_lm, {{"train", "{\"text\": \"a b c\"}"}});
  const ImportOptions good = options_;
  const auto refuse = [&](Exit code, const std::vector<std::string>& words,
                          const std::function<void(ImportOptions&)>& change) {
    ImportOptions bad = good;
    change(bad);
    expect_error(code, words, [&] { import_dataset(bad, folder_ / "out", kQuiet); });
    EXPECT_FALSE(fs::exists(folder_ / "out"));
  };
  refuse(Exit::data, {"task 't'", "cannot open its train file", "none.jsonl", "No such file", "correct the path"},
         [&](ImportOptions& o) { o.tasks[0].files["train"] = {folder_ / "none.jsonl"}; });
  refuse(Exit::data, {"task 't'", "cannot open", "directory"},
         [&](ImportOptions& o) { o.tasks[0].files["train"] = {folder_}, o.tasks[0].format = Format::jsonl; });
  refuse(Exit::data, {"'a/b' has a name that cannot be a folder's"}, [](ImportOptions& o) { o.tasks[0].name = "a/b"; });
  refuse(Exit::data, {"'..' has a name"}, [](ImportOptions& o) { o.tasks[0].name = ".."; });
  refuse(Exit::config, {"no task"}, [](ImportOptions& o) { o.tasks.clear(); });
  refuse(Exit::config, {"the task 't' is there twice"}, [](ImportOptions& o) { o.tasks.push_back(o.tasks[0]); });
  refuse(Exit::config, {"'bytes' is unknown"}, [](ImportOptions& o) { o.tokenizer = "bytes"; });
  refuse(Exit::config, {"vocab = FILE"}, [](ImportOptions& o) { o.vocab.clear(); });
  refuse(Exit::config, {"max_length = 3"}, [](ImportOptions& o) { o.max_length = 3; });
  refuse(Exit::config, {"vocab_size = 5"}, [](ImportOptions& o) { o.vocab_size = 5; });
  refuse(Exit::config, {"shard_size = 0"}, [](ImportOptions& o) { o.shard_size = 0; });
  refuse(Exit::data, {"none.txt", "No such file"}, [&](ImportOptions& o) { o.vocab = folder_ / "none.txt"; });
  refuse(Exit::data, {"set vocab_size above"},
         [](ImportOptions& o) { o.vocab.clear(), o.tokenizer = "sentencepiece", o.vocab_size = 6; });

  fs::create_directory(folder_ / "full");
  write_file_atomically(folder_ / "full" / "x", "");
  expect_error(Exit::cannot_write, {"full: it is not empty", "--out " + (folder_ / "full/data").string()},
               [&] { import_dataset(good, folder_ / "full", kQuiet); });
  expect_error(Exit::cannot_write, {"vocab.txt: it is a file", "--out " + (folder_ / "vocab.txt-2").string()},
               [&] { import_dataset(good, folder_ / "vocab.txt", kQuiet); });
  expect_error(Exit::cannot_write, {"cannot write the data set", "vocab.txt/out"},
               [&] { import_dataset(good, folder_ / "vocab.txt" / "out", kQuiet); });
}

TEST_F(ImportTest, FillsAnEmptyFolderAndReplacesWhatAKilledImportLeft) {
  task("t", Kind::masked_lm,
       {{"train", "\xef\xbb\xbf{\"text\": \"a bc\"}\r\n{\"text\": \"c\"}"}});  // byte order mark, CR, no last \n
  fs::create_directories(folder_ / "out");
  fs::create_directories(folder_ / "out.importing" / "t");
  write_file_atomically(folder_ / "out.importing" / "t" / "old", "x");
  import_dataset(options_, folder_ / "out" / "", kQuiet);
  EXPECT_FALSE(fs::exists(folder_ / "out.importing"));
  EXPECT_FALSE(fs::exists(folder_ / "out" / "t" / "old"));
  const Manifest m = read_manifest(folder_ / "out");
  EXPECT_EQ(m.tokenizer.kind, "wordpiece");
  EXPECT_EQ(m.tokenizer.file, "vocab.txt");
  const SplitReader reader(folder_ / "out", m, m.tasks[0], "train");
  ASSERT_EQ(reader.size(), 2U);
  std::vector<std::int64_t> tokens;
  reader.sample(0).input_tokens(tokens);
  EXPECT_EQ(tokens, (std::vector<std::int64_t>{2, 5, 6, 8, 3}));
}

TEST_F(ImportTest, NumbersAreLabelsToo) {
  task("t", Kind::classification, {{"train", "{\"text\": \"a\", \"label\": 4}\n{\"text\": \"b\", \"label\": -1}\n"}});
  import_dataset(options_, folder_ / "out", kQuiet);
  const Manifest m = read_manifest(folder_ / "out");
  EXPECT_EQ(m.tasks[0].labels, (std::vector<std::string>{"-1", "4"}));
  EXPECT_EQ(SplitReader(folder_ / "out", m, m.tasks[0], "train").sample(0).label(), 1);
}

TEST_F(ImportTest, PlantedTasksFollowTheirRules) {
  for (const char* out : {"one", "two"})
    write_synthetic(folder_ / out, {.seed = 3, .train = 120, .valid = 20, .test = 20});
  write_synthetic(folder_ / "other", {.seed = 4, .train = 120, .valid = 20, .test = 0});
  for (const auto& entry : fs::directory_iterator(folder_ / "one"))
    EXPECT_EQ(read_file(entry.path()), read_file(folder_ / "two" / entry.path().filename()));
  EXPECT_NE(read_file(folder_ / "one" / "topic.train.jsonl"), read_file(folder_ / "other" / "topic.train.jsonl"));
  EXPECT_FALSE(fs::exists(folder_ / "other" / "topic.test.jsonl"));
  EXPECT_NE(read_file(folder_ / "one" / "synthetic.ini")
                .find("[task.topic]\nkind = classification\ntrain = topic.train.jsonl"),
            std::string::npos);
  expect_error(Exit::cannot_write, {"vocab.txt"}, [&] { write_synthetic(folder_ / "vocab.txt" / "x", {}); });

  const std::map<std::string, Kind> kinds = {{"topic", Kind::classification},
                                             {"style", Kind::classification},
                                             {"tags", Kind::tagging},
                                             {"dictionary", Kind::translation},
                                             {"lines", Kind::masked_lm}};
  options_.tokenizer = "sentencepiece";
  options_.vocab.clear();
  options_.vocab_size = 340;
  options_.shard_size = 1000;
  for (const auto& [name, kind] : kinds) {
    ImportTask one;
    one.name = name;
    one.kind = kind;
    for (const char* split : {"train", "valid", "test"})
      one.files[split] = {folder_ / "one" / fmt::format("{}.{}.jsonl", name, split)};
    options_.tasks.push_back(one);
  }
  std::vector<std::string> progress;
  import_dataset(options_, folder_ / "data", [&](const std::string& line) { progress.push_back(line); });
  EXPECT_TRUE(std::any_of(progress.begin(), progress.end(),
                          [](const std::string& line) { return line.starts_with("topic/train: 120 samples"); }));
  const Manifest m = read_manifest(folder_ / "data");
  const auto tokenizer = load_tokenizer(folder_ / "data", m.tokenizer);
  for (const auto& [name, kind] : kinds) EXPECT_GT(m.task(name).splits.at("train").shards.size(), 1U);

  const SplitReader topic(folder_ / "data", m, m.task("topic"), "train");
  std::map<std::int64_t, int> count;
  for (std::uint64_t i = 0; i < topic.size(); ++i) ++count[topic.sample(i).label()];
  EXPECT_EQ(count, (std::map<std::int64_t, int>{{0, 30}, {1, 30}, {2, 30}, {3, 30}}));

  // A word's translation is the same everywhere, at its swapped place.
  const SplitReader dictionary(folder_ / "data", m, m.task("dictionary"), "test");
  std::map<std::string, std::set<std::string>> translations;
  const auto split = [](const std::string& text) {
    std::vector<std::string> words;
    std::istringstream in(text);
    for (std::string word; in >> word;) words.push_back(word);
    return words;
  };
  for (std::uint64_t i = 0; i < dictionary.size(); ++i) {
    const auto from = split(dictionary.sample(i).input_text().value()),
               to = split(dictionary.sample(i).target_text().value());
    ASSERT_EQ(from.size(), to.size());
    for (std::size_t w = 0; w < from.size(); ++w) {
      const std::size_t place = (w ^ 1) < to.size() ? w ^ 1 : w;
      translations[from[w]].insert(to[place]);
    }
    std::vector<std::int64_t> target;
    dictionary.sample(i).target_tokens(target);
    EXPECT_EQ(target.back(), m.tokenizer.eos);
    EXPECT_EQ(tokenizer->decode(target), dictionary.sample(i).target_text());
  }
  EXPECT_GT(translations.size(), 20U);
  for (const auto& [word, all] : translations) EXPECT_EQ(all.size(), 1U) << word;

  const SplitReader tags(folder_ / "data", m, m.task("tags"), "test");
  for (std::uint64_t i = 0; i < tags.size(); ++i) {
    std::vector<std::int64_t> row;
    tags.sample(i).tags(row);
    const auto names = split(tags.sample(i).target_text().value());
    std::erase(row, kIgnore);
    ASSERT_EQ(row.size(), names.size());
    for (std::size_t w = 0; w < row.size(); ++w)
      EXPECT_EQ(m.task("tags").labels[static_cast<std::size_t>(row[w])], names[w]);
  }
}

}  // namespace
}  // namespace polyhead
