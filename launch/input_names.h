// Finds the parts of an input in a line of JSON: by the names that the user gives, by Polyhead's own, and by names that
// are common elsewhere, as import does.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/kind.h"
#include "datasets/reading/field_names.h"
#include "launch/json_line.h"

namespace polyhead {

class InputNames {
 public:
  // given: part -> key, from names_of_parts(). vectors: whether the task reads features. pairs: whether it reads second
  // texts.
  InputNames(Kind kind, bool vectors, bool pairs, std::map<std::string, std::string> given);

  // The parts that a task of this kind reads.
  static std::vector<std::string_view> parts(Kind kind, bool vectors, bool pairs);

  // The key of each part in one line.
  struct Keys {
    std::map<std::string_view, std::string> names;  // of all parts
    std::string found;  // "text:sentence" for keys that are neither given nor Polyhead's own; "" if there are none
    const std::string& of(std::string_view part) const { return names.at(part); }
  };
  // fail: called with the problem if no key of the line holds the input, or if several fit; it must throw. The message
  // lists the line's keys and the expected ones.
  Keys keys(const JsonLine& line, const std::function<void(const std::string&)>& fail) const;

 private:
  Kind kind_;
  bool vectors_, pairs_;
  std::map<std::string, std::string> given_;
};

}  // namespace polyhead
