// Checks a task's description, then its files.
#include "datasets/import_plan.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <iterator>
#include <map>
#include <set>
#include <tuple>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "core/base/error.h"
#include "datasets/byte_stream.h"
#include "datasets/conll.h"
#include "datasets/first_lines.h"
#include "datasets/labels.h"
#include "datasets/line_reader.h"
#include "datasets/overlap.h"
#include "datasets/record_blocks.h"
#include "datasets/shard.h"
#include "datasets/target_precision.h"
#include "datasets/unicode.h"

namespace polyhead {
namespace {

namespace fs = std::filesystem;

constexpr std::array<const char*, 3> kSplits = {"train", "valid", "test"};

[[noreturn]] void fail(const ImportTask& task, const std::string& what) {
  throw Error(Exit::data, fmt::format("task '{}' {}", task.name, what));
}

Format format_of(const ImportTask& task, const fs::path& file) {
  if (task.format) return *task.format;
  const std::string ending = uncompressed_name(file).extension().string();
  if (!task.targets.empty() || ending == ".txt") return Format::text;
  for (std::size_t f = 0; f < kFormatNames.size(); ++f)
    if (ending == fmt::format(".{}", kFormatNames[f])) return static_cast<Format>(f);
  if (ending == ".json") return Format::jsonl;
  fail(task, fmt::format("has a file {}, whose ending tells no format; add 'format = …' to its section, one of {}",
                         file.string(), fmt::join(kFormatNames, ", ")));
}

bool is_table(Format format) {
  return format == Format::tsv || format == Format::csv;
}

void check_format(const ImportTask& task, const SampleFile& file) {
  const auto format = kFormatNames[static_cast<std::size_t>(file.format)];
  const auto without_effect = [&](const char* key, const char* where) {
    fail(task, fmt::format("has '{}', but {} is {}; it belongs to {}", key, file.file.string(), format, where));
  };
  const bool keys = is_table(file.format) || file.format == Format::jsonl;
  if (file.format == Format::conllu && task.kind != Kind::tagging)
    fail(task, fmt::format("is {}, but CoNLL-U holds words and tags; write 'kind = tagging'", name_of(task.kind)));
  if (file.format == Format::conll && task.kind != Kind::tagging)
    fail(task, fmt::format("is {}, but {} holds words and tags; write 'kind = tagging'", name_of(task.kind),
                           file.file.string()));
  if (file.format == Format::text && task.kind != Kind::masked_lm && task.kind != Kind::translation)
    fail(task, fmt::format("is {}, but {} is plain text without targets; use JSONL, TSV or CSV", name_of(task.kind),
                           file.file.string()));
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

// A table of tagging may turn out to be one word a line, as CoNLL-2003 is.
void recognise_conll(SampleFile& file) {
  if (file.format != Format::tsv || file.kind != Kind::tagging || !has_a_word_a_line(file)) return;
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

// A split's files; of a translation from plain text each with its targets.
SampleFile sample_files(const ImportTask& task, const std::string& split, const std::shared_ptr<InputFiles>& inputs) {
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
    one.format = format_of(task, one.file);
    check_format(task, one);
    recognise_conll(one);
    const bool parallel = one.format == Format::text && task.kind == Kind::translation;
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

// The same files as `train`, of which shares are `split`.
SampleFile shared_files(const SampleFile& train, const std::string& split) {
  SampleFile out = train;
  out.split = split;
  out.shared = true;
  for (SampleFile& file : out.rest) file.split = split, file.shared = true;
  return out;
}

const std::vector<std::string>& labels_of(const Sample& sample, Kind kind, std::vector<std::string>& one) {
  if (kind == Kind::multilabel) return sample.labels;
  if (kind == Kind::tagging) return sample.tags;
  if (kind == Kind::classification) one = {sample.label};
  return one;
}

// What is counted over all of a task's files, for warnings.
struct Census {
  LabelCensus labels;
  TargetPrecision precision;
  Overlap overlap;
};

// Reads one file. Train defines the labels, the number of outputs and the width of vectors, unless the data set does.
class Scan {
 public:
  Scan(ImportPlan& plan, const SampleFile& file, TextSample& texts, Census& census)
      : plan_(plan), file_(file), texts_(texts), census_(census), defines_(file.split == "train" && !plan.added_to) {}

  // Returns the number of samples by split: one split, or where shares are drawn from the train files all of them.
  std::map<std::string, std::uint64_t, std::less<>> read(unsigned threads) {
    first_ = defines_;
    std::map<std::string, std::uint64_t, std::less<>> counts = {{file_.split, 0}};
    if (file_.shared) {
      if (file_.valid_share > 0) counts["valid"] = 0;
      if (file_.test_share > 0) counts["test"] = 0;
    }
    SampleFile all = file_;  // and not its share alone
    all.shared = false;
    for (SampleFile& one : all.rest) one.shared = false;
    const auto draw = [&](Sample&& sample, const Place&) {
      const std::string_view split = file_.shared ? split_by_share(file_, sample) : std::string_view(file_.split);
      return Drawn{std::move(sample), split};
    };
    const RecordCount count = each_record(all, threads, draw, [&](Drawn&& one, const Place& place) {
      ++counts.find(one.split)->second;
      if (plan_.files.size() > 1) census_.overlap.add(one.split, one.sample, place);
      take(one.sample, place, one.split == "train");
    });
    first_lines_.check();
    if (defines_ && count.samples > 0) number_labels();
    report(count);
    return counts;
  }

 private:
  struct Drawn {
    Sample sample;
    std::string_view split;
  };

  void report(const RecordCount& count) const {
    const auto say = [&](const std::string& what) {
      if (file_.inputs) file_.inputs->say(fmt::format("task '{}': {} {}", file_.task, file_.file.string(), what));
    };
    if (count.left_out > 0)
      say(fmt::format("has {} samples whose label marks that they have none, of {}; they are left out",
                      grouped(count.left_out), grouped(count.left_out + count.samples)));
    if (changed_tags_ > 0)
      say(
          fmt::format("has {} tags in the scheme IOB1, IOBES or BILOU, which are written as BIO; 'tag_scheme = keep' "
                      "keeps them",
                      grouped(changed_tags_)));
    std::vector<std::string> untrained;
    if (file_.shared && defines_)
      for (const std::string& label : plan_.info.labels)
        if (!trained_.contains(label)) untrained.push_back(label);
    if (!untrained.empty())
      say(
          fmt::format("has the labels '{}' in its shares of valid and test only, so they are not learned; give more "
                      "samples, or another share",
                      fmt::join(untrained, "', '")));
  }

  void take(Sample& sample, const Place& place, bool train) {
    if (first_) {
      plan_.info.features = sample.width;
      plan_.outputs = std::max<std::uint64_t>(sample.value.size(), 1);
      first_ = false;
    }
    if (sample.width != plan_.info.features)
      SampleFile::fail(place, fmt::format("has {}, the task's other inputs have {}; a task's inputs are all alike",
                                          describe(sample.width), describe(plan_.info.features)));
    if (file_.kind == Kind::regression && sample.value.size() != plan_.outputs)
      SampleFile::fail(
          place, fmt::format("has {} values, the task's other samples have {}", sample.value.size(), plan_.outputs));
    std::vector<std::string> one;
    const std::vector<std::string>& labels = labels_of(sample, file_.kind, one);
    if (defines_)
      census_.labels.add(place, sample.label_form, labels);
    else
      for (const std::string& label : labels) check_label(label, place);
    census_.precision.add(sample, place);
    if (defines_ && is_table(file_.format) && !file_.columns.empty() && file_.header == Header::automatic)
      first_lines_.add(place, labels);
    if (train && file_.shared) trained_.insert(labels.begin(), labels.end());
    changed_tags_ += sample.changed_tags;
    if (!train) return;
    plan_.forms.add(sample.target);
    for (std::string* text : {&sample.text, sample.second ? &*sample.second : nullptr, &sample.target})
      if (text != nullptr && !text->empty()) texts_.add(std::move(*text));
  }

  static std::string describe(std::size_t width) {
    return width == 0 ? "text" : fmt::format("vectors of {} numbers", width);
  }

  void check_label(const std::string& label, const Place& place) {
    if (plan_.index.contains(label)) return;
    const char* what = file_.kind == Kind::tagging ? "tag" : "label";
    if (plan_.added_to)
      SampleFile::fail(place,
                       fmt::format("has the {} '{}', which the task in the data set does not have, and heads that "
                                   "were trained on it could not say; take the line out, or import all of the task "
                                   "into a new data set or under another name",
                                   what, label));
    const std::string alike = census_.labels.look_alike(label);
    std::string cure = "add samples of it to train, or take the line out";
    if (!alike.empty())
      cure = fmt::format(
          "train has {}, which looks the same: write them alike, or add 'labels = strip, nfc' to the "
          "task's section",
          spelled(alike));
    else if (marks_hidden(label))
      cure = fmt::format(
          "-1 often marks a label that is kept hidden, as in test splits of hubs: take '{}' out of the "
          "import description, or use a split with labels",
          file_.split);
    SampleFile::fail(place, fmt::format("has the {} {}, which no line of the train file {} has; {}", what,
                                        alike.empty() ? "'" + label + "'" : spelled(label),
                                        plan_.files.front().file.string(), cure));
  }

  void number_labels() {
    const bool named =
        file_.kind == Kind::multilabel || file_.kind == Kind::classification || file_.kind == Kind::tagging;
    const auto& labels = census_.labels.entries();
    if (named && labels.empty())
      throw Error(Exit::data,
                  fmt::format("task '{}': no line of its train file {} has a label; give at least one a label",
                              file_.task, file_.file.string()));
    if (file_.kind == Kind::tagging && labels.size() >= kNotScored)
      throw Error(Exit::data, fmt::format("task '{}': its train file {} has {} tags; at most 65,534 are possible",
                                          file_.task, file_.file.string(), labels.size()));
    if (file_.label_names.empty())
      for (const auto& [label, entry] : labels) plan_.info.labels.push_back(label);
    else
      std::ranges::copy_if(file_.label_names, std::back_inserter(plan_.info.labels),
                           [&](const std::string& name) { return labels.contains(name); });
    for (const std::string& label : plan_.info.labels)
      plan_.index.emplace(label, static_cast<std::uint32_t>(plan_.index.size()));
    if (file_.kind == Kind::regression && plan_.outputs > 1)
      for (std::uint64_t k = 0; k < plan_.outputs; ++k) plan_.info.outputs.push_back(std::to_string(k));
  }

  ImportPlan& plan_;
  const SampleFile& file_;
  TextSample& texts_;
  Census& census_;
  bool defines_ = false, first_ = false;
  std::set<std::string, std::less<>> trained_;  // labels that the share of train has
  FirstLines first_lines_;
  std::size_t changed_tags_ = 0;
};

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
  if (!task.no_label.empty() && task.kind != Kind::classification)
    fail(task, fmt::format("is {}, but 'no_label' belongs to classification; take it out", name_of(task.kind)));
  if (task.bio && task.kind != Kind::tagging)
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

}  // namespace

std::string grouped(std::uint64_t number) {
  std::string text = std::to_string(number);
  for (auto at = static_cast<std::ptrdiff_t>(text.size()) - 3; at > 0; at -= 3)
    text.insert(static_cast<std::size_t>(at), 1, ',');
  return text;
}

std::uint32_t ImportPlan::number_of(const std::string& label, const Place& place) const {
  const auto found = index.find(label);
  if (found == index.end())
    fail_changed(*place.file, fmt::format("line {} has '{}', which the first reading did not find", place.line, label));
  return found->second;
}

ImportPlan make_plan(const ImportTask& task, const TaskInfo* before, const std::shared_ptr<InputFiles>& inputs,
                     unsigned threads, TextSample& texts, const Progress& progress) {
  check_description(task, before);
  ImportPlan plan;
  if (before != nullptr) {
    plan.added_to = true;
    plan.info = *before;
    plan.info.splits.clear();
    plan.outputs = std::max<std::uint64_t>(before->outputs.size(), 1);
    for (const std::string& label : before->labels)
      plan.index.emplace(label, static_cast<std::uint32_t>(plan.index.size()));
  } else {
    plan.info.name = task.name;
    plan.info.kind = task.kind;
    plan.info.source = task.source;
    plan.info.license = task.license;
    plan.info.source_language = task.source_language;
    plan.info.target_language = task.target_language;
  }
  for (const char* split : kSplits)
    if (task.files.contains(split)) plan.files.push_back(sample_files(task, split, inputs));
  std::string counts;
  std::map<std::string, std::uint64_t, std::less<>> samples;
  Census census;
  for (const SampleFile& file : plan.files)
    if (!file.shared || file.split == "train") samples.merge(Scan(plan, file, texts, census).read(threads));
  for (const SampleFile& file : plan.files) {
    const std::uint64_t number = samples.at(file.split);
    if (number == 0 && file.shared)
      fail(task, fmt::format("has 0 samples in the share of {} of its train file {}; choose another {}_share",
                             file.split, file.file.string(), file.split == "train" ? "valid" : file.split));
    if (number == 0)
      fail(task,
           fmt::format("has 0 samples in its {} file {}; fill the file, or take {} out of the import description",
                       file.split, file.file.string(), file.split == "train" ? "the task" : "'" + file.split + "'"));
    counts += fmt::format("{}{} {}", counts.empty() ? "" : ", ", file.split, grouped(number));
  }
  if (!plan.info.labels.empty())
    counts += fmt::format(", {} {}", plan.info.labels.size(), task.kind == Kind::tagging ? "tags" : "labels");
  progress(fmt::format("read {}: {}", task.name, counts));
  for (const auto& warnings : {census.labels.warnings(plan.files.front()), census.precision.warnings(task.name),
                               census.overlap.warnings(task.name)})
    for (const std::string& warning : warnings) progress("warning: " + warning);
  return plan;
}

}  // namespace polyhead
