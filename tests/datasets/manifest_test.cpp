// dataset.json is written and read, and every rule is broken once.
#include "datasets/manifest.h"

#include <functional>
#include <nlohmann/json.hpp>

#include "core/base/files.h"
#include "tests/datasets/folder.h"

namespace polyhead {
namespace {

using nlohmann::json;

class ManifestTest : public FolderTest {
 protected:
  static json whole() {
    return json::parse(R"({"format": "polyhead-dataset", "version": 1, "name": "x", "max_length": 64, "later": {"a": 1},
      "tokenizer": {"kind": "sentencepiece", "file": "tokenizer.model", "sha256": "ab", "vocab_size": 100,
                    "pad": 0, "unk": 1, "bos": 2, "eos": 3, "mask": 4},
      "tasks": [
        {"name": "a", "kind": "classification", "labels": ["p", "q"], "source": "s",
         "splits": {"train": {"samples": 5, "input_tokens": 50, "target_tokens": 0,
                              "shards": [{"file": "a/0.h5", "samples": 3, "bytes": 10, "sha256": "cd"},
                                         {"file": "a/1.h5", "samples": 2}]}}},
        {"name": "b", "kind": "translation", "source_language": "en", "target_language": "it",
         "splits": {"valid": {"shards": []}}}]})");
  }
  void refuse(const std::string& word, const std::function<void(json&)>& change) const {
    json content = whole();
    change(content);
    write_file_atomically(folder_ / "dataset.json", content.dump());
    expect_error(Exit::data, {word, "dataset.json"}, [&] { read_manifest(folder_); });
  }
};

TEST_F(ManifestTest, IsReadAndWritten) {
  write_file_atomically(folder_ / "dataset.json", whole().dump());
  const Manifest first = read_manifest(folder_);
  write_manifest(folder_, first);
  const Manifest m = read_manifest(folder_);
  EXPECT_EQ(m.name, "x");
  EXPECT_EQ(m.max_length, 64U);
  EXPECT_EQ(m.tokenizer.vocab_size, 100);
  EXPECT_EQ(m.tokenizer.mask, 4);
  EXPECT_EQ(m.tokenizer.sha256, "ab");
  ASSERT_EQ(m.tasks.size(), 2U);
  EXPECT_EQ(m.task("a").labels, (std::vector<std::string>{"p", "q"}));
  EXPECT_EQ(m.task("a").source, "s");
  const SplitInfo& train = m.task("a").splits.at("train");
  EXPECT_EQ(train.samples, 5U);
  EXPECT_EQ(train.input_tokens, 50U);
  ASSERT_EQ(train.shards.size(), 2U);
  EXPECT_EQ(train.shards[0].bytes, 10U);
  EXPECT_EQ(train.shards[0].sha256, "cd");
  EXPECT_EQ(train.shards[1].samples, 2U);
  EXPECT_EQ(train.shards[1].sha256, "");
  EXPECT_EQ(m.task("b").kind, Kind::translation);
  EXPECT_EQ(m.task("b").target_language, "it");
  EXPECT_EQ(m.task("b").splits.at("valid").samples, 0U);
  expect_error(Exit::config, {"no task 'c'", "a, b"}, [&] { m.task("c"); });
}

// docs/format.md: any text that holds no control character.
TEST_F(ManifestTest, TakesForeignTaskNames) {
  for (const char* name : {"my task", "nli/mnli", "naïve", "a]b", "x=y", "a, b", "..", "日本"}) {
    json content = whole();
    content["tasks"][0]["name"] = name;
    write_file_atomically(folder_ / "dataset.json", content.dump());
    EXPECT_EQ(read_manifest(folder_).tasks[0].name, name);
  }
}

TEST_F(ManifestTest, NeedsNoMaxLength) {
  json content = whole();
  content.erase("max_length");
  write_file_atomically(folder_ / "dataset.json", content.dump());
  write_manifest(folder_, read_manifest(folder_));
  EXPECT_EQ(read_manifest(folder_).max_length, 0U);
  EXPECT_FALSE(json::parse(read_file(folder_ / "dataset.json")).contains("max_length"));
}

TEST_F(ManifestTest, IsRefusedWithFileFieldAndCure) {
  expect_error(Exit::data, {"no dataset.json", "polyhead import"}, [&] { read_manifest(folder_); });
  write_file_atomically(folder_ / "dataset.json", "{");
  expect_error(Exit::data, {"is not JSON", "dataset.json"}, [&] { read_manifest(folder_); });
  write_file_atomically(folder_ / "dataset.json", "[]");
  expect_error(Exit::data, {"the file is not an object"}, [&] { read_manifest(folder_); });
  refuse("expected 'polyhead-dataset'", [](json& m) { m["format"] = "x"; });
  refuse("lacks 'format'", [](json& m) { m.erase("format"); });
  refuse("version 2", [](json& m) { m["version"] = 2; });
  refuse("'version' that is not a whole number", [](json& m) { m["version"] = 1.5; });
  refuse("'name' that is not a string", [](json& m) { m["name"] = 1; });
  refuse("the max_length 3, expected at least 4", [](json& m) { m["max_length"] = 3; });
  refuse("'tasks' that is not a list", [](json& m) { m["tasks"] = 1; });
  refuse("tasks[1] has the name of another", [](json& m) { m["tasks"][1]["name"] = "a"; });
  refuse("tasks[0] has an empty name", [](json& m) { m["tasks"][0]["name"] = ""; });
  for (const char* name : {"a\nb", "a\tb", "a\x1b[2J", "a\x7f"})
    refuse("tasks[0] has a name with a control character", [&](json& m) { m["tasks"][0]["name"] = name; });
  refuse("kind 'x'; known are classification", [](json& m) { m["tasks"][0]["kind"] = "x"; });
  refuse("tasks[0] lacks 'labels'", [](json& m) { m["tasks"][0].erase("labels"); });
  refuse("has no labels", [](json& m) { m["tasks"][0]["labels"] = json::array(); });
  refuse("not a list", [](json& m) { m["tasks"][0]["labels"] = "p"; });
  refuse("not a string", [](json& m) { m["tasks"][0]["labels"][1] = 2; });
  refuse("one of 'labels' twice", [](json& m) { m["tasks"][0]["labels"][1] = "p"; });
  refuse("more than 65534 labels", [](json& m) {
    m["tasks"][0]["kind"] = "tagging";
    for (int i = 0; i < 65535; ++i) m["tasks"][0]["labels"].push_back(std::to_string(i));
  });
  refuse("the split 'dev'", [](json& m) { m["tasks"][0]["splits"]["dev"] = m["tasks"][0]["splits"]["train"]; });
  refuse("says 6 samples, its shards together 5", [](json& m) { m["tasks"][0]["splits"]["train"]["samples"] = 6; });
  refuse("too large a number", [](json& m) { m["tasks"][0]["splits"]["train"]["shards"][0]["samples"] = ~0ULL; });
  refuse("train.shards[1] lacks 'samples'",
         [](json& m) { m["tasks"][0]["splits"]["train"]["shards"][1].erase("samples"); });
  refuse("shards[0] is not an object", [](json& m) { m["tasks"][0]["splits"]["train"]["shards"][0] = 3; });
  for (const char* path : {"/etc/passwd", "../x", "a/../../x", ""})
    refuse("does not lie inside", [&](json& m) { m["tasks"][0]["splits"]["train"]["shards"][0]["file"] = path; });
  refuse("does not lie inside", [](json& m) { m["tokenizer"]["file"] = "../x"; });
  refuse("tokenizer has the kind 'x'", [](json& m) { m["tokenizer"]["kind"] = "x"; });
  refuse("above 2^32", [](json& m) { m["tokenizer"]["vocab_size"] = 1ULL << 32; });
  refuse("mask = 100, which is not below", [](json& m) { m["tokenizer"]["mask"] = 100; });
  refuse("mask = 3, another special token", [](json& m) { m["tokenizer"]["mask"] = 3; });
  refuse("'pad' that is not a whole number", [](json& m) { m["tokenizer"]["pad"] = -1; });
}

TEST_F(ManifestTest, SaysWhenItCannotBeWritten) {
  expect_error(Exit::cannot_write, {"dataset.json.tmp"}, [&] { write_manifest(folder_ / "none", {}); });
}

}  // namespace
}  // namespace polyhead
