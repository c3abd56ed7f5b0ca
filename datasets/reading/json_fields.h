// Maps the keys of a file of JSON objects to the names that import uses.
#pragma once

#include <cstdint>

#include <nlohmann/json.hpp>

#include "datasets/reading/field_names.h"
#include "datasets/reading/sample_source.h"

namespace polyhead {

class JsonFields {
 public:
  // first: the first object of the file, whose keys determine the mapping. Nothing is mapped if it is not an object;
  // the parser reports that. Throws Error(data) as FieldNames does.
  JsonFields(const SampleFile& file, const Record& first);
  JsonFields() = default;
  // Renames the keys of all parts to import's own names, such as "text". Throws Error(data) if a part other than
  // "second" is missing.
  void rename(const SampleFile& file, std::uint64_t line, nlohmann::json& object) const;
  // Returns the value that 'group' names; "" without a group. Throws Error(data).
  static std::string group(const SampleFile& file, std::uint64_t line, const nlohmann::json& object);
  // See FieldNames.
  bool has_weights(const SampleFile& file) const { return names_.has_weights(file); }
  // Whether the label of the renamed object marks a sample without a label.
  bool marks_no_label(const SampleFile& file, const nlohmann::json& object) const;

 private:
  FieldNames names_;
};

}  // namespace polyhead
