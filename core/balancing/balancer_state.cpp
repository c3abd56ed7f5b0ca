#include "core/balancing/balancer_state.h"

#include <cmath>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "core/base/error.h"

namespace polyhead {
namespace {

[[noreturn]] void refuse(const std::string& method, const std::string& what) {
  throw Error(Exit::data, fmt::format("restoring the state of balance.method = {}: {}; the checkpoint must come from a "
                                      "run with the same method and tasks",
                                      method, what));
}

std::vector<double> numbers(const std::string& method, const nlohmann::json& state, const std::string& name,
                            std::size_t size) {
  if (!state.contains(name) || !state[name].is_array()) refuse(method, fmt::format("'{}' is missing", name));
  std::vector<double> row;
  for (const nlohmann::json& value : state[name]) {
    if (!value.is_number() || !std::isfinite(value.get<double>()))
      refuse(method, fmt::format("'{}' has a value that is not a number", name));
    row.push_back(value.get<double>());
  }
  if (row.size() != size) refuse(method, fmt::format("'{}' has {} values, not {}", name, row.size(), size));
  return row;
}

}  // namespace

std::vector<double>& BalancerState::add(const std::string& name, std::size_t size, double value) {
  return rows_.insert_or_assign(name, std::vector<double>(size, value)).first->second;
}

std::string BalancerState::text() const {
  if (rows_.empty()) return "";
  nlohmann::json state = {{"method", method_}, {"tasks", tasks_}};
  for (const auto& [name, row] : rows_) state[name] = row;
  return state.dump();
}

void BalancerState::restore(const std::string& text) {
  if (rows_.empty()) {
    if (text.empty()) return;
    throw Error(Exit::data, fmt::format("a state '{}' was saved for a balancer that keeps none", text.substr(0, 40)));
  }
  const nlohmann::json state = nlohmann::json::parse(text, nullptr, false);
  if (!state.is_object()) refuse(method_, fmt::format("'{}' is no JSON object", text.substr(0, 40)));
  const nlohmann::json method = state.value("method", nlohmann::json()), tasks = state.value("tasks", nlohmann::json());
  if (method != method_) refuse(method_, fmt::format("it is the state of the method {}", method.dump()));
  if (tasks != tasks_) refuse(method_, fmt::format("it is for {} tasks, not {}", tasks.dump(), tasks_));
  if (state.size() != rows_.size() + 2)
    refuse(method_, fmt::format("it has {} entries, not {}", state.size(), rows_.size() + 2));
  std::map<std::string, std::vector<double>> rows;
  for (const auto& [name, row] : rows_) rows[name] = numbers(method_, state, name, row.size());
  // The rows stay where they are, since others hold references to them.
  for (auto& [name, row] : rows_) row = std::move(rows[name]);
}

}  // namespace polyhead
