// The parts of a sample, and the names that a file uses for them: keys of JSON, columns of a table.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/kind.h"
#include "datasets/reading/samples.h"

namespace polyhead {

enum class Part { text, second, label, labels, value, target, words, tags, features };

inline constexpr std::array<std::string_view, 9> kPartNames = {"text",   "second", "label", "labels",  "value",
                                                               "target", "words",  "tags",  "features"};

// Returns the parts that a kind of task requires if its inputs are text.
std::vector<Part> needed_parts(Kind kind);

// A name of the file that fits a part. For Part::text, `second` may name the second text of a pair.
struct NameCandidate {
  std::string name, second;
};
// Returns the names of a file that are common for a part of the kind and languages of `file`.
std::vector<NameCandidate> usual_candidates(const SampleFile& file, Part part, const std::vector<std::string>& names);
// Returns the common names that usual_candidates() looks for, such as "sentence, review, …", for messages.
std::string usual_names_of(Part part, Kind kind);
// Returns "'premise' with 'hypothesis' and 'review'", for messages.
std::string in_words(const std::vector<NameCandidate>& candidates);

class FieldNames {
 public:
  // Assigns the names of a file to parts.
  // - The description's 'columns = text:sentence' has priority, then Polyhead's own names, then names that are common
  //   elsewhere if exactly one matches.
  // - Nested names are written with a dot ("translation.en").
  // - Throws Error(data) for `line` if a part is missing or two names match; `what` is "column" or "key".
  FieldNames(const SampleFile& file, std::uint64_t line, const std::vector<std::string>& names, std::string_view what);
  FieldNames() = default;

  // Returns the file's name for a part; "" if it has none.
  const std::string& of(Part part) const { return theirs_[static_cast<std::size_t>(part)]; }
  // Reports the names that were found without the description, once per task.
  void say(const SampleFile& file) const;
  // Whether a sample with this label counts as a sample without a label: the label is one of 'no_label = …', or by
  // default the '-' of SNLI and MultiNLI in gold_label.
  bool marks_no_label(const SampleFile& file, std::string_view label) const;

 private:
  std::string& at(Part part) { return theirs_[static_cast<std::size_t>(part)]; }
  void find_usual(const SampleFile& file, std::uint64_t line, const std::vector<std::string>& names,
                  std::string_view what);

  std::array<std::string, kPartNames.size()> theirs_;
  bool usual_ = false;
};

// Whether the first line of a table holds names rather than a sample: every required part has one of its common names
// in its column. `fields` are those of the line; the file's `columns` give their order.
bool looks_like_names(const SampleFile& file, const std::vector<std::string>& fields);

}  // namespace polyhead
