// polyhead import: converts sample files into a data set, following an import description.
#include "datasets/import/import.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdio>

#include "core/base/error.h"
#include "core/base/nearest.h"
#include "core/base/numbers.h"
#include "datasets/import/staging.h"
#include "datasets/reading/input_files.h"
#include "datasets/target.h"
#include "launch/columns.h"
#include "launch/commands/commands.h"
#include "launch/effects.h"
#include "launch/end_on_signal.h"
#include "launch/threads.h"

namespace polyhead {
namespace {

// 'columns = text:sentence' maps the names of the file to parts of a sample; 'columns = text, label' lists the columns
// in the order of the file.
void read_columns(const Config& config, const std::string& key, ImportTask& task) {
  const std::vector<std::string> given = config.list(key);
  const bool pairs = std::ranges::any_of(given, [](const std::string& one) { return one.find(':') != one.npos; });
  if (!pairs) {
    task.columns = given;
    return;
  }
  const Target& target = target_of(task.kind);
  std::vector<std::string_view> useful = {"features"};
  for (const PartNames& part : target.parts()) useful.push_back(part.name);
  useful.emplace_back("weight");
  if (target.second_text() != SecondText::none) useful.emplace_back("second");
  task.fields = names_of_parts(config, key, useful, fmt::format("{} does not read it", name_of(task.kind)));
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
  const bool labelled = target_of(task.kind).labels() != nullptr;
  for (const char* option : {"label_names", "labels"})
    if (!labelled && config.has(key(option)))
      throw Error(Exit::config, fmt::format("{}: {} has no effect: a {} task has no labels; remove it",
                                            config.origin(key(option)), key(option), name_of(task.kind)));
  if (config.has(key("tag_scheme"))) task.bio = text("tag_scheme") == "bio";
  task.no_label = config.has(key("no_label")) ? config.list(key("no_label")) : std::vector<std::string>{};
  task.weights = text("weights") != "no";
  if (!task.weights && task.fields.contains("weight"))
    throw Error(Exit::config, fmt::format("{}: {} = no, but {} names the weight; keep one of them",
                                          config.origin(key("weights")), key("weights"), key("columns")));
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

// A kind of tokenizer, or else the folder of a pretrained model.
void read_tokenizer(const Config& config, ImportOptions& options) {
  const std::string key = "dataset.tokenizer", given = config.text(key);
  if (given == "sentencepiece" || given == "wordpiece") {
    options.tokenizer = given;
    return;
  }
  options.pretrained = config.path(key);
  std::error_code code;
  if (!std::filesystem::is_directory(options.pretrained, code))
    throw Error(Exit::config, fmt::format("{}: expected sentencepiece, wordpiece or the folder of a pretrained model; "
                                          "there is no folder {}",
                                          config.quote(key), options.pretrained.string()));
}

}  // namespace

std::span<const Option> import_options() {
  using enum OptionType;
  static const std::vector<Option> table = {
      {.key = "config", .type = path, .help = "The import description (INI).", .alias = "c"},
      {.key = "out",
       .type = path,
       .help = "The data set's folder. It must be empty or not exist, unless --append is given."},
      {.key = "append",
       .type = flag,
       .help =
           "Add tasks, or shards of existing tasks, to an existing data set. Its tokenizer and labels do not change."},
      {.key = "threads",
       .type = integer,
       .value = "0",
       .help = "Number of threads. 0 uses OMP_NUM_THREADS if it is set, otherwise all cores.",
       .allowed = ">=0"},
      {.section = "dataset", .key = "name", .help = "Name of the data set."},
      {.section = "dataset",
       .key = "tokenizer",
       .type = path,
       .value = "sentencepiece",
       .help =
           "The tokenizer: sentencepiece, which is trained on the texts of the train splits unless dataset.vocab is "
           "given; wordpiece, with dataset.vocab; or the folder of a pretrained model, whose tokenizer is used."},
      {.section = "dataset",
       .key = "vocab",
       .type = path,
       .help = "File of the vocabulary. wordpiece: vocab.txt. sentencepiece: a model to use instead of training one."},
      {.section = "dataset",
       .key = "vocab_size",
       .type = integer,
       .value = "16000",
       .help = "Maximum number of pieces in the vocabulary. A small text may allow fewer.",
       .allowed = ">=6,<=10000000",
       .needs = "dataset.tokenizer=sentencepiece"},
      {.section = "dataset",
       .key = "max_length",
       .type = integer,
       .value = "128",
       .help =
           "Maximum length of inputs and targets in tokens (inputs of vectors: in vectors). Longer ones are truncated.",
       .allowed = ">=4,<=1000000"},
      {.section = "dataset",
       .key = "normalization",
       .type = choice,
       .value = "auto",
       .help = "Unicode normalisation of the texts on which a SentencePiece vocabulary is trained. auto is nfkc, or "
               "none if nfkc would replace characters of translation targets.",
       .allowed = "auto|nfkc|none",
       .needs = "dataset.tokenizer=sentencepiece"},
      {.section = "dataset",
       .key = "shard_size",
       .type = bytes,
       .value = "64MiB",
       .help = "Approximate size of a shard in bytes, such as 512KiB or 64MiB."},
      {.section = "dataset",
       .key = "storage",
       .type = choice,
       .value = "contiguous",
       .help =
           "The HDF5 layout of shards. contiguous can be memory-mapped; chunked allows filters and is slower to read.",
       .allowed = "contiguous|chunked"},
      {.section = "dataset",
       .key = "compression",
       .type = choice,
       .value = "none",
       .help = "Compression filter of the chunks.",
       .allowed = "none|deflate",
       .needs = "dataset.storage=chunked"},
      {.section = "dataset",
       .key = "compression_level",
       .type = integer,
       .value = "6",
       .help = "Compression level.",
       .allowed = ">=1,<=9",
       .needs = "dataset.compression=deflate"},
      {.section = "dataset",
       .key = "shuffle",
       .type = flag,
       .value = "false",
       .help = "Apply HDF5's shuffle filter before compression: it groups the bytes of numbers by their position.",
       .needs = "dataset.storage=chunked"},
      {.section = "dataset",
       .key = "fletcher32",
       .type = flag,
       .value = "false",
       .help = "Store HDF5's Fletcher-32 checksum with each chunk.",
       .needs = "dataset.storage=chunked"},
      {.section = "task",
       .key = "kind",
       .help = "The kind of task: classification, multilabel, regression, tagging, masked_lm, translation or span."},
      {.section = "task",
       .key = "train",
       .type = path,
       .help = "Files with samples of the train split: paths or patterns, separated by commas. Formats: JSONL or a "
               "JSON array, Parquet, TSV, CSV, plain text, CoNLL-U, conll. All but Parquet may be compressed (.gz, "
               ".zst, .bz2)."},
      {.section = "task",
       .key = "valid",
       .type = path,
       .help = "The same for the valid split, which is evaluated during training."},
      {.section = "task",
       .key = "test",
       .type = path,
       .help = "The same for the test split, which is evaluated after training."},
      {.section = "task",
       .key = "train_target",
       .type = path,
       .help = "Translation from plain text: the files with the targets of task.NAME.train, line by line. There must "
               "be as many files."},
      {.section = "task", .key = "valid_target", .type = path, .help = "The same for task.NAME.valid."},
      {.section = "task", .key = "test_target", .type = path, .help = "The same for task.NAME.test."},
      {.section = "task",
       .key = "valid_share",
       .type = number,
       .value = "0",
       .help = "Fraction of the train files to use as the valid split, selected by a hash of the text.",
       .allowed = ">=0,<1"},
      {.section = "task",
       .key = "test_share",
       .type = number,
       .value = "0",
       .help = "Fraction of the train files to use as the test split.",
       .allowed = ">=0,<1"},
      {.section = "task",
       .key = "group",
       .help = "The key or column whose hash selects the samples of valid_share and test_share, instead of the text."},
      {.section = "task",
       .key = "format",
       .type = choice,
       .help = "The format of the files. If not given, it is chosen by the file extension. Parquet files are read as "
               "jsonl.",
       .allowed = "jsonl|tsv|csv|text|conllu|conll"},
      {.section = "task",
       .key = "columns",
       .type = list,
       .help = "Names that the files use for the parts of a sample, such as text:sentence, label:gold_label. For TSV "
               "and CSV files without a header line: the columns in order, such as text, label."},
      {.section = "task",
       .key = "header",
       .type = choice,
       .value = "auto",
       .help = "Whether the first line of a TSV, CSV or conll file holds column names. auto assumes that it does, "
               "unless columns are listed in order.",
       .allowed = "auto|yes|no"},
      {.section = "task",
       .key = "quoting",
       .type = choice,
       .help = "Whether fields may be in quotes (csv) or not (none). If not given, it is csv for CSV files and none "
               "for TSV files.",
       .allowed = "csv|none"},
      {.section = "task",
       .key = "weights",
       .type = choice,
       .value = "auto",
       .help = "Whether a key or column 'weight' is the weight of the sample in the loss (auto) or is not read (no).",
       .allowed = "auto|no"},
      {.section = "task",
       .key = "no_label",
       .type = list,
       .help = "Classification: labels that mark samples without a label, which are left out. If not given, it is '-' "
               "in gold_label."},
      {.section = "task",
       .key = "word_column",
       .type = integer,
       .value = "1",
       .help = "conll: number of the column with the words, counted from 1.",
       .allowed = ">=1,<=1000"},
      {.section = "task",
       .key = "tag_column",
       .help = "The column with the tags. CoNLL-U: upos (the default) or xpos. conll: its number; if not given, the "
               "last column."},
      {.section = "task",
       .key = "tag_scheme",
       .type = choice,
       .help = "bio converts tags of the schemes IOB1, IOBES and BILOU to BIO; keep does not change them. If not "
               "given, it is bio for conll files and keep for others.",
       .allowed = "bio|keep"},
      {.section = "task",
       .key = "label_names",
       .type = list,
       .help = "Names of the labels 0, 1, ... if labels are numbers, such as negative, positive."},
      {.section = "task",
       .key = "labels",
       .type = list,
       .help = "How labels are normalised. strip removes white space and invisible characters at both ends; nfc "
               "composes accents."},
      {.section = "task", .key = "source", .help = "Where the data come from."},
      {.section = "task", .key = "license", .help = "The licence of the data."},
      {.section = "task", .key = "source_language", .help = "The language of the inputs."},
      {.section = "task",
       .key = "target_language",
       .help = "The language of the targets.",
       .kinds = {Kind::translation}},
  };
  return table;
}

int run_import(const Config& config, Communicator&) {
  ImportOptions options;
  const std::string file = config.text("config");
  const auto out = config.path("out");
  options.name = config.text("dataset.name");
  read_tokenizer(config, options);
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
  const EndOnSignal signals("polyhead import", [&] {
    return discard_import()
               ? fmt::format("nothing was {} {}", options.append ? "added to" : "imported to", out.string())
               : "";
  });
  import_dataset(options, out, [](const std::string& line) { std::fprintf(stderr, "%s\n", line.c_str()); });
  return 0;
}

}  // namespace polyhead
