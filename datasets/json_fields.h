// The keys of a file of JSON objects by the names that import has for them.
#pragma once

#include <cstdint>

#include <nlohmann/json.hpp>

#include "datasets/field_names.h"
#include "datasets/samples.h"

namespace polyhead {

class JsonFields {
 public:
  // `first`: the text of the file's first object, whose keys decide. What is no object is left to whoever parses it.
  // Throws Error(data) as FieldNames does.
  JsonFields(const SampleFile& file, const Record& first);
  JsonFields() = default;
  // Moves every part that has another key to its own, "text" for one. Throws Error(data) for a part that is missing.
  void rename(const SampleFile& file, std::uint64_t line, nlohmann::json& object) const;
  // The value that 'group' names; "" without one. Throws Error(data).
  static std::string group(const SampleFile& file, std::uint64_t line, const nlohmann::json& object);
  // Whether the object, renamed, has a label that marks a sample without one.
  bool marks_no_label(const SampleFile& file, const nlohmann::json& object) const;

 private:
  FieldNames names_;
};

}  // namespace polyhead
