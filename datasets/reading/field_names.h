// The names that a file uses for the parts of a sample: keys of JSON, columns of a table.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "datasets/reading/sample_source.h"

namespace polyhead {

// A name of the file that fits a part. For the text, `second` may name the second text of a pair.
struct NameCandidate {
  std::string name, second;
};
// Returns the names of a file that are common for a part of the kind and languages of `file`.
std::vector<NameCandidate> usual_candidates(const SampleFile& file, std::string_view part,
                                            const std::vector<std::string>& names);
// Returns the common names that usual_candidates() looks for, such as "sentence, review, …", for messages.
std::string usual_names_of(std::string_view part, Kind kind);
// Returns "'premise' with 'hypothesis' and 'review'", for messages.
std::string in_words(const std::vector<NameCandidate>& candidates);
// Returns "text, label", cut after 200 bytes, for messages.
std::string list_of(const std::vector<std::string>& names);

class FieldNames {
 public:
  // Assigns the names of a file to parts.
  // - The description's 'columns = text:sentence' has priority, then Polyhead's own names, then names that are common
  //   elsewhere if exactly one matches.
  // - Nested names are written with a dot ("translation.en").
  // - Throws Error(data) for `line` if a part is missing or two names match; `what` is "column" or "key".
  FieldNames(const SampleFile& file, std::uint64_t line, const std::vector<std::string>& names, std::string_view what);
  FieldNames() = default;

  // Returns the file's name for a part (see part_names()); "" if it has none.
  const std::string& of(std::string_view part) const;
  // Whether a sample may lack the part.
  bool is_optional(std::string_view part) const { return optional_.contains(part); }
  // Whether samples may have a weight: under the name that of("weight") gives, or else `weight`, unless another part
  // has that name, or the description says 'weights = no'.
  bool has_weights(const SampleFile& file) const;
  // Reports the names that were found without the description, once per task.
  void say(const SampleFile& file) const;
  // Whether a sample with this label counts as a sample without a label: the label is one of 'no_label = …', or by
  // default the '-' of SNLI and MultiNLI in gold_label.
  bool marks_no_label(const SampleFile& file, std::string_view label) const;

 private:
  void find_usual(const SampleFile& file, std::uint64_t line, const std::vector<std::string>& names,
                  std::string_view what);

  std::map<std::string_view, std::string> theirs_;  // part -> its name in the file
  std::set<std::string_view> optional_;
  bool usual_ = false;
};

// Whether the first line of a table holds names rather than a sample: every required part has one of its common names
// in its column. `fields` are those of the line; the file's `columns` give their order.
bool looks_like_names(const SampleFile& file, const std::vector<std::string>& fields);

}  // namespace polyhead
