// Checks a task's description, then its files.
#include "datasets/import_plan.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <set>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "core/base/error.h"
#include "datasets/record_blocks.h"
#include "datasets/shard.h"

namespace polyhead {
namespace {

namespace fs = std::filesystem;

constexpr std::array<const char*, 3> kSplits = {"train", "valid", "test"};

[[noreturn]] void fail(const ImportTask& task, const std::string& what) {
  throw Error(Exit::data, fmt::format("task '{}' {}", task.name, what));
}

Format format_of(const ImportTask& task, const fs::path& file) {
  if (task.format) return *task.format;
  const std::string ending = file.extension().string();
  if (!task.targets.empty() || ending == ".txt") return Format::text;
  for (std::size_t f = 0; f < kFormatNames.size(); ++f)
    if (ending == fmt::format(".{}", kFormatNames[f])) return static_cast<Format>(f);
  if (ending == ".json") return Format::jsonl;
  fail(task, fmt::format("has a file {}, whose ending tells no format; add 'format = …' to its section, one of {}",
                         file.string(), fmt::join(kFormatNames, ", ")));
}

SampleFile sample_file(const ImportTask& task, const std::string& split) {
  SampleFile out{task.name, split, task.kind, task.files.at(split), {}, {}, task.columns, task.xpos};
  out.format = format_of(task, out.file);
  const bool table = out.format == Format::tsv || out.format == Format::csv;
  const bool parallel = out.format == Format::text && task.kind == Kind::translation;
  if (out.format == Format::conllu && task.kind != Kind::tagging)
    fail(task, fmt::format("is {}, but CoNLL-U holds words and tags; write 'kind = tagging'", name_of(task.kind)));
  if (out.format == Format::text && task.kind != Kind::masked_lm && task.kind != Kind::translation)
    fail(task, fmt::format("is {}, but {} is plain text without targets; use JSONL, TSV or CSV", name_of(task.kind),
                           out.file.string()));
  if (!task.columns.empty() && !table)
    fail(task, fmt::format("has 'columns', but {} is {}; columns belong to TSV and CSV", out.file.string(),
                           kFormatNames[static_cast<std::size_t>(out.format)]));
  if (const auto target = task.targets.find(split); target != task.targets.end()) {
    if (!parallel)
      fail(task, fmt::format("has '{}_target', which belongs to a translation of plain text files", split));
    out.target = target->second;
  } else if (parallel) {
    fail(task,
         fmt::format("has no translations of {}; add '{}_target = FILE', line by line", out.file.string(), split));
  }
  return out;
}

const std::vector<std::string>& labels_of(const Sample& sample, Kind kind, std::vector<std::string>& one) {
  if (kind == Kind::multilabel) return sample.labels;
  if (kind == Kind::tagging) return sample.tags;
  if (kind == Kind::classification) one = {sample.label};
  return one;
}

// Reads one file. Train defines the labels, the number of outputs and the width of vectors, unless the data set does.
class Scan {
 public:
  Scan(ImportPlan& plan, const SampleFile& file, TextSample& texts)
      : plan_(plan), file_(file), texts_(texts), defines_(file.split == "train" && !plan.added_to) {}

  std::uint64_t read(unsigned threads) {
    first_ = defines_;
    const std::uint64_t samples = each_record(
        file_, threads, [](Sample&& sample, std::uint64_t) { return std::move(sample); },
        [&](Sample&& sample, std::uint64_t line) { take(sample, line); });
    if (defines_ && samples > 0) number_labels();
    return samples;
  }

 private:
  void take(Sample& sample, std::uint64_t line) {
    if (first_) {
      plan_.info.features = sample.width;
      plan_.outputs = std::max<std::uint64_t>(sample.value.size(), 1);
      first_ = false;
    }
    if (sample.width != plan_.info.features)
      file_.fail(line, fmt::format("has {}, the task's other inputs have {}; a task's inputs are all alike",
                                   describe(sample.width), describe(plan_.info.features)));
    if (file_.kind == Kind::regression && sample.value.size() != plan_.outputs)
      file_.fail(line,
                 fmt::format("has {} values, the task's other samples have {}", sample.value.size(), plan_.outputs));
    std::vector<std::string> one;
    for (const std::string& label : labels_of(sample, file_.kind, one)) check_label(label, line);
    if (file_.split != "train") return;
    for (std::string* text : {&sample.text, sample.second ? &*sample.second : nullptr, &sample.target})
      if (text != nullptr && !text->empty()) texts_.add(std::move(*text));
  }

  static std::string describe(std::size_t width) {
    return width == 0 ? "text" : fmt::format("vectors of {} numbers", width);
  }

  void check_label(const std::string& label, std::uint64_t line) {
    if (defines_) {
      labels_.insert(label);
    } else if (!plan_.index.contains(label)) {
      const char* what = file_.kind == Kind::tagging ? "tag" : "label";
      if (plan_.added_to)
        file_.fail(line, fmt::format("has the {} '{}', which the task in the data set does not have, and heads that "
                                     "were trained on it could not say; take the line out, or import all of the task "
                                     "into a new data set or under another name",
                                     what, label));
      file_.fail(line, fmt::format("has the {} '{}', which no line of the train file {} has; add samples of it to "
                                   "train, or take the line out",
                                   what, label, plan_.files.front().file.string()));
    }
  }

  void number_labels() {
    const bool named =
        file_.kind == Kind::multilabel || file_.kind == Kind::classification || file_.kind == Kind::tagging;
    if (named && labels_.empty())
      throw Error(Exit::data,
                  fmt::format("task '{}': no line of its train file {} has a label; give at least one a label",
                              file_.task, file_.file.string()));
    if (file_.kind == Kind::tagging && labels_.size() >= kNotScored)
      throw Error(Exit::data, fmt::format("task '{}': its train file {} has {} tags; at most 65,534 are possible",
                                          file_.task, file_.file.string(), labels_.size()));
    plan_.info.labels.assign(labels_.begin(), labels_.end());
    for (const std::string& label : plan_.info.labels)
      plan_.index.emplace(label, static_cast<std::uint32_t>(plan_.index.size()));
    if (file_.kind == Kind::regression && plan_.outputs > 1)
      for (std::uint64_t k = 0; k < plan_.outputs; ++k) plan_.info.outputs.push_back(std::to_string(k));
  }

  ImportPlan& plan_;
  const SampleFile& file_;
  TextSample& texts_;
  bool defines_ = false, first_ = false;
  std::set<std::string, std::less<>> labels_;
};

}  // namespace

std::string grouped(std::uint64_t number) {
  std::string text = std::to_string(number);
  for (auto at = static_cast<std::ptrdiff_t>(text.size()) - 3; at > 0; at -= 3)
    text.insert(static_cast<std::size_t>(at), 1, ',');
  return text;
}

ImportPlan make_plan(const ImportTask& task, const TaskInfo* before, unsigned threads, TextSample& texts,
                     const Progress& progress) {
  const auto allowed = [](unsigned char c) { return std::isalnum(c) != 0 || c == '-' || c == '_' || c == '.'; };
  if (task.name.empty() || task.name.front() == '.' || !std::all_of(task.name.begin(), task.name.end(), allowed))
    fail(task, "has a name that cannot be a folder's; use letters, digits, '-', '_' and '.'");
  if (before == nullptr && !task.files.contains("train"))
    fail(task, "has no train data; add 'train = FILE' to its section of the import description");
  for (const auto* files : {&task.files, &task.targets})
    for (const auto& [split, file] : *files) {
      if (std::find(kSplits.begin(), kSplits.end(), split) == kSplits.end())
        fail(task, fmt::format("has a split '{}'; known are train, valid and test", split));
      if (!task.files.contains(split))
        fail(task, fmt::format("has '{}_target' without '{}'; add the texts' file", split, split));
    }
  if (task.files.empty()) fail(task, "has no file to add; give train, valid or test, or take the task out");

  ImportPlan plan;
  if (before != nullptr) {
    if (before->kind != task.kind)
      fail(task, fmt::format("is {} in the data set, {} in the import description; correct the kind, or choose another "
                             "name for the task",
                             name_of(before->kind), name_of(task.kind)));
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
    if (task.files.contains(split)) plan.files.push_back(sample_file(task, split));
  std::string counts;
  for (const SampleFile& file : plan.files) {
    const std::uint64_t samples = Scan(plan, file, texts).read(threads);
    if (samples == 0)
      fail(task,
           fmt::format("has 0 samples in its {} file {}; fill the file, or take {} out of the import description",
                       file.split, file.file.string(), file.split == "train" ? "the task" : "'" + file.split + "'"));
    counts += fmt::format("{}{} {}", counts.empty() ? "" : ", ", file.split, grouped(samples));
  }
  if (!plan.info.labels.empty())
    counts += fmt::format(", {} {}", plan.info.labels.size(), task.kind == Kind::tagging ? "tags" : "labels");
  progress(fmt::format("read {}: {}", task.name, counts));
  return plan;
}

}  // namespace polyhead
