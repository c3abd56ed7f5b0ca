// A line of JSON Lines as it was written: what the program does not read passes through byte by byte.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

namespace polyhead {

class JsonLine {
 public:
  // Throws Error(data) that begins with `where` when the line is not one JSON object that parse_json() accepts.
  JsonLine(std::string text, const std::string& where);

  bool has(std::string_view key) const;
  // The value of a key, nullopt where it is missing or null; of a key that is there twice the last, as JSON parsers do.
  std::optional<nlohmann::json> value(std::string_view key) const;

  // The line with the members of an object added behind its own. Where it has one of their keys already, all of them
  // go into one member `name` instead, or `name`_2, `name`_3, … whichever is free.
  std::string with(const nlohmann::ordered_json& members, const std::string& name) const;

 private:
  struct Member {
    std::string key;
    std::size_t begin, end;  // of its value in text_
  };
  void find_members();

  std::string text_;  // without the closing brace
  std::vector<Member> members_;
};

}  // namespace polyhead
