// Normalises and counts labels, and warns about suspicious ones.
#include "datasets/kinds/labels.h"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "datasets/target.h"
#include "datasets/tokenizer/unicode.h"

namespace polyhead {
namespace {

constexpr std::size_t kNamed = 5;  // maximum number of list entries in a warning

// Returns the name of a number in label_names. A label that already is such a name is returned unchanged.
std::string named(const SampleFile& file, std::uint64_t line, const std::string& label) {
  const std::vector<std::string>& names = file.label_names;
  std::size_t number = 0;
  const auto [end, error] = std::from_chars(label.data(), label.data() + label.size(), number);
  if (error == std::errc() && end == label.data() + label.size() && number < names.size()) return names[number];
  if (std::find(names.begin(), names.end(), label) != names.end()) return label;
  file.fail(line,
            fmt::format("has the label '{}', which is neither a number from 0 to {} nor one of label_names ({}){}",
                        label, names.size() - 1, fmt::join(names, ", "),
                        marks_hidden(label) ? "; -1 often marks a label that is kept hidden: leave this split "
                                              "out, or use a split with labels"
                                            : "; correct label_names, or take the line out"));
}

std::string described(const Place& place) {
  return fmt::format("{} line {}", place.file->file.filename().string(), place.line);
}

std::string some_of(const std::vector<std::string>& all) {
  const std::size_t shown = std::min(all.size(), kNamed);
  return fmt::format("{}{}", fmt::join(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(shown), ", "),
                     all.size() > shown ? ", …" : "");
}

}  // namespace

void tidy_labels(const SampleFile& file, std::uint64_t line, Sample& sample) {
  const Target& kind = target_of(file.kind);
  const auto tidy = [&](std::string& label) {
    if (file.strip_labels) label = stripped(label);
    if (file.compose_labels) label = to_nfc(label);
    if (stripped(label).empty())
      file.fail(line, fmt::format("has an empty name in '{}'; give it a name, or take it or the line out",
                                  kind.labels()->part));
    if (!file.label_names.empty()) label = named(file, line, label);
  };
  for (std::string& label : kind.labels_of(sample)) tidy(label);
  if (!file.label_names.empty()) sample.label_form = LabelForm::text;
}

void LabelCensus::add(const Place& place, LabelForm form, std::span<const std::string> labels) {
  if (labels.empty()) return;
  const bool boolean = form == LabelForm::boolean;
  if (boolean ? any_text_ || any_integer_ : any_boolean_)
    SampleFile::fail(place, fmt::format("has the label {} as {}, unlike the lines before it; the labels of a task are "
                                        "all true and false, or all names and numbers. Write them alike",
                                        labels.front(), boolean ? "a boolean" : "a name or a number"));
  (boolean ? any_boolean_ : form == LabelForm::integer ? any_integer_ : any_text_) = true;
  for (const std::string& label : labels) {
    Entry& entry = entries_[label];
    if (entry.samples++ == 0) entry.first = described(place);
  }
}

std::string LabelCensus::type() const {
  if (any_text_) return "";
  return any_integer_ ? "integer" : any_boolean_ ? "boolean" : "";
}

std::string LabelCensus::look_alike(const std::string& label) const {
  const std::string look = look_of(label);
  for (const auto& [known, entry] : entries_)
    if (known != label && look_of(known) == look) return known;
  return "";
}

std::vector<std::string> LabelCensus::warnings(const SampleFile& file) const {
  std::vector<std::string> out, alike, once;
  std::map<std::string, std::vector<std::string>> groups;
  for (const auto& [label, entry] : entries_) {
    groups[look_of(label)].push_back(fmt::format("{} ({})", spelled(label), entry.first));
    if (entry.samples == 1) once.push_back(fmt::format("'{}' ({})", escape_controls(label), entry.first));
  }
  for (const auto& [look, labels] : groups)
    if (labels.size() > 1) alike.push_back(fmt::format("{}", fmt::join(labels, " and ")));
  const LabelRules* rules = target_of(file.kind).labels();
  if (rules == nullptr) return out;
  const auto warn = [&](const std::string& text) { out.push_back(fmt::format("task '{}': {}", file.task, text)); };
  if (!alike.empty())
    warn(
        fmt::format("{} that look alike are different classes: {}; write them alike, or add 'labels = strip, nfc' to "
                    "the task's section, which takes off white space and composes accents",
                    rules->many, some_of(alike)));
  if (!once.empty() && !rules->per_word)
    warn(fmt::format("{} of {} {} are in one sample each: {}; a model cannot learn a class from one sample",
                     once.size(), entries_.size(), rules->many, some_of(once)));
  std::vector<std::string> missing;
  for (const std::string& name : file.label_names)
    if (!entries_.contains(name)) missing.push_back(fmt::format("'{}'", name));
  if (!missing.empty())
    warn(fmt::format("no sample has {} of label_names, so that the task has no such class", some_of(missing)));
  if (const auto hidden = entries_.find("-1"); hidden != entries_.end())
    warn(
        fmt::format("{} samples have the label -1 (first: {}), which often marks labels that are kept hidden; "
                    "'no_label = -1' leaves those samples out",
                    hidden->second.samples, hidden->second.first));
  return out;
}

}  // namespace polyhead
