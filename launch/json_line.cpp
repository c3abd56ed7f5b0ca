// The parser checks the line. After that, brackets and strings are enough to find the members.
#include "launch/json_line.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/base/error.h"
#include "core/base/json_text.h"

namespace polyhead {
namespace {

using nlohmann::json;

bool is_space(char c) {
  return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

// Returns the end of the value that begins at `at`.
std::size_t end_of_value(std::string_view text, std::size_t at) {
  std::size_t depth = 0;
  for (bool quoted = false; at < text.size(); ++at) {
    const char c = text[at];
    if (quoted) {
      if (c == '\\') ++at;
      if (c == '"') quoted = false;
    } else if (c == '"') {
      quoted = true;
    } else if (c == '{' || c == '[') {
      ++depth;
    } else if (c == '}' || c == ']') {
      if (depth == 0) return at;
      --depth;
    } else if (c == ',' && depth == 0) {
      return at;
    }
  }
  return at;
}

}  // namespace

JsonLine::JsonLine(std::string text, const std::string& where) : text_(std::move(text)) {
  const auto fail = [&](const std::string& what) { throw Error(Exit::data, fmt::format("{}: {}", where, what)); };
  if (text_.starts_with("\xEF\xBB\xBF")) text_.erase(0, 3);
  try {
    if (!parse_json<json>(text_).is_object()) fail("expected a JSON object such as {\"text\": \"…\"}");
  } catch (const JsonError& error) {
    fail(fmt::format("this line {}; expected JSON Lines, one object per line, such as {{\"text\": \"…\"}}",
                     error.what()));
  }
  text_.erase(text_.rfind('}'));
  find_members();
}

void JsonLine::find_members() {
  std::size_t at = text_.find('{') + 1;
  const auto skip = [&](char also) {
    while (at < text_.size() && (is_space(text_[at]) || text_[at] == also)) ++at;
  };
  for (skip(','); at < text_.size(); skip(',')) {
    const std::size_t key = at;
    for (++at; text_[at] != '"'; ++at)
      if (text_[at] == '\\') ++at;
    Member member{json::parse(text_.substr(key, ++at - key)).get<std::string>(), 0, 0};
    skip(':');
    member.begin = at;
    at = member.end = end_of_value(text_, at);
    members_.push_back(std::move(member));
  }
}

bool JsonLine::has(std::string_view key) const {
  return std::ranges::any_of(members_, [&](const Member& member) { return member.key == key; });
}

json JsonLine::parsed(const Member& member) const {
  return json::parse(text_.substr(member.begin, member.end - member.begin));
}

std::vector<std::string> JsonLine::names() const {
  std::vector<std::string> names;
  for (const Member& member : members_) {
    if (text_[member.begin] != '{') {
      names.push_back(member.key);
      continue;
    }
    const json inner = parsed(member);
    for (const auto& [key, unused] : inner.items()) names.push_back(fmt::format("{}.{}", member.key, key));
  }
  return names;
}

std::optional<json> JsonLine::value(std::string_view key) const {
  const auto of = [&](std::string_view name) {
    const auto found = std::ranges::find_if(members_, [&](const Member& member) { return member.key == name; });
    return found == members_.end() ? json() : parsed(*found);
  };
  json value = of(key);
  if (const std::size_t dot = key.find('.'); value.is_null() && dot != std::string_view::npos)
    if (const json outer = of(key.substr(0, dot)); outer.is_object())
      value = outer.value(std::string(key.substr(dot + 1)), json());
  return value.is_null() ? std::nullopt : std::optional(std::move(value));
}

std::string JsonLine::with(const nlohmann::ordered_json& members, const std::string& name) const {
  const auto dump = [](const nlohmann::ordered_json& value) {
    return value.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
  };
  const bool taken = std::ranges::any_of(members.items(), [&](const auto& member) { return has(member.key()); });
  std::string added = dump(members);
  if (taken) {
    std::string free = name;
    for (int n = 2; has(free); ++n) free = fmt::format("{}_{}", name, n);
    added = dump(nlohmann::ordered_json{{free, members}});
  }
  std::string out = text_.substr(0, text_.find_last_not_of(" \t\r\n") + 1);
  if (!members_.empty() && added.size() > 2) out += ',';
  return out + added.substr(1);
}

}  // namespace polyhead
