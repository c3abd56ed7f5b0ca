// Converts a model's description to JSON and back, and builds the model that it describes.
#include "distributed/description/description.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <filesystem>
#include <set>
#include <span>
#include <stdexcept>

#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/base/field.h"
#include "core/base/names.h"
#include "core/base/nearest.h"
#include "core/base/utf8.h"

namespace polyhead {

using nlohmann::json;

namespace {

struct ToJson {
  json operator()(const NamedMember& value) const { return value.text(); }
  json operator()(const std::filesystem::path* value) const { return value->string(); }
  template <class Value>
  json operator()(const std::optional<Value>* value) const {
    return *value ? json(**value) : json();
  }
  template <class Value>
  json operator()(const Value* value) const {
    return *value;
  }
};

std::string shown(const json& in) {
  return in.is_structured() ? "no number" : in.dump();
}

// Reads `in`, whose name is for messages, to the member of a field. Throws std::invalid_argument for a value that no
// model can have.
struct FromJson {
  const json& in;
  const Field& field;
  const std::string& name;

  void operator()(const NamedMember& member) const {
    const auto text = in.get<std::string>();
    if (!member.set(text))
      throw std::invalid_argument(
          fmt::format("{} is '{}', expected one of {}", name, text, fmt::join(member.names(), ", ")));
  }
  void operator()(std::int64_t* member) const {
    const bool whole =
        in.is_number_integer() && (!in.is_number_unsigned() || in.get<std::uint64_t>() <= std::uint64_t{1} << 62);
    if (!whole || in.get<std::int64_t>() > field.largest ||
        !within(static_cast<double>(in.get<std::int64_t>()), field.range))
      throw std::invalid_argument(fmt::format("{} is {}, expected {} and <= {}", name, shown(in),
                                              in_words("a whole number", field.range), field.largest));
    *member = in.get<std::int64_t>();
  }
  void operator()(std::filesystem::path* member) const { *member = in.get<std::string>(); }
  template <class Value>
  void operator()(std::optional<Value>* member) const {
    if (!in.is_null()) *member = in.get<Value>();
  }
  template <class Value>
  void operator()(Value* member) const {
    in.get_to(*member);
  }
};

std::string_view stored_name(const Field& field) {
  return field.stored.empty() ? field.name : field.stored;
}

// A description contains only the options that a run cannot change later.
template <class Options>
json to_stored(const Options& options) {
  Options copy = options;
  json out = json::object();
  for (const Field& field : fields(copy))
    if (field.identity) out[std::string(stored_name(field))] = std::visit(ToJson(), field.member);
  return out;
}

// Missing options get their defaults, so that runs of earlier versions can be read.
template <class Options>
Options from_stored(const json& in, const std::string& name) {
  Options options;
  for (const Field& field : fields(options)) {
    const auto found = in.find(stored_name(field));
    if (!field.identity || found == in.end()) continue;
    const std::string full = fmt::format("{}.{}", name, stored_name(field));
    std::visit(FromJson{*found, field, full}, field.member);
  }
  return options;
}

}  // namespace

NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(TrainStatistics, mean, deviation, class_weights, feature_width, pairs,
                                                only_pairs)

void to_json(json& out, const TokenizerInfo& info) {
  out = {{"kind", info.kind}, {"file", info.file}, {"sha256", info.sha256}, {"vocab_size", info.vocab_size},
         {"pad", info.pad},   {"unk", info.unk},   {"bos", info.bos},       {"eos", info.eos},
         {"mask", info.mask}};
  if (info.lowercase) out["lowercase"] = *info.lowercase;
}

void from_json(const json& in, TokenizerInfo& info) {
  in.at("kind").get_to(info.kind);
  in.at("file").get_to(info.file);
  in.at("sha256").get_to(info.sha256);
  in.at("vocab_size").get_to(info.vocab_size);
  in.at("pad").get_to(info.pad);
  in.at("unk").get_to(info.unk);
  in.at("bos").get_to(info.bos);
  in.at("eos").get_to(info.eos);
  in.at("mask").get_to(info.mask);
  if (in.contains("lowercase")) info.lowercase = in.at("lowercase").get<bool>();
}

void to_json(json& out, const TrainedTask& task) {
  out = {{"name", task.name},
         {"kind", name_of(task.kind)},
         {"labels", task.labels},
         {"outputs", task.outputs},
         {"head", to_stored(task.head)},
         {"masking", to_stored(task.masking)},
         {"statistics", task.statistics}};
  if (!task.label_type.empty()) out["label_type"] = task.label_type;
}

// Reads all but the options; ModelDescription reads those, because their messages contain the task's index.
void from_json(const json& in, TrainedTask& task) {
  in.at("name").get_to(task.name);
  const auto kind = kind_from(in.at("kind").get<std::string>());
  if (!kind) throw std::invalid_argument("unknown kind of task " + task.name);
  task.kind = *kind;
  in.at("labels").get_to(task.labels);
  task.label_type = in.value("label_type", task.label_type);
  task.outputs = in.value("outputs", task.outputs);
  task.statistics = in.value("statistics", task.statistics);
}

void to_json(json& out, const ModelDescription& description) {
  out = {{"encoder", to_stored(description.encoder)},
         {"attention", to_stored(description.attention)},
         {"tokenizer", description.tokenizer},
         {"tasks", description.tasks},
         {"dtype", description.dtype},
         {"data", description.data}};
  out["attention"]["importances"] = description.attention.importances;
}

void from_json(const json& in, ModelDescription& description) {
  description.encoder = from_stored<EncoderOptions>(in.at("encoder"), "model.encoder");
  description.attention = from_stored<AttentionOptions>(in.at("attention"), "model.attention");
  description.attention.importances = in.at("attention").value("importances", description.attention.importances);
  in.at("tokenizer").get_to(description.tokenizer);
  in.at("tasks").get_to(description.tasks);
  for (std::size_t i = 0; i < description.tasks.size(); ++i) {
    const json& task = in.at("tasks")[i];
    const std::string name = fmt::format("model.tasks[{}]", i);
    description.tasks[i].head = from_stored<HeadOptions>(task.at("head"), name + ".head");
    description.tasks[i].masking = from_stored<MaskingOptions>(task.at("masking"), name + ".masking");
  }
  in.at("dtype").get_to(description.dtype);
  in.at("data").get_to(description.data);
}

namespace {

struct Bound {
  const char* key;
  std::int64_t low, high;
};

constexpr std::int64_t kMillion = 1'000'000;
constexpr Bound kTokenizer[] = {{"vocab_size", 1, 100 * kMillion}, {"pad", -1, 100 * kMillion},
                                {"unk", -1, 100 * kMillion},       {"bos", -1, 100 * kMillion},
                                {"eos", -1, 100 * kMillion},       {"mask", -1, 100 * kMillion}};
constexpr Bound kStatistics[] = {{"feature_width", 0, 100 * kMillion}};
constexpr Bound kModel[] = {{"max_length", 0, 1'000 * kMillion}};

// Throws std::invalid_argument naming a number that is not whole or that no model can have.
void check_bounds(const json& in, const std::string& name, std::span<const Bound> bounds) {
  for (const Bound& bound : bounds) {
    const auto found = in.find(bound.key);
    if (found == in.end()) continue;  // it keeps its default
    const bool whole = found->is_number_integer() &&
                       (!found->is_number_unsigned() || found->get<std::uint64_t>() <= std::uint64_t{1} << 62);
    if (!whole || found->get<std::int64_t>() < bound.low || found->get<std::int64_t>() > bound.high)
      throw std::invalid_argument(fmt::format("{}.{} is {}, expected a whole number from {} to {}", name, bound.key,
                                              shown(*found), bound.low, bound.high));
  }
}

void check_bounds(const json& in) {
  check_bounds(in, "model", kModel);
  check_bounds(in.at("tokenizer"), "model.tokenizer", kTokenizer);
  std::size_t index = 0;
  for (const json& task : in.at("tasks")) {
    const std::string name = fmt::format("model.tasks[{}]", index++);
    if (task.contains("statistics")) check_bounds(task.at("statistics"), name + ".statistics", kStatistics);
  }
}

// Checks the names that become names of files (those of tasks by file_stem()).
void check_names(const ModelDescription& description) {
  std::set<std::string> names;
  for (const TrainedTask& task : description.tasks)
    if (task.name.empty() || !names.insert(task.name).second)
      throw std::invalid_argument(
          fmt::format("model.tasks has the name '{}', expected names that differ and are not empty", task.name));
  const std::filesystem::path file = description.tokenizer.file;
  if (file.filename() != file || file == "." || file == "..")
    throw std::invalid_argument(
        fmt::format("model.tokenizer.file is '{}', expected the name of a file in the run's folder", file.string()));
}

}  // namespace

std::size_t ModelDescription::task(const std::string& name) const {
  std::vector<std::string> names;
  for (std::size_t i = 0; i < tasks.size(); ++i) {
    if (tasks[i].name == name) return i;
    names.push_back(tasks[i].name);
  }
  throw Error(Exit::config, fmt::format("task {}{}: the model was not trained with it; its tasks are {}", name,
                                        did_you_mean(name, names), fmt::join(names, ", ")));
}

// If the path is not valid UTF-8, which JSON requires, `data` is for people and data_bytes for the program.
std::string to_json(const ModelDescription& description) {
  json out = description;
  if (!is_utf8(description.data)) {
    out["data"] = encode_utf8(decode_utf8(description.data));
    out["data_bytes"] = json::binary_t::container_type(description.data.begin(), description.data.end());
  }
  out["max_length"] = description.max_length;
  return out.dump();
}

ModelDescription description_from_json(const std::string& text, const std::string& origin) {
  try {
    const json in = json::parse(text);
    check_bounds(in);
    auto description = in.get<ModelDescription>();
    description.max_length =
        in.value("max_length", description.max_length);  // descriptions of earlier versions have none
    if (in.contains("data_bytes")) {
      const auto bytes = in["data_bytes"].get<std::vector<std::uint8_t>>();
      description.data.assign(bytes.begin(), bytes.end());
    }
    check_names(description);
    return description;
  } catch (const std::exception& error) {
    throw Error(Exit::data, fmt::format("{}: the model's description cannot be read: {}", origin, error.what()));
  }
}

std::string to_json(const TrainStatistics& statistics) {
  return json(statistics).dump();
}

TrainStatistics statistics_from_json(const std::string& text) {
  return json::parse(text).get<TrainStatistics>();
}

std::unique_ptr<Model> build_model(const ModelDescription& description, const std::vector<std::size_t>& tasks) {
  InputOptions inputs;
  std::set<std::int64_t> widths;
  for (const TrainedTask& task : description.tasks) {
    if (task.statistics.feature_width > 0) widths.insert(task.statistics.feature_width);
    inputs.pairs = inputs.pairs || task.statistics.pairs;
  }
  inputs.feature_widths.assign(widths.begin(), widths.end());
  auto model = std::make_unique<Model>(description.encoder, description.attention, description.tokenizer.vocab_size,
                                       std::ssize(description.tasks), inputs);
  for (const std::size_t index : tasks) {
    const TrainedTask& task = description.tasks.at(index);
    model->add_head(index, make_head({.task = task.name,
                                      .kind = task.kind,
                                      .classes = std::ssize(task.labels),
                                      .outputs = std::max<std::int64_t>(1, std::ssize(task.outputs)),
                                      .vocab_size = description.tokenizer.vocab_size,
                                      .bos = description.tokenizer.bos,
                                      .eos = description.tokenizer.eos,
                                      .mask = description.tokenizer.mask,
                                      .encoder = description.encoder,
                                      .options = task.head,
                                      .statistics = task.statistics}));
  }
  return model;
}

torch::ScalarType scalar_type(const std::string& dtype) {
  if (dtype == "float32") return torch::kFloat32;
  if (dtype == "float64") return torch::kFloat64;
  throw Error(Exit::config, fmt::format("run.dtype = {}: use float32 or float64", dtype));
}

}  // namespace polyhead
