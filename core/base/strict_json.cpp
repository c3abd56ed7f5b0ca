// Checks the parser's events before a document is built, because nlohmann's parser has no limits.
#include "core/base/strict_json.h"

#include <set>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace polyhead {
namespace {

using nlohmann::json;

// Every function returns true, so that the parser continues, or throws.
class Watcher : public nlohmann::json_sax<json> {
 public:
  explicit Watcher(const JsonLimits& limits) : limits_(limits) {}

  bool null() override { return value(); }
  bool boolean(bool) override { return value(); }
  bool number_integer(number_integer_t) override { return value(); }
  bool number_unsigned(number_unsigned_t) override { return value(); }
  bool number_float(number_float_t, const string_t&) override { return value(); }
  bool string(string_t&) override { return value(); }
  bool binary(binary_t&) override { return value(); }
  bool start_object(std::size_t) override { return begin(false); }
  bool start_array(std::size_t) override { return begin(true); }
  bool end_object() override { return end(); }
  bool end_array() override { return end(); }

  bool key(string_t& name) override {
    Level& level = levels_.back();
    if (level.keys.size() == limits_.object) fail(fmt::format("has an object of more than {} keys", limits_.object));
    if (!level.keys.insert(name).second) fail(fmt::format("has the key '{}' twice", name));
    level.key = name;
    return true;
  }

  bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception& error) override {
    throw std::invalid_argument(fmt::format("it is not JSON: {}", error.what()));
  }

 private:
  struct Level {
    bool list = false;
    std::size_t entries = 0, nested = 0;
    std::set<std::string> keys = {};
    std::string key = {};
  };

  // what: "has …"
  [[noreturn]] void fail(const std::string& what) const {
    std::string where;
    for (const Level& level : levels_)
      if (!level.key.empty()) where += (where.empty() ? "" : ".") + level.key;
    throw std::invalid_argument(where.empty() ? "it " + what : fmt::format("{} {}", where.substr(0, 200), what));
  }

  bool value() {
    if (!levels_.empty() && levels_.back().list && ++levels_.back().entries > limits_.list)
      fail(fmt::format("has a list of more than {} entries", limits_.list));
    return true;
  }

  bool begin(bool list) {
    value();
    if (!levels_.empty() && levels_.back().list && ++levels_.back().nested > limits_.nested)
      fail(fmt::format("has a list of more than {} objects or lists", limits_.nested));
    if (levels_.size() == limits_.depth)
      fail(fmt::format("has more than {} lists and objects within each other", limits_.depth));
    levels_.push_back({.list = list});
    return true;
  }

  bool end() {
    levels_.pop_back();
    return true;
  }

  const JsonLimits& limits_;
  std::vector<Level> levels_;
};

}  // namespace

nlohmann::json parse_strictly(std::string_view text, const JsonLimits& limits) {
  Watcher watcher(limits);
  json::sax_parse(text, &watcher);
  return json::parse(text);
}

}  // namespace polyhead
