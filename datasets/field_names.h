// The parts of a sample and the names that a file has for them: keys of JSON, columns of a table.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/kind.h"
#include "datasets/samples.h"

namespace polyhead {

enum class Part { text, second, label, labels, value, target, words, tags, features };

inline constexpr std::array<std::string_view, 9> kPartNames = {"text",   "second", "label", "labels",  "value",
                                                               "target", "words",  "tags",  "features"};

// What a kind of task cannot do without, where its inputs are text.
std::vector<Part> needed_parts(Kind kind);

class FieldNames {
 public:
  // Which of a file's names stands for which part: the description's 'columns = text:sentence' decides, then our own
  // names, then names that are usual elsewhere, where exactly one fits. Throws Error(data) for `line` when a part is
  // missing, or two names fit; `what` is "column" or "key". Nested names are written with a dot ("translation.en").
  FieldNames(const SampleFile& file, std::uint64_t line, const std::vector<std::string>& names, std::string_view what);
  FieldNames() = default;

  // The file's name of a part; "": it has none.
  const std::string& of(Part part) const { return theirs_[static_cast<std::size_t>(part)]; }
  // Reports what was found by itself, once for the task.
  void say(const SampleFile& file) const;
  // Whether a sample with this label counts as one without a label: one of 'no_label = …', or by default the '-' that
  // SNLI and MultiNLI have in gold_label.
  bool marks_no_label(const SampleFile& file, std::string_view label) const;

 private:
  std::string& at(Part part) { return theirs_[static_cast<std::size_t>(part)]; }
  void find_usual(const SampleFile& file, std::uint64_t line, const std::vector<std::string>& names,
                  std::string_view what);

  std::array<std::string, kPartNames.size()> theirs_;
  bool usual_ = false;
};

// Whether a table's first line holds names rather than a sample: every part that the task needs stands under one of its
// usual names, or under the name that `columns` gives it. `fields` are the line's, `columns` the names in its order.
bool looks_like_names(const SampleFile& file, const std::vector<std::string>& fields);

}  // namespace polyhead
