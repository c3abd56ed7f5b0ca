// polyhead import: an import description to a data set.
#include "datasets/import.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdio>

#include "core/base/error.h"
#include "core/base/numbers.h"
#include "datasets/field_names.h"
#include "datasets/input_files.h"
#include "launch/commands/commands.h"
#include "launch/effects.h"
#include "launch/nearest.h"
#include "launch/threads.h"

namespace polyhead {
namespace {

// 'columns = text:sentence' says which of the file's names stands for a part; 'columns = text, label' names the columns
// in the order of the file.
void read_columns(const Config& config, const std::string& key, ImportTask& task) {
  const auto fail = [&](const std::string& what) {
    throw Error(Exit::config, fmt::format("{}: {} = {}: {}", config.origin(key), key, config.text(key), what));
  };
  const std::vector<std::string> given = config.list(key);
  const bool pairs = std::ranges::any_of(given, [](const std::string& one) { return one.find(':') != one.npos; });
  if (!pairs) task.columns = given;
  for (const std::string& one : given) {
    if (!pairs) break;
    const std::size_t colon = std::min(one.find(':'), one.size());
    const std::string ours(trim(one.substr(0, colon)));
    const std::string theirs = colon == one.size() ? ours : std::string(trim(one.substr(colon + 1)));
    const std::vector<std::string> parts(kPartNames.begin(), kPartNames.end());
    if (std::ranges::find(parts, ours) == parts.end())
      fail(fmt::format("a sample has no part '{}'{}; write ours:theirs, as in text:sentence; the parts are {}", ours,
                       did_you_mean(ours, parts), fmt::join(parts, ", ")));
    if (theirs.empty())
      fail(fmt::format("'{}' is without the file's name for it; write for example text:sentence", one));
    if (!task.fields.emplace(ours, theirs).second) fail(fmt::format("'{}' is given twice; keep one of them", ours));
  }
  std::vector<Part> useful = needed_parts(task.kind);
  useful.push_back(Part::features);
  if (task.kind != Kind::tagging) useful.push_back(Part::second);
  for (const auto& [ours, theirs] : task.fields)
    if (std::ranges::none_of(
            useful, [&, ours = ours](Part part) { return kPartNames[static_cast<std::size_t>(part)] == ours; }))
      fail(fmt::format("'{}' has no effect, as {} does not read it; take it out", ours, name_of(task.kind)));
}

void read_reading(const Config& config, const std::string& name, ImportTask& task) {
  const auto key = [&](std::string_view k) { return fmt::format("task.{}.{}", name, k); };
  const auto text = [&](std::string_view k) { return config.has(key(k)) ? config.text(key(k)) : std::string(); };
  if (config.has(key("header")))
    task.header = static_cast<Header>(std::ranges::find(kHeaderNames, text("header")) - kHeaderNames.begin());
  if (config.has(key("quoting"))) task.quoting = text("quoting") == "csv";
  if (config.has(key("word_column"))) task.word_column = static_cast<std::size_t>(config.integer(key("word_column")));
  if (const std::string column = text("tag_column"); column == "xpos" || column == "upos") {
    task.xpos = column == "xpos";
  } else if (!column.empty()) {
    const auto number = parse_integer(column);
    if (!number || *number < 1 || *number > 1000)
      throw Error(Exit::config,
                  fmt::format("{}: {} = {}: expected upos or xpos (CoNLL-U), or the number of a column, from "
                              "1 (conll)",
                              config.origin(key("tag_column")), key("tag_column"), column));
    task.tag_column = static_cast<std::size_t>(*number);
  }
  task.label_names = config.list(key("label_names"));
  for (const std::string& how : config.list(key("labels"))) {
    if (how != "strip" && how != "nfc")
      throw Error(Exit::config, fmt::format("{}: {} = {}: there is no '{}'; known are strip and nfc",
                                            config.origin(key("labels")), key("labels"), text("labels"), how));
    (how == "strip" ? task.strip_labels : task.compose_labels) = true;
  }
  const bool labelled =
      task.kind == Kind::classification || task.kind == Kind::multilabel || task.kind == Kind::tagging;
  for (const char* option : {"label_names", "labels"})
    if (!labelled && config.has(key(option)))
      throw Error(Exit::config, fmt::format("{}: {} has no effect: a {} task has no labels; take it out",
                                            config.origin(key(option)), key(option), name_of(task.kind)));
  if (config.has(key("tag_scheme"))) task.bio = text("tag_scheme") == "bio";
  task.no_label = config.has(key("no_label")) ? config.list(key("no_label")) : std::vector<std::string>{};
  task.group = text("group");
  if (config.has(key("valid_share"))) task.valid_share = config.number(key("valid_share"));
  if (config.has(key("test_share"))) task.test_share = config.number(key("test_share"));
}

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
  const auto files = [&](const std::string& k) {
    const bool typed = config.origin(key(k)) == "command line";
    const auto folder = typed ? std::filesystem::current_path() : config.path("config").parent_path();
    return find_files(config.text(key(k)), folder, fmt::format("{}: {}", config.origin(key(k)), key(k)));
  };
  for (const std::string split : {"train", "valid", "test"}) {
    if (config.has(key(split))) task.files[split] = files(split);
    if (config.has(key(split + "_target"))) task.targets[split] = files(split + "_target");
  }
  if (!task.files.contains("train") && !config.flag("append")) fail("has no train data; add 'train = FILE'");
  if (config.has(key("format")))
    task.format = static_cast<Format>(std::ranges::find(kFormatNames, text("format")) - kFormatNames.begin());
  read_columns(config, key("columns"), task);
  read_reading(config, name, task);
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
      {"", "threads", integer, "0", "Threads; 0: OMP_NUM_THREADS, or all cores.", false, ">=0"},
      {"dataset", "name", text, "", "The data set's name."},
      {"dataset", "tokenizer", choice, "sentencepiece",
       "The kind of vocabulary; sentencepiece is trained on train text.", false, "sentencepiece|wordpiece"},
      {"dataset", "vocab", path, "", "wordpiece: vocab.txt; sentencepiece: a model to use instead of training one."},
      {"dataset", "vocab_size", integer, "16000", "The most pieces of the vocabulary; a small text may allow fewer.",
       false, ">=6,<=10000000", "", "dataset.tokenizer=sentencepiece"},
      {"dataset", "max_length", integer, "128", "The longest input and target, in tokens.", false, ">=4,<=1000000"},
      {"dataset", "normalization", choice, "auto",
       "Of texts, where a SentencePiece vocabulary is trained; auto: nfkc, unless it replaces characters of "
       "translation targets.",
       false, "auto|nfkc|none", "", "dataset.tokenizer=sentencepiece"},
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
       "Files of samples, separated by commas, or patterns: JSONL or a JSON array, Parquet, TSV, CSV, plain text, "
       "CoNLL-U, conll; all but Parquet also as .gz, .zst or .bz2."},
      {"task", "valid", path, "", "The same for evaluation while training."},
      {"task", "test", path, "", "The same for evaluation afterwards."},
      {"task", "train_target", path, "", "Translation of plain text: the targets, line by line; as many files."},
      {"task", "valid_target", path, "", "The same for valid."},
      {"task", "test_target", path, "", "The same for test."},
      {"task", "valid_share", number, "0", "The share of the train files that is valid, by a hash of the text.", false,
       ">=0,<1"},
      {"task", "test_share", number, "0", "The share of the train files that is test.", false, ">=0,<1"},
      {"task", "group", text, "", "The key or column whose hash decides about shares, instead of the text."},
      {"task", "format", choice, "", "Format of the files. Default: chosen by the ending; Parquet is read as jsonl.",
       false, "jsonl|tsv|csv|text|conllu|conll"},
      {"task", "columns", list, "",
       "The files' names for the parts of a sample, text:sentence, label:gold_label; or, of TSV and CSV without a "
       "header "
       "line, the columns in their order."},
      {"task", "header", choice, "auto",
       "Whether the first line of TSV, CSV or conll holds names; auto: unless columns are named in order.", false,
       "auto|yes|no"},
      {"task", "quoting", choice, "", "Whether fields may stand in quotes; by default those of CSV may.", false,
       "csv|none"},
      {"task", "no_label", list, "",
       "Classification: labels that mark samples without one, which are left out; by default '-' in gold_label."},
      {"task", "word_column", integer, "1", "conll: the column of the words, from 1.", false, ">=1,<=1000"},
      {"task", "tag_column", text, "",
       "The column of the tags; CoNLL-U: upos (the default) or xpos; conll: its number, by default the last."},
      {"task", "tag_scheme", choice, "",
       "bio: IOB1, IOBES and BILOU become BIO; keep: tags stay as they are. By default those of conll become BIO.",
       false, "bio|keep"},
      {"task", "label_names", list, "", "Labels that are numbers: the names of 0, 1, …, as in 'negative, positive'."},
      {"task", "labels", list, "",
       "How labels are made alike: strip takes off white space and invisible characters at their ends, nfc composes "
       "accents."},
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
  constexpr std::array<std::string_view, 3> kForms = {"auto", "nfkc", "none"};
  options.normalization =
      static_cast<Normalization>(std::ranges::find(kForms, config.text("dataset.normalization")) - kForms.begin());
  for (const std::string key : {"tokenizer", "vocab_size", "max_length"})
    if (config.origin("dataset." + key) != "default") options.stated.insert(key);
  options.shard_size = config.bytes("dataset.shard_size");
  options.storage.chunked = config.text("dataset.storage") == "chunked";
  if (config.text("dataset.compression") == "deflate")
    options.storage.deflate = static_cast<int>(config.integer("dataset.compression_level"));
  options.storage.shuffle = config.flag("dataset.shuffle");
  options.storage.fletcher32 = config.flag("dataset.fletcher32");
  options.append = config.flag("append");
  options.threads = static_cast<int>(config.integer("threads"));
  if (options.threads == 0) options.threads = threads_of_environment();
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
