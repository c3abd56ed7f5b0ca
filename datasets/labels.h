// Labels as they come in files: their names made alike where the description asks for it, counted, and looked over.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "datasets/samples.h"

namespace polyhead {

// A sample's label, labels or tags: stripped, composed and named as the file's description says. Throws Error(data)
// with file and line for one without a visible character, and for a number that label_names does not name.
void tidy_labels(const SampleFile& file, std::uint64_t line, Sample& sample);

// Whether the label is the one by which hubs mark the labels of a test split that they keep to themselves.
inline bool marks_hidden(const std::string& label) {
  return label == "-1";
}

// The labels of a train file: how often each is there, and where first.
class LabelCensus {
 public:
  struct Entry {
    std::uint64_t samples = 0;
    std::string first;  // "FILE line 3"
  };

  // Throws Error(data) where some labels are true and false and others are not.
  void add(const Place& place, LabelForm form, const std::vector<std::string>& labels);

  const std::map<std::string, Entry, std::less<>>& entries() const { return entries_; }
  // Of JSON values: "integer" or "boolean" where all labels were; else "".
  std::string type() const;
  // Another label that looks the same as this one; "" where there is none.
  std::string look_alike(const std::string& label) const;
  // One text for each thing that may be wrong: labels that look the same, a class of one sample, -1.
  std::vector<std::string> warnings(const SampleFile& file) const;

 private:
  std::map<std::string, Entry, std::less<>> entries_;
  bool any_text_ = false, any_integer_ = false, any_boolean_ = false;
};

}  // namespace polyhead
