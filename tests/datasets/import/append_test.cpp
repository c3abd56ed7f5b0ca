// Adding to a data set: existing files do not change by a byte, also if it fails.
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <fmt/format.h>

#include "datasets/tokenizer/tokenizer.h"
#include "tests/datasets/import/import_folder.h"

namespace polyhead {
namespace {

namespace fs = std::filesystem;
using Ids = std::vector<std::int64_t>;

class AppendTest : public ImportFolderTest {
 protected:
  AppendTest() {
    task("t", Kind::classification,
         {{"train", file("t.jsonl", R"({"text": "a", "label": "q"})"
                                    "\n"
                                    R"({"text": "b", "label": "p"})")}});
    task("r", Kind::regression, {{"train", file("r.jsonl", R"({"text": "a", "value": 1})")}});
    import();
    options_.append = true;
    options_.tasks.clear();
  }
  // Every file of the data set: content and time.
  using Files = std::map<std::string, std::pair<std::string, fs::file_time_type>>;
  Files files() const {
    Files all;
    for (const auto& entry : fs::recursive_directory_iterator(out_))
      all[entry.path().string()] = entry.is_directory() ? std::pair<std::string, fs::file_time_type>()
                                                        : std::pair{read_file(entry.path()), entry.last_write_time()};
    return all;
  }
  Manifest append() {
    import_dataset(options_, out_, [](const std::string&) {});
    return read_manifest(out_);
  }
  void refuse_append(Exit code, const std::vector<std::string>& words) {
    const Files before = files();
    expect_error(code, words, [&] { import_dataset(options_, out_, [](const std::string&) {}); });
    EXPECT_EQ(files(), before);
  }
};

TEST_F(AppendTest, AddsTasksAndShardsAndLeavesTheRestAlone) {
  const Files before = files();
  task("t", Kind::classification,
       {{"train", file("t2.jsonl", R"({"text": "c", "label": "q"})")},
        {"valid", file("t3.csv", "text,label\nb c,p\n")}});
  task("u", Kind::masked_lm, {{"train", file("u.txt", "a b\n")}});
  // A killed append may leave these.
  fs::create_directories(out_ / ".importing" / "t");
  write_file_atomically(out_ / ".importing" / "t" / "x", "x");
  write_file_atomically(out_ / "t" / "train-00001-of-00002.h5", "half a shard");
  const Manifest m = append();
  Files after = files();
  for (const auto& [path, content] : before)
    if (!path.ends_with("dataset.json")) {
      EXPECT_EQ(after.at(path), content) << path;
    }
  EXPECT_FALSE(fs::exists(out_ / ".importing"));
  ASSERT_EQ(m.tasks.size(), 3U);
  EXPECT_EQ(m.tasks[0].labels, (std::vector<std::string>{"p", "q"}));
  const SplitInfo& train = m.tasks[0].splits.at("train");
  ASSERT_EQ(train.shards.size(), 2U);
  EXPECT_EQ(train.shards[1].file, "t/train-00001-of-00002.h5");
  EXPECT_EQ(train.samples, 3U);
  EXPECT_EQ(train.input_tokens, 9U);
  const SplitReader in = reader(m, "t");
  ASSERT_EQ(in.size(), 3U);
  EXPECT_EQ(in.sample(0).label(), 1);
  EXPECT_EQ(in.sample(2).label(), 1);
  EXPECT_EQ(tokens(in, 2), (Ids{2, 7, 3}));
  EXPECT_EQ(reader(m, "t", "valid").sample(0).label(), 0);
  EXPECT_EQ(tokens(reader(m, "u"), 0), (Ids{2, 5, 6, 3}));

  // Once more is refused, and so is what was there from the beginning.
  refuse_append(Exit::data, {"task 't'", "train", "in the data set already", "t/train-00001-of-00002.h5"});
  options_.tasks.clear();
  task("t", Kind::classification, {{"train", folder_ / "t.jsonl"}});
  refuse_append(Exit::data, {"already", "t/train-00000-of-00001.h5"});
}

TEST_F(AppendTest, AFailureLeavesTheDataSetAsItWas) {
  task("u", Kind::masked_lm, {{"train", file("u.txt", "a b\n")}});
  task("t", Kind::classification, {{"train", file("t2.jsonl", R"({"text": "c", "label": "new"})")}});
  refuse_append(Exit::data,
                {"t2.jsonl, line 1", "label 'new'", "the task in the data set does not have", "new data set"});
  options_.tasks.pop_back();
  task("r", Kind::regression, {{"train", file("r2.jsonl", R"({"text": "c", "value": [1, 2]})")}});
  refuse_append(Exit::data, {"r2.jsonl, line 1", "2 values", "1"});
  file("r2.jsonl", R"({"features": [[1]], "value": 1})");
  refuse_append(Exit::data, {"r2.jsonl, line 1", "vectors of 1 numbers", "text"});
  options_.tasks[1].kind = Kind::masked_lm;
  refuse_append(Exit::data, {"'r' is regression in the data set, masked_lm"});
  options_.tasks[1].files.clear();
  options_.tasks[1].kind = Kind::regression;
  refuse_append(Exit::data, {"'r' has no file to add"});
  options_.tasks.pop_back();
  options_.tasks[0].files = {{"valid", {folder_ / "u.txt"}}};
  refuse_append(Exit::data, {"'u' has no train data"});
  options_.tasks[0].files = {{"train", {folder_ / "u.txt"}}};
  options_.name = "y";
  refuse_append(Exit::config, {"its name is 'x'", "'y'"});
  options_.name = "x";
  options_.vocab = file("other.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nb\n");
  refuse_append(Exit::config, {"other.txt is another one"});
  options_.vocab = folder_ / "vocab.txt";

  // The manifest cannot be replaced: shards that were moved already go again.
  fs::create_directory(out_ / "dataset.json.tmp");
  refuse_append(Exit::cannot_write, {"dataset.json.tmp"});
  fs::remove(out_ / "dataset.json.tmp");
  write_file_atomically(out_ / "vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nc\n");
  refuse_append(Exit::data, {"vocab.txt", "SHA-256"});
}

TEST_F(AppendTest, NeedsADataSetWithATokenizerForText) {
  fs::remove(out_ / "dataset.json");
  task("u", Kind::masked_lm, {{"train", file("u.txt", "a b\n")}});
  refuse_append(Exit::data, {"no dataset.json"});
  options_.append = false;
  options_.tokenizer = "sentencepiece";
  options_.vocab.clear();
  only(Kind::regression, "t.jsonl", R"({"features": [[1]], "value": 1})");
  import();
  options_.append = true;
  only(Kind::regression, "t.jsonl", R"({"features": [[2]], "value": 1})");
  EXPECT_EQ(append().tasks[0].splits.at("train").samples, 2U);
  options_.tasks.clear();
  task("u", Kind::masked_lm, {{"train", file("u.txt", "a b\n")}});
  refuse_append(Exit::data, {"special tokens only", "new data set"});
}

TEST_F(AppendTest, OnlyOneAtATime) {
  task("u", Kind::masked_lm, {{"train", file("u.txt", "a b\n")}});
  const auto locked = [](const fs::path& folder) {
    fs::create_directories(folder);
    const int descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY);
    EXPECT_EQ(::flock(descriptor, LOCK_EX | LOCK_NB), 0);
    return descriptor;
  };
  int other = locked(out_ / ".importing");
  refuse_append(Exit::cannot_write, {"another import is writing to it", "wait"});
  ::close(other);
  append();
  options_.append = false;
  other = locked(folder_ / "second.importing");
  write_file_atomically(folder_ / "second.importing" / "x", "x");
  expect_error(Exit::cannot_write, {"second", "another import is writing to it"},
               [&] { import_dataset(options_, folder_ / "second", [](const std::string&) {}); });
  EXPECT_TRUE(fs::exists(folder_ / "second.importing" / "x"));
  ::close(other);
  import_dataset(options_, folder_ / "second", [](const std::string&) {});
  EXPECT_FALSE(fs::exists(folder_ / "second" / "x"));
}

}  // namespace
}  // namespace polyhead
