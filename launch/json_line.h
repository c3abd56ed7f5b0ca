// A line of JSON Lines in its original form: parts that the program does not read are copied byte by byte.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

namespace polyhead {

class JsonLine {
 public:
  // Throws Error(data), whose message begins with `where`, if the line is not a single JSON object that parse_json()
  // accepts.
  JsonLine(std::string text, const std::string& where);

  bool has(std::string_view key) const;
  // Returns the keys in their order, as names: those inside an object as "translation.en".
  std::vector<std::string> names() const;
  // Returns the value of a key, or nullopt if it is missing or null. "translation.en" is the key of this name, or the
  // key "en" inside the object "translation".
  std::optional<nlohmann::json> value(std::string_view key) const;

  // Returns the line with the members of an object appended to its own. If the line already has one of their keys, all
  // of them go into a single member `name`, or `name`_2, `name`_3, …, whichever is free.
  std::string with(const nlohmann::ordered_json& members, const std::string& name) const;

 private:
  struct Member {
    std::string key;
    std::size_t begin, end;  // range of its value in text_
  };
  void find_members();
  nlohmann::json parsed(const Member& member) const;

  std::string text_;  // without the closing brace
  std::vector<Member> members_;
};

}  // namespace polyhead
