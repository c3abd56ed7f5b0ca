// Writes state.json, and reads it without trusting its content, which may have been changed.
#include "distributed/checkpoint/state.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <stdexcept>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/base/hash.h"
#include "core/base/names.h"
#include "core/base/strict_json.h"

namespace polyhead {

using nlohmann::json;

NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(MixtureEntry, step, quota, first)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(BestValue, value, step, since)

void to_json(json& out, const ValidationState& state) {
  out = {{"run", state.run}, {"tasks", state.tasks}, {"finished", state.finished}};
  if (!state.best.empty()) out["best"] = state.best;
}

namespace {

constexpr std::int64_t kMostSteps = 1'000'000'000'000;
constexpr std::int64_t kMostSamples = 1'000'000'000;  // of a task, in a step
constexpr std::size_t kMostEntries = 100'000;         // of a mixture: one for each phase and each finished task
constexpr JsonLimits kLimits = {.depth = 16, .list = 10'000'000, .nested = kMostEntries, .object = 1'000'000};

template <class... Values>
[[noreturn]] void fail(fmt::format_string<Values...> what, Values&&... values) {
  throw std::invalid_argument(fmt::format(what, std::forward<Values>(values)...));
}

// A value and its place in the file: "mixture[0].quota[1]".
struct Field {
  const json& value;
  std::string name;

  Field at(const std::string& key) const {
    const std::string below = name.empty() ? key : name + "." + key;
    if (!value.is_object()) fail("{} is {}, expected an object", name.empty() ? "it" : name, shown());
    const auto found = value.find(key);
    if (found == value.end()) fail("{} is missing", below);
    return {*found, below};
  }
  Field at(std::size_t index) const { return {value[index], fmt::format("{}[{}]", name, index)}; }
  std::size_t list() const {
    if (!value.is_array()) fail("{} is {}, expected a list", name, shown());
    return value.size();
  }
  std::int64_t integer(std::int64_t low, std::int64_t high) const {
    const bool fits = value.is_number_unsigned()  ? value.get<std::uint64_t>() <= static_cast<std::uint64_t>(high)
                      : value.is_number_integer() ? value.get<std::int64_t>() <= high
                                                  : false;
    if (!fits || value.get<std::int64_t>() < low)
      fail("{} is {}, expected a whole number from {} to {}", name, shown(), low, high);
    return value.get<std::int64_t>();
  }
  std::string text() const {
    if (!value.is_string()) fail("{} is {}, expected a text", name, shown());
    return value.get<std::string>();
  }
  // 16 hexadecimal digits, as the program writes them.
  std::string hash() const {
    const std::string digits = value.is_string() ? value.get<std::string>() : "";
    if (digits.size() != 16 || digits.find_first_not_of("0123456789abcdef") != std::string::npos)
      fail("{} is {}, expected a hash of 16 hexadecimal digits", name, shown());
    return digits;
  }
  template <class Use>
  void each(const Use& use) const {
    if (!value.is_object()) fail("{} is {}, expected an object", name, shown());
    for (const auto& [key, below] : value.items()) use(key, Field{below, name + "." + key});
  }
  // Rejects all other keys, such as one with a flipped bit.
  void only(std::initializer_list<std::string_view> keys) const {
    for (const auto& [key, below] : value.items())
      if (std::ranges::find(keys, key) == keys.end())
        fail("{}{} is not a key of a checkpoint of this version", name.empty() ? "" : name + ".", key);
  }

 private:
  std::string shown() const {
    if (value.is_structured()) return value.is_array() ? "a list" : "an object";
    std::string text = value.dump(-1, ' ', true, json::error_handler_t::replace);
    if (text.size() <= 40) return text;
    text.resize(40);
    return fmt::format("{}…", text);
  }
};

// Each entry must continue the tasks' streams where the entry before ends, so that every change of a number is noticed.
std::vector<MixtureEntry> read_mixture(const Field& field, std::size_t tasks) {
  const std::size_t count = field.list();
  if (count == 0 || count > kMostEntries) fail("{} has {} entries, expected 1 to {}", field.name, count, kMostEntries);
  std::vector<MixtureEntry> entries;
  std::int64_t batch = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const Field from = field.at(i);
    MixtureEntry entry;
    const std::int64_t lowest = entries.empty() ? 1 : entries.back().step + 1;
    entry.step = from.at("step").integer(lowest, entries.empty() ? 1 : kMostSteps);
    from.only({"step", "quota", "first"});
    const Field quota = from.at("quota"), first = from.at("first");
    if (quota.list() != tasks || first.list() != tasks)
      fail("{} has {} quotas and {} positions, but the model has {} tasks", from.name, quota.list(), first.list(),
           tasks);
    std::int64_t sum = 0;
    for (std::size_t t = 0; t < tasks; ++t) {
      entry.quota.push_back(quota.at(t).integer(0, kMostSamples));
      sum += entry.quota.back();
      std::int64_t expected = 0;
      if (!entries.empty())
        expected = static_cast<std::int64_t>(entries.back().first[t]) +
                   (entry.step - entries.back().step) * entries.back().quota[t];
      if (expected < 0 || expected > (std::int64_t{1} << 61)) fail("{} is out of range", quota.at(t).name);
      entry.first.push_back(static_cast<std::uint64_t>(first.at(t).integer(expected, expected)));
    }
    if (sum == 0) fail("{} is 0 for every task", quota.name);
    if (i > 0 && sum != batch)
      fail("{} has {} samples per step, but the entry before it has {}", quota.name, sum, batch);
    batch = sum;
    entries.push_back(std::move(entry));
  }
  return entries;
}

BestValue read_best(const Field& field, std::int64_t step) {
  field.only({"value", "step", "since"});
  BestValue best;
  const Field value = field.at("value");
  if (!value.value.is_number()) fail("{} is not a number", value.name);
  best.value = value.value.get<double>();
  best.step = field.at("step").integer(0, step);
  best.since = field.at("since").integer(0, kMostSteps);
  return best;
}

ValidationState read_validation(const Field& field, std::int64_t step) {
  field.only({"run", "best", "tasks", "finished"});
  ValidationState state;
  state.run = read_best(field.at("run"), step);
  if (field.value.contains("best"))
    field.at("best").each(
        [&](const std::string& value, const Field& best) { state.best[value] = read_best(best, step); });
  field.at("tasks").each(
      [&](const std::string& task, const Field& best) { state.tasks[task] = read_best(best, step); });
  field.at("finished").each([&](const std::string& task, const Field& last) {
    state.finished[task] = last.integer(0, step);
  });
  return state;
}

// Each owner has a file of weights and one of the optimizer. Either all owners have a file of averages or none has, and
// either all heads have one of the balancer's buffer or none has.
std::map<std::string, std::string> read_files(const Field& field, const std::vector<std::string>& owners) {
  std::map<std::string, std::string> files;
  std::vector<std::string> endings = {kWeightsFile, kOptimizerFile};
  if (field.value.is_object() && field.value.contains(owners.front() + kAverageFile))
    endings.emplace_back(kAverageFile);
  for (const std::string& owner : owners)
    for (const std::string& ending : endings) files[owner + ending] = field.at(owner + ending).hash();
  if (owners.size() > 1 && field.value.contains(owners[1] + kBufferFile))
    for (std::size_t i = 1; i < owners.size(); ++i)
      files[owners[i] + kBufferFile] = field.at(owners[i] + kBufferFile).hash();
  field.each([&](const std::string& name, const Field&) {
    if (!files.contains(name)) fail("{}.{} is not a file of this model", field.name, name);
  });
  return files;
}

// The numbers of every task; null is NaN where `missing` allows it.
std::vector<double> read_numbers(const Field& field, std::size_t tasks, bool missing) {
  if (field.list() != tasks) fail("{} has {} numbers, but the model has {} tasks", field.name, field.list(), tasks);
  std::vector<double> numbers;
  for (std::size_t i = 0; i < tasks; ++i) {
    const Field number = field.at(i);
    if (missing && number.value.is_null())
      numbers.push_back(std::numeric_limits<double>::quiet_NaN());
    else if (number.value.is_number())
      numbers.push_back(number.value.get<double>());
    else
      fail("{} is not a number", number.name);
  }
  return numbers;
}

void read_balance(const Field& field, std::size_t tasks, BalanceState& state) {
  field.only({"loss", "weight", "active"});
  if (field.value.contains("loss")) state.loss = read_numbers(field.at("loss"), tasks, true);
  if (!field.value.contains("weight")) return;
  state.weight = read_numbers(field.at("weight"), tasks, false);
  const Field active = field.at("active");
  if (active.list() != tasks) fail("{} has {} values, but the model has {} tasks", active.name, active.list(), tasks);
  for (std::size_t i = 0; i < tasks; ++i) state.active.push_back(active.at(i).integer(0, 1) != 0);
}

json balance_json(const BalanceState& state) {
  json out = json::object();
  if (!state.loss.empty()) out["loss"] = state.loss;  // NaN becomes null
  if (!state.weight.empty()) {
    out["weight"] = state.weight;
    out["active"] = json::array();
    for (const bool active : state.active) out["active"].push_back(active ? 1 : 0);
  }
  return out;
}

CheckpointState read_fields(const json& in, const std::string& origin) {
  const Field top{in, ""};
  if (top.at("format").text() != "polyhead-checkpoint" || top.at("version").integer(0, 1'000'000) != 1)
    fail("format and version are not those of a checkpoint that this version can read");
  top.only({"format", "version", "step", "ids_hash", "parameter_hash", "mixture", "validation", "optimizer_steps",
            "files", "workers", "fingerprint", "threads", "evaluation_due", "balancer", "balance", "model",
            "state_hash"});
  CheckpointState state;
  state.step = top.at("step").integer(0, kMostSteps);
  state.ids_hash = from_hex(top.at("ids_hash").hash());
  state.parameter_hash = from_hex(top.at("parameter_hash").hash());
  if (in.contains("workers")) top.at("workers").integer(1, 100'000'000);
  if (!top.at("model").value.is_object()) fail("model is not an object");
  state.model = description_from_json(in.at("model").dump(), origin);
  const std::vector<std::string> owners = checkpoint_owners(state.model);
  state.mixture = read_mixture(top.at("mixture"), state.model.tasks.size());
  // Checkpoints of earlier versions have neither of these two.
  if (in.contains("validation")) state.validation = read_validation(top.at("validation"), state.step);
  if (in.contains("fingerprint"))
    top.at("fingerprint").each([&](const std::string& name, const Field& value) {
      state.fingerprint[name] = value.text();
    });
  if (in.contains("threads")) {
    if (!in["threads"].is_array()) fail("threads is not a list");
    for (const json& number : in["threads"])
      state.threads.push_back(static_cast<int>(Field{number, "threads"}.integer(1, 1'000'000)));
  }
  if (in.contains("evaluation_due")) {
    if (!in["evaluation_due"].is_boolean()) fail("evaluation_due is neither true nor false");
    state.evaluation_due = in["evaluation_due"].get<bool>();
  }
  if (in.contains("balancer")) state.balance.balancer = top.at("balancer").text();
  if (in.contains("balance")) read_balance(top.at("balance"), state.model.tasks.size(), state.balance);
  const Field steps = top.at("optimizer_steps");
  for (const std::string& owner : owners) state.optimizer_steps[owner] = steps.at(owner).integer(0, state.step);
  steps.each([&](const std::string& owner, const Field&) {
    if (!state.optimizer_steps.contains(owner)) fail("{}.{} is not a part of this model", steps.name, owner);
  });
  state.files = read_files(top.at("files"), owners);
  return state;
}

constexpr std::string_view kEnd = "\n}\n";

std::string hash_line(std::string_view text) {
  return fmt::format(",\n \"state_hash\": \"{}\"", to_hex(hash_bytes(text)));
}

// Throws if the text's state_hash is not the hash of the rest of the text.
void check_own_hash(std::string_view text) {
  const std::size_t line = hash_line("").size(), tail = line + kEnd.size();
  if (text.size() > tail) {
    std::string rest(text.substr(0, text.size() - tail));
    rest += kEnd;
    if (text.substr(text.size() - tail) == hash_line(rest) + std::string(kEnd)) return;
  }
  fail("its content has changed since it was written: state_hash is not the hash of the rest");
}

}  // namespace

std::string to_json(const CheckpointState& state, int workers) {
  json out = {{"format", "polyhead-checkpoint"},
              {"version", 1},
              {"step", state.step},
              {"ids_hash", to_hex(state.ids_hash)},
              {"parameter_hash", to_hex(state.parameter_hash)},
              {"mixture", state.mixture},
              {"validation", state.validation},
              {"optimizer_steps", state.optimizer_steps},
              {"files", state.files},
              {"workers", workers},
              {"fingerprint", state.fingerprint},
              {"threads", state.threads},
              {"model", json::parse(to_json(state.model))}};
  if (state.evaluation_due) out["evaluation_due"] = true;
  if (!state.balance.balancer.empty()) out["balancer"] = state.balance.balancer;
  if (const json balance = balance_json(state.balance); !balance.empty()) out["balance"] = balance;
  std::string text = out.dump(1) + "\n";
  return text.insert(text.size() - kEnd.size(), hash_line(text));
}

CheckpointState checkpoint_state_from_json(const std::string& text, const std::string& origin) {
  try {
    const json in = parse_strictly(text, kLimits);
    // The fields are checked before the hash, because their errors name what is wrong.
    CheckpointState state = read_fields(in, origin);
    if (in.contains("state_hash")) check_own_hash(text);
    return state;
  } catch (const Error&) {
    throw;
  } catch (const std::exception& error) {
    throw Error(Exit::data, fmt::format("{}: it is not the state of a whole checkpoint: {}", origin, error.what()));
  }
}

std::map<std::string, std::int64_t> best_pointers(const ValidationState& state) {
  std::map<std::string, std::int64_t> pointers = {{"best", state.run.step}};
  for (const auto& [value, best] : state.best) pointers["best-" + file_stem(value)] = best.step;
  return pointers;
}

std::string checkpoint_name(std::int64_t step) {
  return fmt::format("step-{:06}", step);
}

std::optional<std::int64_t> checkpoint_step(std::string_view name) {
  constexpr std::string_view prefix = "step-";
  if (!name.starts_with(prefix)) return std::nullopt;
  const std::string_view digits = name.substr(prefix.size());
  std::int64_t step = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), step);
  if (error != std::errc() || step < 0 || step > kMostSteps || checkpoint_name(step) != name) return std::nullopt;
  return step;
}

std::vector<std::string> checkpoint_owners(const ModelDescription& model) {
  std::vector<std::string> owners = {"encoder"};
  for (const TrainedTask& task : model.tasks) owners.push_back(file_stem("head." + task.name));
  return owners;
}

}  // namespace polyhead
