// polyhead import: an import description to a data set.
#include "datasets/import.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

#include "core/base/error.h"
#include "launch/commands/commands.h"
#include "launch/effects.h"
#include "launch/nearest.h"

namespace polyhead {
namespace {

ImportTask read_task(const Config& config, const std::string& name, const std::string& origin) {
  const auto key = [&](std::string_view k) { return fmt::format("task.{}.{}", name, k); };
  const auto text = [&](std::string_view k) { return config.has(key(k)) ? config.text(key(k)) : std::string(); };
  const auto fail = [&](const std::string& what) {
    throw Error(Exit::config, fmt::format("{}: task {}: {}", origin, name, what));
  };
  ImportTask task;
  task.name = name;
  if (!config.has(key("kind")))
    fail(fmt::format("has no kind; add 'kind = …', one of {}", fmt::join(kKindNames, ", ")));
  const auto kind = kind_from(text("kind"));
  if (!kind)
    throw Error(Exit::config,
                fmt::format("{}: task {}: there is no kind '{}'{}; the kinds are {}", config.origin(key("kind")), name,
                            text("kind"), did_you_mean(text("kind"), {kKindNames.begin(), kKindNames.end()}),
                            fmt::join(kKindNames, ", ")));
  task.kind = *kind;
  for (const char* split : {"train", "valid", "test"})
    if (config.has(key(split))) task.files[split] = config.path(key(split));
  for (const char* split : {"train", "valid", "test"})
    if (config.has(key(fmt::format("{}_target", split))))
      task.targets[split] = config.path(key(fmt::format("{}_target", split)));
  if (!task.files.contains("train") && !config.flag("append")) fail("has no train data; add 'train = FILE'");
  if (config.has(key("format")))
    task.format = static_cast<Format>(std::ranges::find(kFormatNames, text("format")) - kFormatNames.begin());
  task.columns = config.list(key("columns"));
  task.xpos = text("tag_column") == "xpos";
  task.source = text("source");
  task.license = text("license");
  task.source_language = text("source_language");
  task.target_language = text("target_language");
  return task;
}

}  // namespace

std::span<const Option> import_options() {
  using enum OptionType;
  static const std::vector<Option> table = {
      {"", "config", path, "", "The import description (INI).", false, "", "c"},
      {"", "out", path, "", "The data set's folder; must be empty or not exist, unless --append is given."},
      {"", "append", flag, "",
       "Add the tasks, or shards to tasks that are there, to the data set; its tokenizer and labels are kept."},
      {"", "threads", integer, "0", "Threads; 0: all cores.", false, ">=0"},
      {"dataset", "name", text, "", "The data set's name."},
      {"dataset", "tokenizer", choice, "sentencepiece",
       "The kind of vocabulary; sentencepiece is trained on train text.", false, "sentencepiece|wordpiece"},
      {"dataset", "vocab", path, "", "wordpiece: vocab.txt; sentencepiece: a model to use instead of training one."},
      {"dataset", "vocab_size", integer, "16000", "Pieces of the vocabulary.", false, ">=6,<=10000000", "",
       "dataset.tokenizer=sentencepiece"},
      {"dataset", "max_length", integer, "128", "The longest input and target, in tokens.", false, ">=4,<=1000000"},
      {"dataset", "shard_size", bytes, "64MiB", "About the size of a shard."},
      {"dataset", "storage", choice, "contiguous", "contiguous is mapped, chunked may be filtered and is read slower.",
       false, "contiguous|chunked"},
      {"dataset", "compression", choice, "none", "Filter of the chunks.", false, "none|deflate", "",
       "dataset.storage=chunked"},
      {"dataset", "compression_level", integer, "6", "Level of the filter.", false, ">=1,<=9", "",
       "dataset.compression=deflate"},
      {"dataset", "shuffle", flag, "false", "Bytes are sorted by their place in a number first.", false, "", "",
       "dataset.storage=chunked"},
      {"dataset", "fletcher32", flag, "false", "HDF5's own checksum of each chunk.", false, "", "",
       "dataset.storage=chunked"},
      {"task", "kind", text, "", "classification, multilabel, regression, tagging, masked_lm or translation."},
      {"task", "train", path, "",
       "JSONL, TSV or CSV with text, second (optional), and label, labels, value, words and tags, or target; plain "
       "text; CoNLL-U."},
      {"task", "valid", path, "", "The same for evaluation while training."},
      {"task", "test", path, "", "The same for evaluation afterwards."},
      {"task", "train_target", path, "", "Translation of plain text: the targets, line by line."},
      {"task", "valid_target", path, "", "The same for valid."},
      {"task", "test_target", path, "", "The same for test."},
      {"task", "format", choice, "", "Of the files; by their endings where it is not given.", false,
       "jsonl|tsv|csv|text|conllu"},
      {"task", "columns", list, "", "Of TSV and CSV files without a header line: the columns' names."},
      {"task", "tag_column", choice, "upos", "CoNLL-U: the column of the tags.", false, "upos|xpos"},
      {"task", "source", text, "", "Where the data come from."},
      {"task", "license", text, "", "The data's licence."},
      {"task", "source_language", text, "", "The language of the input."},
      {"task", "target_language", text, "", "The language of the target.", false, "", "", "kind=translation"},
  };
  return table;
}

int run_import(const Config& config, Communicator&) {
  ImportOptions options;
  const std::string file = config.text("config");
  const auto out = config.path("out");
  options.name = config.text("dataset.name");
  options.tokenizer = config.text("dataset.tokenizer");
  if (config.has("dataset.vocab")) options.vocab = config.path("dataset.vocab");
  if (options.tokenizer == "wordpiece" && options.vocab.empty())
    throw Error(Exit::config,
                fmt::format("{}: tokenizer = wordpiece needs a vocabulary; add 'vocab = FILE' to [dataset]", file));
  options.vocab_size = config.integer("dataset.vocab_size");
  options.max_length = config.integer("dataset.max_length");
  options.shard_size = config.bytes("dataset.shard_size");
  options.storage.chunked = config.text("dataset.storage") == "chunked";
  if (config.text("dataset.compression") == "deflate")
    options.storage.deflate = static_cast<int>(config.integer("dataset.compression_level"));
  options.storage.shuffle = config.flag("dataset.shuffle");
  options.storage.fletcher32 = config.flag("dataset.fletcher32");
  options.append = config.flag("append");
  options.threads = static_cast<int>(config.integer("threads"));
  if (config.tasks().empty())
    throw Error(Exit::config, fmt::format("{}: there is no task; add a section [task.NAME] with kind and train", file));
  for (const auto& [name, origin] : config.tasks()) options.tasks.push_back(read_task(config, name, origin));
  TaskKinds kinds;
  for (const ImportTask& task : options.tasks) kinds[task.name] = task.kind;
  require_effects(config, kinds);
  import_dataset(options, out, [](const std::string& line) { std::fprintf(stderr, "%s\n", line.c_str()); });
  return 0;
}

}  // namespace polyhead
