// Labels of imported files: they are normalised as the description asks, counted and checked.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "datasets/samples.h"

namespace polyhead {

// Strips, composes and renames the label, labels or tags of a sample as the file's description asks. Throws Error(data)
// with file and line for a label without a visible character, and for a number that label_names does not name.
void tidy_labels(const SampleFile& file, std::uint64_t line, Sample& sample);

// Whether the label is the one that public data sets use for test splits whose labels are secret.
inline bool marks_hidden(const std::string& label) {
  return label == "-1";
}

// Counts the labels of a train file, and records where each one occurs first.
class LabelCensus {
 public:
  struct Entry {
    std::uint64_t samples = 0;
    std::string first;  // "FILE line 3"
  };

  // Throws Error(data) if some labels are true or false and others are not.
  void add(const Place& place, LabelForm form, std::span<const std::string> labels);

  const std::map<std::string, Entry, std::less<>>& entries() const { return entries_; }
  // Returns "integer" or "boolean" if all labels were such JSON values, otherwise "".
  std::string type() const;
  // Returns another label that looks the same as this one; "" if there is none.
  std::string look_alike(const std::string& label) const;
  // Returns one text per possible problem: labels that look the same, a class with a single sample, the label -1.
  std::vector<std::string> warnings(const SampleFile& file) const;

 private:
  std::map<std::string, Entry, std::less<>> entries_;
  bool any_text_ = false, any_integer_ = false, any_boolean_ = false;
};

}  // namespace polyhead
