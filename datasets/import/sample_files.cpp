// Checks a task's description as far as possible without reading, and chooses formats.
#include "datasets/import/sample_files.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <fstream>
#include <tuple>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "core/base/error.h"
#include "datasets/reading/byte_stream.h"
#include "datasets/reading/conll.h"
#include "datasets/reading/input_files.h"
#include "datasets/reading/line_reader.h"
#include "datasets/reading/parquet.h"
#include "datasets/target.h"

namespace polyhead {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail(const ImportTask& task, const std::string& what) {
  throw Error(Exit::data, fmt::format("task '{}' {}", task.name, what));
}

// A Parquet file may have any name.
bool holds_parquet(const fs::path& content) {
  std::array<char, 4> head{};
  return std::ifstream(content, std::ios::binary).read(head.data(), head.size()) &&
         is_parquet({head.data(), head.size()});
}

Format format_of(const ImportTask& task, const SampleFile& one) {
  if (task.format) return *task.format;
  const fs::path& file = one.file;
  const std::string ending = uncompressed_name(file).extension().string();
  if (!task.targets.empty() || ending == ".txt") return Format::text;
  for (std::size_t f = 0; f < kFormatNames.size(); ++f)
    if (ending == fmt::format(".{}", kFormatNames[f])) return static_cast<Format>(f);
  if (ending == ".json" || ending == ".parquet") return Format::jsonl;
  if (holds_parquet(one.inputs ? one.inputs->content(one, file) : file)) return Format::jsonl;
  const bool folder = fs::is_directory(file);
  std::string line;
  if (!folder) LineReader(one).next(line);  // throws for a file in a format that import does not read
  const bool parallel = target_of(task.kind).has_target_files();
  fail(task, fmt::format("has {} {}, whose ending does not determine a format; add 'format = …' to its section, one of "
                         "{}{}",
                         folder ? "a folder" : "a file", file.string(), fmt::join(kFormatNames, ", "),
                         parallel ? fmt::format("; or add {}_target = FILE, for two parallel text files, line by line",
                                                one.split)
                                  : ""));
}

void check_format(const ImportTask& task, const SampleFile& file) {
  const auto format = kFormatNames[static_cast<std::size_t>(file.format)];
  const auto without_effect = [&](const char* key, const char* where) {
    fail(task, fmt::format("has '{}', but {} is {}; it belongs to {}", key, file.file.string(), format, where));
  };
  const bool keys = is_table(file.format) || file.format == Format::jsonl;
  const bool fits = target_of(task.kind).fits(file.format);
  if (file.format == Format::conllu && !fits)
    fail(task, fmt::format("is {}, but CoNLL-U holds words and tags; write 'kind = tagging'", name_of(task.kind)));
  if (file.format == Format::conll && !fits)
    fail(task, fmt::format("is {}, but {} holds words and tags; write 'kind = tagging'", name_of(task.kind),
                           file.file.string()));
  if (file.format == Format::text && !fits)
    fail(task,
         fmt::format("is {}, but {} is plain text without targets; use JSONL, TSV or CSV, or give the format that it "
                     "has ('format = conll' for a word and its tags on each line)",
                     name_of(task.kind), file.file.string()));
  if (!task.columns.empty() && !is_table(file.format))
    without_effect("columns", file.format == Format::jsonl ? "TSV and CSV; write 'columns = text:KEY' for keys of JSON"
                                                           : "TSV and CSV");
  if (!task.fields.empty() && !keys) without_effect("columns", "JSONL, TSV and CSV");
  if (!task.group.empty() && !keys) without_effect("group", "JSONL, TSV and CSV");
  if (task.header != Header::automatic && !is_table(file.format) && file.format != Format::conll)
    without_effect("header", "TSV, CSV and conll");
  if (task.header == Header::no && task.columns.empty() && is_table(file.format))
    fail(task,
         "has 'header = no', but no 'columns'; name the columns in the order of the file, as in 'columns = text, "
         "label'");
  if (task.quoting && !is_table(file.format)) without_effect("quoting", "TSV and CSV");
  if ((task.word_column != 1 || task.tag_column != 0) && file.format != Format::conll && !is_table(file.format))
    without_effect(task.word_column != 1 ? "word_column" : "tag_column", "conll");
}

// A table for tagging may have one word per line, as in CoNLL-2003.
void recognise_conll(SampleFile& file) {
  if (file.format != Format::tsv || !target_of(file.kind).fits(Format::conll) || !has_a_word_a_line(file)) return;
  std::vector<std::string> names = file.columns;
  if (!file.fields.empty()) {
    std::string line;
    LineReader(file).next(line);
    for (const std::string_view column : conll_columns(line)) names.emplace_back(column);
    file.header = Header::yes;
  }
  const auto place = [&](const std::string& part, std::size_t otherwise) {
    const auto given = file.fields.find(part);
    const auto found = std::find(names.begin(), names.end(), given == file.fields.end() ? part : given->second);
    return found == names.end() ? otherwise : static_cast<std::size_t>(found - names.begin()) + 1;
  };
  file.word_column = place("words", file.word_column);
  file.tag_column = place("tags", file.tag_column);
  file.format = Format::conll;
  if (file.inputs)
    file.inputs->say(
        fmt::format("task '{}': {} holds a word a line and blank lines between sentences, so it is read as "
                    "'format = conll'",
                    file.task, file.file.string()));
}

// Returns the files of `train`, of which shares are used as `split`.
SampleFile shared_files(const SampleFile& train, const std::string& split) {
  SampleFile out = train;
  out.split = split;
  out.shared = true;
  for (SampleFile& file : out.rest) file.split = split, file.shared = true;
  return out;
}

// Returns the files of a split; for translation from plain text each with its targets.
SampleFile files_of(const ImportTask& task, const std::string& split, const std::shared_ptr<InputFiles>& inputs) {
  const std::vector<fs::path>& files = task.files.at(split);
  const auto found = task.targets.find(split);
  const std::vector<fs::path> targets = found == task.targets.end() ? std::vector<fs::path>() : found->second;
  std::vector<SampleFile> all;
  for (std::size_t i = 0; i < files.size(); ++i) {
    SampleFile& one = all.emplace_back();
    static_cast<ReadingOptions&>(one) = task;
    one.task = task.name;
    one.split = split;
    one.kind = task.kind;
    one.file = files[i];
    one.inputs = inputs;
    one.format = format_of(task, one);
    check_format(task, one);
    recognise_conll(one);
    const bool parallel = one.format == Format::text && target_of(task.kind).has_target_files();
    if (!targets.empty() && !parallel)
      fail(task, fmt::format("has '{}_target', which belongs to a translation of plain text files", split));
    if (targets.empty() && parallel)
      fail(task,
           fmt::format("has no translations of {}; add '{}_target = FILE', line by line", one.file.string(), split));
    if (!targets.empty() && targets.size() != files.size())
      fail(task, fmt::format("has {} files of '{}' and {} of '{}_target'; every file needs one with its translations, "
                             "in the same order",
                             files.size(), split, targets.size(), split));
    if (parallel) one.target = targets[i];
  }
  SampleFile first = all.front();
  first.rest.assign(all.begin() + 1, all.end());
  return first;
}

}  // namespace

void check_description(const ImportTask& task, const TaskInfo* before) {
  const auto allowed = [](unsigned char c) { return std::isalnum(c) != 0 || c == '-' || c == '_' || c == '.'; };
  if (task.name.empty() || task.name.front() == '.' || !std::all_of(task.name.begin(), task.name.end(), allowed))
    fail(task, "has a name that cannot be a folder's; use letters, digits, '-', '_' and '.'");
  if (before == nullptr && !task.files.contains("train"))
    fail(task, "has no train data; add 'train = FILE' to its section of the import description");
  for (const auto* files : {&task.files, &task.targets})
    for (const auto& [split, list] : *files) {
      if (list.empty()) fail(task, fmt::format("names no file for {}; name one, or take the key out", split));
      if (std::find(kSplits.begin(), kSplits.end(), split) == kSplits.end())
        fail(task, fmt::format("has a split '{}'; known are train, valid and test", split));
      if (!task.files.contains(split))
        fail(task, fmt::format("has '{}_target' without '{}'; add the texts' file", split, split));
    }
  if (task.files.empty()) fail(task, "has no file to add; give train, valid or test, or take the task out");
  if (task.valid_share < 0 || task.test_share < 0 || task.valid_share + task.test_share >= 1)
    fail(task, fmt::format("has valid_share = {} and test_share = {}; together they must be below 1", task.valid_share,
                           task.test_share));
  for (const auto& [split, share] : {std::pair("valid", task.valid_share), std::pair("test", task.test_share)})
    if (share > 0 && task.files.contains(split))
      fail(task, fmt::format("has both '{}' and '{}_share'; take one of them out", split, split));
  const bool shares = task.valid_share > 0 || task.test_share > 0;
  if (shares && !task.files.contains("train"))
    fail(task, "has shares of train files, but no train files; add 'train = FILE'");
  if (!task.group.empty() && !shares)
    fail(task, "has 'group', which has no effect without valid_share or test_share; add one of them, or take it out");
  const LabelRules* rules = target_of(task.kind).labels();
  if (!task.no_label.empty() && (rules == nullptr || !rules->optional))
    fail(task, fmt::format("is {}, but 'no_label' belongs to classification; take it out", name_of(task.kind)));
  if (task.bio && (rules == nullptr || !rules->per_word))
    fail(task, fmt::format("is {}, but 'tag_scheme' belongs to tagging; take it out", name_of(task.kind)));
  if (before != nullptr)
    for (const auto& [key, there, here] :
         {std::tuple("source", &before->source, &task.source), std::tuple("license", &before->license, &task.license),
          std::tuple("source_language", &before->source_language, &task.source_language),
          std::tuple("target_language", &before->target_language, &task.target_language)})
      if (!here->empty() && *here != *there)
        fail(task, fmt::format("has {} = {} in the import description, but '{}' in the data set; take '{}' out of the "
                               "import description, or choose another name for the task",
                               key, *here, *there, key));
  if (before != nullptr && before->kind != task.kind)
    fail(task, fmt::format("is {} in the data set, {} in the import description; correct the kind, or choose another "
                           "name for the task",
                           name_of(before->kind), name_of(task.kind)));
}

std::vector<SampleFile> sample_files(const ImportTask& task, const std::shared_ptr<InputFiles>& inputs) {
  std::vector<SampleFile> all;
  for (const char* split : kSplits)
    if (task.files.contains(split)) all.push_back(files_of(task, split, inputs));
  if (task.valid_share > 0 || task.test_share > 0) {
    const SampleFile train = shared_files(all.front(), "train");
    all.front() = train;
    if (task.valid_share > 0) all.push_back(shared_files(train, "valid"));
    if (task.test_share > 0) all.push_back(shared_files(train, "test"));
  }
  return all;
}

}  // namespace polyhead
