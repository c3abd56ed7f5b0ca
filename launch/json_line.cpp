// The parser checks the line without building it; the members' places then follow from brackets and strings alone. So
// neither the depth of a value nor the digits of a number matter.
#include "launch/json_line.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "core/base/error.h"

namespace polyhead {
namespace {

using nlohmann::json;

// Notes what is wrong and what the line is; builds nothing.
struct Check : nlohmann::json_sax<json> {
  std::string error;
  bool object = false;
  bool overflow = false;

  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(json::number_integer_t) override { return true; }
  bool number_unsigned(json::number_unsigned_t) override { return true; }
  bool number_float(json::number_float_t, const json::string_t&) override { return true; }
  bool string(json::string_t&) override { return true; }
  bool binary(json::binary_t&) override { return true; }
  bool start_object(std::size_t) override {
    object = object || first_;
    first_ = false;
    return true;
  }
  bool key(json::string_t&) override { return true; }
  bool end_object() override { return true; }
  bool start_array(std::size_t) override {
    first_ = false;
    return true;
  }
  bool end_array() override { return true; }
  bool parse_error(std::size_t, const std::string& token, const nlohmann::detail::exception& exception) override {
    constexpr int kNumberOverflow = 406;
    overflow = exception.id == kNumberOverflow;
    error = overflow ? token : exception.what();
    return false;
  }

 private:
  bool first_ = true;
};

bool is_space(char c) {
  return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

// Where the value that begins at `at` ends.
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
  if (const std::size_t at = text_.find('\0'); at != std::string::npos)
    fail(fmt::format("there is a NUL byte at byte {} of the line; take it out", at + 1));
  Check check;
  if (!json::sax_parse(text_, &check)) {
    if (check.overflow)
      fail(fmt::format("the number {} is too large for a 64-bit float; correct it, or write it as a string",
                       check.error.size() > 40 ? check.error.substr(0, 40) + "…" : check.error));
    fail(fmt::format("this is no JSON: {}; expected an object such as {{\"text\": \"…\"}}", check.error));
  }
  if (!check.object) fail("expected a JSON object such as {\"text\": \"…\"}");
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

std::optional<json> JsonLine::value(std::string_view key) const {
  for (auto member = members_.rbegin(); member != members_.rend(); ++member) {
    if (member->key != key) continue;
    json value = json::parse(text_.substr(member->begin, member->end - member->begin));
    return value.is_null() ? std::nullopt : std::optional(std::move(value));
  }
  return std::nullopt;
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
