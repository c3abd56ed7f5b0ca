// Checks a task's description, and then reads its files.
#include "datasets/import/import_plan.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <set>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "core/base/error.h"
#include "core/base/text.h"
#include "datasets/import/overlap.h"
#include "datasets/import/sample_files.h"
#include "datasets/import/target_precision.h"
#include "datasets/kinds/labels.h"
#include "datasets/reading/first_lines.h"
#include "datasets/reading/record_blocks.h"
#include "datasets/target.h"
#include "datasets/tokenizer/unicode.h"

namespace polyhead {
namespace {

[[noreturn]] void fail(const ImportTask& task, const std::string& what) {
  throw Error(Exit::data, fmt::format("task '{}' {}", task.name, what));
}

// Counts over all files of a task, for warnings.
struct Census {
  LabelCensus labels;
  TargetPrecision precision;
  Overlap overlap;
};

// Reads one file. Train defines the labels, the number of outputs and the width of vectors, unless the data set already
// defines them.
class Scan {
 public:
  Scan(ImportPlan& plan, const SampleFile& file, TextSample& texts, Census& census)
      : plan_(plan),
        file_(file),
        target_(target_of(file.kind)),
        texts_(texts),
        census_(census),
        defines_(file.split == "train" && !plan.added_to) {}

  // Returns the number of samples by split: a single split, or several if shares are drawn from the train files.
  std::map<std::string, std::uint64_t, std::less<>> read(unsigned threads) {
    first_ = defines_;
    std::map<std::string, std::uint64_t, std::less<>> counts = {{file_.split, 0}};
    if (file_.shared) {
      if (file_.valid_share > 0) counts["valid"] = 0;
      if (file_.test_share > 0) counts["test"] = 0;
    }
    const auto draw = [&](Sample&& sample, const Place&) {
      const std::string_view split = file_.shared ? split_by_share(file_, sample) : std::string_view(file_.split);
      return Drawn{std::move(sample), split};
    };
    const auto look = [&](Drawn&& one, const Place& place) {
      ++counts.find(one.split)->second;
      if (plan_.files.size() > 1) census_.overlap.add(one.split, one.sample, place);
      take(one.sample, place, one.split == "train");
    };
    const RecordCount count = each_record(file_, threads, draw, look, true);
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
      say(fmt::format("holds samples without a label, which are left out: {} of {}", with_commas(count.left_out),
                      with_commas(count.left_out + count.samples)));
    if (changed_tags_ > 0)
      say(
          fmt::format("holds tags in the scheme IOB1, IOBES or BILOU, which are written as BIO ({}); 'tag_scheme = "
                      "keep' keeps them",
                      with_commas(changed_tags_)));
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
    if (!sample.value.empty() && sample.value.size() != plan_.outputs)
      SampleFile::fail(
          place, fmt::format("has {} values, the task's other samples have {}", sample.value.size(), plan_.outputs));
    const std::span<const std::string> labels = target_.labels_of(sample);
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
    take_weight(sample, place);
    plan_.forms.add(sample.target);
    for (std::string* text : {&sample.text, sample.second ? &*sample.second : nullptr, &sample.target})
      if (text != nullptr && !text->empty()) texts_.add(std::move(*text));
  }

  void take_weight(const Sample& sample, const Place& place) {
    plan_.weight_sum += sample.weight.value_or(1);
    if (!sample.weight) return;
    ++plan_.weighted;
    if (plan_.added_to && !plan_.info.weights)
      SampleFile::fail(place,
                       "has a weight, but the task's train samples in the data set have none; add 'weights = no' "
                       "to the task's section to leave it out, or import all of the task into a new data set or "
                       "under another name");
    plan_.info.weights = true;
  }

  static std::string describe(std::size_t width) { return describe_input(width, "text"); }

  void check_label(const std::string& label, const Place& place) {
    if (plan_.index.contains(label)) return;
    const std::string_view what = target_.labels()->one;
    if (plan_.added_to)
      SampleFile::fail(
          place,
          fmt::format(
              "has the {} '{}', which the task in the data set does not have, and heads that were trained on it cannot "
              "predict; take the line out, or import all of the task into a new data set or under another name",
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
          "-1 often marks a label that is kept hidden, as in public test splits: take '{}' out of the import "
          "description, or use a split with labels",
          file_.split);
    SampleFile::fail(place, fmt::format("has the {} {}, which no line of the train file {} has; {}", what,
                                        alike.empty() ? "'" + label + "'" : spelled(label),
                                        plan_.files.front().file.string(), cure));
  }

  void number_labels() {
    const LabelRules* rules = target_.labels();
    const auto& labels = census_.labels.entries();
    if (rules != nullptr && labels.empty())
      throw Error(Exit::data,
                  fmt::format("task '{}': no line of its train file {} has a label; give at least one a label",
                              file_.task, file_.file.string()));
    if (rules != nullptr && labels.size() > rules->most)
      throw Error(Exit::data, fmt::format("task '{}': its train file {} has {} {}; at most {} are possible", file_.task,
                                          file_.file.string(), labels.size(), rules->many, with_commas(rules->most)));
    if (file_.label_names.empty())
      for (const auto& [label, entry] : labels) plan_.info.labels.push_back(label);
    else
      std::ranges::copy_if(file_.label_names, std::back_inserter(plan_.info.labels),
                           [&](const std::string& name) { return labels.contains(name); });
    plan_.info.label_type = census_.labels.type();
    for (const std::string& label : plan_.info.labels)
      plan_.index.emplace(label, static_cast<std::uint32_t>(plan_.index.size()));
    if (plan_.outputs > 1)
      for (std::uint64_t k = 0; k < plan_.outputs; ++k) plan_.info.outputs.push_back(std::to_string(k));
  }

  ImportPlan& plan_;
  const SampleFile& file_;
  const Target& target_;
  TextSample& texts_;
  Census& census_;
  bool defines_ = false, first_ = false;
  std::set<std::string, std::less<>> trained_;  // labels in the train share
  FirstLines first_lines_;
  std::size_t changed_tags_ = 0;
};

}  // namespace

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
  plan.files = sample_files(task, inputs);
  std::string counts;
  std::map<std::string, std::uint64_t, std::less<>> samples;
  Census census;
  const auto check_samples = [&](const SampleFile& file) {
    const std::uint64_t number = samples.at(file.split);
    if (number == 0 && file.shared)
      fail(task,
           fmt::format("has 0 samples in the share of {} of its train file {}, as equal texts stay together (those of "
                       "'text', or of the key that 'group' names) and the file has few different ones; choose "
                       "another {}_share, or another 'group'",
                       file.split, file.file.string(), file.split == "train" ? "valid" : file.split));
    if (number == 0)
      fail(task,
           fmt::format("has 0 samples in its {} file {}; fill the file, or take {} out of the import description",
                       file.split, file.file.string(), file.split == "train" ? "the task" : "'" + file.split + "'"));
    return number;
  };
  for (const SampleFile& file : plan.files) {
    if (!file.shared || file.split == "train") samples.merge(Scan(plan, file, texts, census).read(threads));
    check_samples(file);  // before labels of other splits are compared with those of train
  }
  for (const SampleFile& file : plan.files) {
    const std::uint64_t number = check_samples(file);
    counts += fmt::format("{}{} {}", counts.empty() ? "" : ", ", file.split, with_commas(number));
  }
  if (plan.info.weights && samples.contains("train")) {
    if (plan.weight_sum == 0) fail(task, "has train samples whose weights are all 0; give some a weight above 0");
    counts +=
        fmt::format(", weights of {} train samples with the sum {:.6g}", with_commas(plan.weighted), plan.weight_sum);
    progress(
        fmt::format("task '{}': the loss of each train sample is multiplied by its '{}'; 'weights = no' in the "
                    "task's section leaves it out",
                    task.name, task.fields.contains("weight") ? task.fields.at("weight") : "weight"));
  }
  if (!plan.info.labels.empty())
    counts += fmt::format(", {} {}", plan.info.labels.size(), target_of(task.kind).labels()->many);
  progress(fmt::format("read {}: {}", task.name, counts));
  for (const auto& warnings : {census.labels.warnings(plan.files.front()), census.precision.warnings(task.name),
                               census.overlap.warnings(task.name)})
    plan.warnings.insert(plan.warnings.end(), warnings.begin(), warnings.end());
  return plan;
}

}  // namespace polyhead
