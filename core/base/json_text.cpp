// Builds the value from nlohmann's parser events, which have the characters of a number and occur before any recursion.
#include "core/base/json_text.h"

#include <cstdint>
#include <cstdlib>
#include <vector>

#include <fmt/format.h>

#include "core/base/utf8.h"

namespace polyhead {
namespace {

constexpr std::size_t kMaxReason = 300;  // bytes of a parser's message, which quotes its input

// Shortens "[json.exception.…] parse error at line 1, column 5: …" to "at column 5: …", because the line of the record
// is reported elsewhere.
std::string reason_of(const std::string& message) {
  std::string text = message.substr(message.starts_with('[') ? message.find("] ") + 2 : 0);
  constexpr std::string_view place = "parse error at line 1, column ";
  if (text.starts_with(place)) text = "at column " + text.substr(place.size());
  if (text.size() <= kMaxReason) return text;
  return fmt::format("{}…", utf8_prefix(text, kMaxReason));
}

template <class Json>
class Builder {
 public:
  explicit Builder(Numbers numbers) : numbers_(numbers) {}

  bool null() { return add(nullptr); }
  bool boolean(bool value) { return add(value); }
  bool number_integer(std::int64_t value) { return add(value); }
  bool number_unsigned(std::uint64_t value) { return add(value); }
  bool number_float(double value, const std::string& written) {
    const bool integer = written.find_first_of(".eE") == std::string::npos;
    if (integer || (numbers_ == Numbers::exact && Json(value).dump() != written))
      return add(Json::binary({written.begin(), written.end()}));
    return add(value);
  }
  bool string(std::string& value) { return add(std::move(value)); }
  bool binary(typename Json::binary_t&) { return false; }  // not in JSON texts
  bool start_object(std::size_t) { return open(Json::object()); }
  bool key(std::string& name) {
    if (open_.back()->contains(name)) {
      error_ = fmt::format("has the key '{}' twice in one object, and only one of them can count", name);
      return false;
    }
    key_ = std::move(name);
    return true;
  }
  bool end_object() { return close(); }
  bool start_array(std::size_t) { return open(Json::array()); }
  bool end_array() { return close(); }
  bool parse_error(std::size_t, const std::string&, const nlohmann::json::exception& error) {
    error_ = fmt::format("is not JSON ({})", reason_of(error.what()));
    return false;
  }

  Json take() { return std::move(root_); }
  const std::string& error() const { return error_; }

 private:
  // Adds the value; the pointer is valid until the next value is added to the same list or object.
  Json* place(Json&& value) {
    if (open_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    if (open_.back()->is_array()) {
      open_.back()->push_back(std::move(value));
      return &open_.back()->back();
    }
    Json& slot = (*open_.back())[key_];
    slot = std::move(value);
    return &slot;
  }
  bool add(Json&& value) {
    place(std::move(value));
    return true;
  }
  bool open(Json&& value) {
    if (open_.size() == kMaxJsonDepth) {
      error_ = fmt::format("holds lists or objects inside one another, {} and more deep; at most {} are read",
                           kMaxJsonDepth + 1, kMaxJsonDepth);
      return false;
    }
    open_.push_back(place(std::move(value)));
    return true;
  }
  bool close() {
    open_.pop_back();
    return true;
  }

  Numbers numbers_;
  Json root_;
  std::vector<Json*> open_;
  std::string key_, error_;
};

void write(const nlohmann::ordered_json& value, std::string& out) {
  const auto plain = [](const nlohmann::ordered_json& one) {
    return one.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
  };
  if (value.is_object()) {
    char separator = '{';
    for (const auto& [key, inner] : value.items()) {
      out += separator + plain(key) + ':';
      write(inner, out);
      separator = ',';
    }
    out += value.empty() ? "{}" : "}";
  } else if (value.is_array()) {
    char separator = '[';
    for (const auto& inner : value) {
      out += separator;
      write(inner, out);
      separator = ',';
    }
    out += value.empty() ? "[]" : "]";
  } else if (const auto number = written_number(value)) {
    out += *number;
  } else {
    out += plain(value);
  }
}

}  // namespace

template <class Json>
Json parse_json(std::string_view text, Numbers numbers) {
  // The parser treats a zero byte as the end of the text.
  if (const std::size_t zero = text.find('\0'); zero != std::string_view::npos)
    throw JsonError(fmt::format("is not JSON (it has a zero byte at column {})", zero + 1));
  Builder<Json> builder(numbers);
  if (!Json::sax_parse(text, &builder)) throw JsonError(builder.error());
  return builder.take();
}

template <class Json>
std::optional<std::string> written_number(const Json& value) {
  if (!value.is_binary()) return std::nullopt;
  const auto& characters = value.get_binary();
  return std::string(characters.begin(), characters.end());
}

template <class Json>
std::optional<double> number_of(const Json& value) {
  if (value.is_number()) return value.template get<double>();
  const auto written = written_number(value);
  if (!written) return std::nullopt;
  return std::strtod(written->c_str(), nullptr);
}

std::string dump_exactly(const nlohmann::ordered_json& value) {
  std::string out;
  write(value, out);
  return out;
}

template nlohmann::json parse_json(std::string_view, Numbers);
template nlohmann::ordered_json parse_json(std::string_view, Numbers);
template std::optional<double> number_of(const nlohmann::json&);
template std::optional<double> number_of(const nlohmann::ordered_json&);
template std::optional<std::string> written_number(const nlohmann::json&);
template std::optional<std::string> written_number(const nlohmann::ordered_json&);

}  // namespace polyhead
