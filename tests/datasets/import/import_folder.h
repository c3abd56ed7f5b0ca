// A folder with files of any format, a WordPiece vocabulary of a few letters, and imports of them.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "core/base/files.h"
#include "datasets/dataset.h"
#include "datasets/import/import.h"
#include "tests/datasets/folder.h"

namespace polyhead {

class ImportFolderTest : public FolderTest {
 protected:
  ImportFolderTest() {
    options_.name = "x";
    options_.tokenizer = "wordpiece";
    options_.vocab = file("vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\nc\n##c\n,\n\"\n");
    options_.threads = 2;
  }
  std::filesystem::path file(const std::string& name, const std::string& content) {
    write_file_atomically(folder_ / name, content);
    return folder_ / name;
  }
  ImportTask& task(const std::string& name, Kind kind, const std::map<std::string, std::filesystem::path>& files) {
    ImportTask& task = options_.tasks.emplace_back();
    task.name = name;
    task.kind = kind;
    for (const auto& [split, file] : files) task.files[split] = {file};
    return task;
  }
  // The only task is of one train file.
  ImportTask& only(Kind kind, const std::string& name, const std::string& content) {
    options_.tasks.clear();
    return task("t", kind, {{"train", file(name, content)}});
  }
  Manifest import() {
    std::filesystem::remove_all(out_);
    import_dataset(options_, out_, [](const std::string&) {});
    return read_manifest(out_);
  }
  void refuse(const std::vector<std::string>& words, Exit code = Exit::data) {
    std::filesystem::remove_all(out_);
    expect_error(code, words, [&] { import_dataset(options_, out_, [](const std::string&) {}); });
    EXPECT_FALSE(std::filesystem::exists(out_));
    EXPECT_FALSE(std::filesystem::exists(out_.string() + ".importing"));
  }
  SplitReader reader(const Manifest& manifest, const std::string& task, const std::string& split = "train") {
    return {out_, manifest, manifest.task(task), split};
  }
  static std::vector<std::int64_t> tokens(const SplitReader& reader, std::uint64_t sample) {
    std::vector<std::int64_t> out;
    reader.sample(sample).input_tokens(out);
    return out;
  }
  const std::filesystem::path out_ = folder_ / "out";
  ImportOptions options_;
};

}  // namespace polyhead
