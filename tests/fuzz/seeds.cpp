// fuzz_seeds OUT: the seed corpus, from our own writers: OUT/shard/ and OUT/manifest/.
#include <cstdio>
#include <filesystem>
#include <string>

#include "core/base/error.h"
#include "core/base/files.h"
#include "datasets/manifest.h"
#include "datasets/shard_writer.h"
#include "datasets/target.h"

namespace {

using namespace polyhead;
namespace fs = std::filesystem;

ShardContent content(Kind kind, bool texts) {
  ShardContent c;
  c.task = "t";
  c.split = "train";
  c.kind = kind;
  c.vocab_size = 10;
  c.input.values = {2, 5, 3, 2, 6, 7, 3, 2, 3};
  c.input.offsets = {0, 3, 7, 9};
  c.label = {1, 0, 2};
  c.labels = {1, 0, 0, 0, 1, 1, 0, 0, 0};
  c.width = kind == Kind::multilabel ? 3 : 2;
  c.value = {0.5F, -1, 2, 3, -4.5F, 0};
  c.tags = {65535, 1, 65535, 65535, 0, 2, 65535, 65535, 65535};
  c.target.values = {5, 3, 3, 7, 3};
  c.target.offsets = {0, 2, 3, 5};
  c.span = {1, 1, 2, 2, 0, 0};                            // the last answer is cut off
  if (texts || kind == Kind::span) c.second = {0, 2, 1};  // span: required
  if (kind == Kind::span) c.second[0] = 1;
  if (texts) {
    c.input_text.emplace();
    for (const std::string text : {"fünf", "", "x y"}) c.input_text->push(text);
    if (target_of(kind).keeps_texts()) c.target_text = c.input_text;
    c.characters = {0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
  }
  return c;
}

void run(const fs::path& out) {
  fs::create_directories(out / "shard");
  fs::create_directories(out / "manifest");
  fs::create_directories(out / "files");
  Manifest manifest;
  manifest.name = "seed";
  manifest.tokenizer = {.kind = "wordpiece", .file = "vocab.txt", .sha256 = "ab", .vocab_size = 10};
  for (std::size_t kind = 0; kind < kKindNames.size(); ++kind) {
    const std::string name(kKindNames[kind]);
    for (const bool texts : {false, true}) {
      const fs::path file = out / "files" / (name + (texts ? "-texts.h5" : ".h5"));
      write_shard(file, content(static_cast<Kind>(kind), texts));
      // tests/fuzz/run adds what h5repack makes of these files.
    }
    // A recipe of zeros and small numbers.
    std::string recipe = {static_cast<char>(0x80U | kind), 3, 6};
    for (int i = 0; i < 60; ++i) recipe += static_cast<char>(i % 5);
    write_file_atomically(out / "shard" / (name + "-recipe"), recipe);
    TaskInfo task;
    task.name = name;
    task.kind = static_cast<Kind>(kind);
    if (task.kind != Kind::regression) task.labels = {"a", "b", "c"};
    task.outputs = {"x", "y"};
    task.source_language = "en", task.license = "none";
    task.splits["train"] = {.samples = 5, .input_tokens = 9, .shards = {{"t/0.h5", 3, 10, "cd"}, {"t/1.h5", 2, 0, ""}}};
    manifest.tasks.push_back(task);
  }
  write_manifest(out / "manifest", manifest);
}

}  // namespace

int main(int count, char** arguments) {
  try {
    if (count != 2) throw Error(Exit::usage, "fuzz_seeds OUT");
    run(arguments[1]);
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
