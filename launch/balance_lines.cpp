// Checks every value of a line, because a balancer relies on inner products that vectors can have.
#include "launch/balance_lines.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/base/error.h"
#include "core/base/field.h"
#include "core/base/json_text.h"
#include "core/base/nearest.h"

namespace polyhead {
namespace {

using nlohmann::json;

constexpr double kSymmetric = 1e-6;  // difference of two entries, relative to the product of the norms
constexpr double kCosine = 1e-4;     // how far a cosine may be above 1

const std::vector<std::string> kKeys = {"gram", "norms", "losses", "static_weight", "active", "step"};

class LineReader {
 public:
  LineReader(std::string_view text, const std::string& where) : where_(where) {
    try {
      object_ = parse_json<json>(text);
    } catch (const JsonError& error) {
      fail(fmt::format("this line {}; expected an object per line, such as {}", error.what(), kExample));
    }
    if (!object_.is_object()) fail(fmt::format("this line is of type {}, expected {}", object_.type_name(), kExample));
    for (const auto& [key, value] : object_.items())
      if (std::ranges::count(kKeys, key) == 0)
        fail(fmt::format("has the key \"{}\"{}; its keys may be {}", key, did_you_mean(key, kKeys),
                         fmt::join(kKeys, ", ")));
  }

  BalanceLine read() {
    if (get("gram") != nullptr) line_.gram = matrix();
    if (get("norms") != nullptr) line_.norms = numbers("norms", ">=0");
    if (get("losses") != nullptr) line_.losses = numbers("losses", "");
    if (get("static_weight") != nullptr) line_.static_weight = numbers("static_weight", ">0");
    if (get("active") != nullptr) line_.active = booleans("active");
    if (const json* step = get("step")) {
      if (!step->is_number_integer() || step->get<std::int64_t>() < 1)
        fail(fmt::format("\"step\" is {}, expected a whole number from 1", step->dump()));
      line_.step = step->get<std::int64_t>();
    }
    return std::move(line_);
  }

 private:
  static constexpr std::string_view kExample = R"({"gram": [[2, -1], [-1, 3]], "losses": [0.7, 1.2]})";

  [[noreturn]] void fail(const std::string& what) const {
    throw Error(Exit::data, fmt::format("{}: {}", where_, what));
  }
  const json* get(const std::string& key) const {
    const auto found = object_.find(key);
    return found == object_.end() || found->is_null() ? nullptr : &*found;
  }
  // Returns a list, whose length must be that of the lists before it.
  const json& list(const std::string& key) {
    const json& value = object_.at(key);
    if (!value.is_array()) fail(fmt::format("\"{}\" is of type {}, expected a list", key, value.type_name()));
    if (value.empty()) fail(fmt::format("\"{}\" is empty, expected an entry for each task", key));
    if (line_.tasks == 0) {
      line_.tasks = value.size();
      counted_ = key;
    } else if (value.size() != line_.tasks) {
      fail(fmt::format("\"{}\" has {} entries, expected {}, as \"{}\" has", key, value.size(), line_.tasks, counted_));
    }
    return value;
  }
  double number(const json& value, const std::string& name) const {
    const std::optional<double> found = number_of(value);
    if (!found || !std::isfinite(*found)) fail(fmt::format("{} is {}, expected a finite number", name, shown(value)));
    return *found;
  }
  static std::string shown(const json& value) {
    return fmt::format("{:.40}", value.is_binary() ? std::string("a number of too many digits") : value.dump());
  }
  // range: as in within(); "": any number, and null becomes NaN.
  std::vector<double> numbers(const std::string& key, std::string_view range) {
    std::vector<double> values;
    for (const json& value : list(key)) {
      const std::string name = fmt::format("\"{}\"[{}]", key, values.size());
      const bool unknown = range.empty() && value.is_null();
      values.push_back(unknown ? std::numeric_limits<double>::quiet_NaN() : number(value, name));
      if (!range.empty() && !within(values.back(), range))
        fail(fmt::format("{} is {}, expected {}", name, values.back(), in_words("a number", range)));
    }
    return values;
  }
  std::vector<bool> booleans(const std::string& key) {
    std::vector<bool> values;
    for (const json& value : list(key)) {
      if (!value.is_boolean())
        fail(fmt::format("\"{}\"[{}] is {}, expected true or false", key, values.size(), shown(value)));
      values.push_back(value.get<bool>());
    }
    return values;
  }
  SquareMatrix matrix() {
    const json& rows = list("gram");
    SquareMatrix gram(rows.size());
    for (std::size_t i = 0; i < rows.size(); ++i) {
      if (!rows[i].is_array() || rows[i].size() != rows.size())
        fail(fmt::format(
            "row {} of \"gram\" {}, but \"gram\" has {} rows; expected a square matrix, [[g1·g1, g1·g2, "
            "…], …]",
            i, rows[i].is_array() ? fmt::format("has {} entries", rows[i].size()) : "is not a list", rows.size()));
      for (std::size_t j = 0; j < rows.size(); ++j)
        gram(i, j) = number(rows[i][j], fmt::format("\"gram\"[{}][{}]", i, j));
    }
    check(gram);
    return gram;
  }
  // Makes the matrix symmetric to the last bit.
  void check(SquareMatrix& gram) const {
    for (std::size_t i = 0; i < gram.size(); ++i)
      if (gram(i, i) < 0)
        fail(fmt::format("\"gram\"[{}][{}] is {}, expected the square of a gradient's norm, which is not negative", i,
                         i, gram(i, i)));
    for (std::size_t i = 0; i < gram.size(); ++i)
      for (std::size_t j = 0; j < i; ++j) {
        const double scale = std::sqrt(gram(i, i)) * std::sqrt(gram(j, j));
        if (std::abs(gram(i, j) - gram(j, i)) > kSymmetric * scale && gram(i, j) != gram(j, i))
          fail(fmt::format("\"gram\" is not symmetric: [{0}][{1}] is {2}, but [{1}][{0}] is {3}", i, j, gram(i, j),
                           gram(j, i)));
        gram(i, j) = gram(j, i) = gram(i, j) / 2 + gram(j, i) / 2;
        if (std::abs(gram(i, j)) > (1 + kCosine) * scale)
          fail(
              fmt::format("\"gram\"[{}][{}] is {}, which two gradients of norms {:.6g} and {:.6g} cannot have; "
                          "expected at most the product of the norms",
                          i, j, gram(i, j), std::sqrt(gram(i, i)), std::sqrt(gram(j, j))));
      }
  }

  const std::string& where_;
  json object_;
  BalanceLine line_;
  std::string counted_;  // the list that gave the number of tasks
};

}  // namespace

BalanceLine read_balance_line(std::string_view text, const std::string& where) {
  return LineReader(text, where).read();
}

BalanceInput balance_input_of(const BalanceLine& line, Balancer::Reads reads, std::string_view method,
                              std::int64_t step, const std::vector<double>& static_weight, const std::string& where) {
  const auto fail = [&](std::string_view needs) {
    throw Error(Exit::data, fmt::format("{}: {} reads {}", where, method, needs));
  };
  using enum Balancer::Reads;
  if (reads == losses && !line.losses) fail("losses, but the line has none; expected \"losses\": [0.7, …]");
  if (reads == norms && !line.norms && !line.gram)
    fail("norms of gradients, but the line has none; expected \"norms\": [1.5, …], or \"gram\" for its diagonal");
  if (reads == gram && !line.gram)
    fail("inner products of gradients, but the line has none; expected \"gram\": [[g1·g1, g1·g2, …], …]");
  const std::size_t tasks = static_weight.size();
  BalanceInput input{.step = line.step.value_or(step + 1),
                     .active = line.active.value_or(std::vector<bool>(tasks, true)),
                     .static_weight = line.static_weight.value_or(static_weight)};
  input.loss = line.losses.value_or(std::vector<double>(tasks, std::numeric_limits<double>::quiet_NaN()));
  if (reads != norms && reads != gram) return input;
  input.gram = SquareMatrix(tasks);
  for (std::size_t i = 0; i < tasks; ++i)
    for (std::size_t j = 0; j < tasks; ++j) {
      if (!input.active[i] || !input.active[j]) continue;
      if (reads == norms && i != j) continue;
      input.gram(i, j) = reads == norms && line.norms ? (*line.norms)[i] * (*line.norms)[i] : (*line.gram)(i, j);
    }
  return input;
}

}  // namespace polyhead
