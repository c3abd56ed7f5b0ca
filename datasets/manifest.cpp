// Reads dataset.json field by field, and writes it with the keys in the order of docs/format.md.
#include "datasets/manifest.h"

#include <algorithm>
#include <set>
#include <string_view>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/base/files.h"
#include "datasets/target.h"

namespace polyhead {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr std::array<std::string_view, 3> kSplits = {"train", "valid", "test"};

// An object in the file, with its place for messages ("tasks[2].splits.train").
class Node {
 public:
  Node(const std::filesystem::path& file, const json& value, std::string place)
      : file_(file), value_(value), place_(std::move(place)) {
    if (!value.is_object()) fail("is not an object");
  }

  [[noreturn]] void fail(const std::string& what) const {
    throw Error(
        Exit::data,
        fmt::format(
            "{}: {} {}; docs/format.md says what belongs there. Import the data set again, or correct the file.",
            file_.string(), place_.empty() ? "the file" : place_, what));
  }
  bool has(const char* key) const { return value_.contains(key); }
  const json& at(const char* key) const {
    if (!has(key)) fail(fmt::format("lacks '{}'", key));
    return value_[key];
  }
  std::string text(const char* key) const {
    if (!at(key).is_string()) fail(fmt::format("has a '{}' that is not a string", key));
    return at(key).get<std::string>();
  }
  std::string text_or_empty(const char* key) const { return has(key) ? text(key) : ""; }
  std::uint64_t number(const char* key) const {
    if (!at(key).is_number_unsigned()) fail(fmt::format("has a '{}' that is not a whole number from 0", key));
    return at(key).get<std::uint64_t>();
  }
  std::uint64_t number_or_zero(const char* key) const { return has(key) ? number(key) : 0; }
  std::vector<std::string> texts(const char* key) const {
    std::vector<std::string> all;
    if (!at(key).is_array()) fail(fmt::format("has a '{}' that is not a list", key));
    for (const json& one : at(key)) {
      if (!one.is_string()) fail(fmt::format("has '{}' with an entry that is not a string", key));
      all.push_back(one.get<std::string>());
    }
    if (std::set<std::string>(all.begin(), all.end()).size() != all.size())
      fail(fmt::format("names one of '{}' twice", key));
    return all;
  }
  Node object(const char* key) const { return {file_, at(key), place_.empty() ? key : place_ + "." + key}; }
  std::vector<Node> objects(const char* key) const {
    std::vector<Node> all;
    if (!at(key).is_array()) fail(fmt::format("has a '{}' that is not a list", key));
    for (const json& one : at(key))
      all.emplace_back(file_, one, fmt::format("{}{}{}[{}]", place_, place_.empty() ? "" : ".", key, all.size()));
    return all;
  }
  // Returns a path inside the data set's folder. A manifest from elsewhere must not refer to other files.
  std::string inner_path(const char* key) const {
    const std::filesystem::path path = text(key);
    if (path.native().find('\0') != std::string::npos)
      fail(fmt::format("has a {} with a zero byte, which does not lie inside the data set's folder", key));
    if (path.empty() || path.is_absolute() || std::find(path.begin(), path.end(), "..") != path.end())
      fail(fmt::format("has the {} '{}', which does not lie inside the data set's folder", key, path.string()));
    return path.string();
  }
  const json& value() const { return value_; }

 private:
  const std::filesystem::path& file_;
  const json& value_;
  std::string place_;
};

TokenizerInfo read_tokenizer(const Node& node) {
  TokenizerInfo info;
  info.kind = node.text("kind");
  if (!is_tokenizer_kind(info.kind))
    node.fail(fmt::format("has the kind '{}'; known are {}", info.kind, kTokenizerKinds));
  info.file = node.inner_path("file");
  info.sha256 = node.text_or_empty("sha256");
  const std::uint64_t size = node.number("vocab_size");
  if (size > 0xffffffffULL) node.fail("has a vocab_size above 2^32 - 1");
  info.vocab_size = static_cast<std::int64_t>(size);
  std::set<std::int64_t> ids;
  const auto special = [&](const char* key) {
    const std::uint64_t id = node.number(key);
    if (id >= size) node.fail(fmt::format("has {} = {}, which is not below vocab_size = {}", key, id, size));
    if (!ids.insert(static_cast<std::int64_t>(id)).second)
      node.fail(fmt::format("has {} = {}, another special token's id", key, id));
    return static_cast<std::int64_t>(id);
  };
  info.pad = special("pad"), info.unk = special("unk"), info.bos = special("bos"), info.eos = special("eos");
  info.mask = special("mask");
  if (node.has("lowercase")) {
    if (!node.at("lowercase").is_boolean()) node.fail("has a 'lowercase' that is not true or false");
    info.lowercase = node.at("lowercase").get<bool>();
  }
  return info;
}

SplitInfo read_split(const Node& node) {
  SplitInfo info;
  info.input_tokens = node.number_or_zero("input_tokens");
  info.target_tokens = node.number_or_zero("target_tokens");
  for (const Node& shard : node.objects("shards")) {
    ShardInfo one;
    one.file = shard.inner_path("file");
    one.samples = shard.number("samples");
    one.bytes = shard.number_or_zero("bytes");
    one.sha256 = shard.text_or_empty("sha256");
    if (__builtin_add_overflow(info.samples, one.samples, &info.samples))
      shard.fail("has too large a number of samples");
    info.shards.push_back(std::move(one));
  }
  if (node.has("samples") && node.number("samples") != info.samples)
    node.fail(fmt::format("says {} samples, its shards together {}", node.number("samples"), info.samples));
  return info;
}

TaskInfo read_task(const Node& node) {
  TaskInfo info;
  info.name = node.text("name");
  if (info.name.empty()) node.fail("has an empty name");
  // Names appear in logs, file names and messages, where a line break could fake a line.
  if (std::ranges::any_of(info.name, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }))
    node.fail("has a name with a control character (a line break, a tab, a zero byte)");
  const auto kind = kind_from(node.text("kind"));
  if (!kind) node.fail(fmt::format("has the kind '{}'; known are {}", node.text("kind"), fmt::join(kKindNames, ", ")));
  info.kind = *kind;
  if (const LabelRules* rules = target_of(*kind).labels()) {
    info.labels = node.texts("labels");
    if (info.labels.empty()) node.fail("has no labels");
    if (info.labels.size() > rules->most) node.fail(fmt::format("has more than {} labels", rules->most));
  }
  info.label_type = node.text_or_empty("label_type");
  if (!info.label_type.empty() && info.label_type != "integer" && info.label_type != "boolean")
    node.fail(fmt::format("has the label_type '{}'; known are integer and boolean", info.label_type));
  if (node.has("outputs")) info.outputs = node.texts("outputs");
  info.features = node.number_or_zero("features");
  if (node.has("weights")) {
    if (!node.at("weights").is_boolean()) node.fail("has 'weights' that are not true or false");
    info.weights = node.at("weights").get<bool>();
  }
  info.source_language = node.text_or_empty("source_language");
  info.target_language = node.text_or_empty("target_language");
  info.source = node.text_or_empty("source");
  info.license = node.text_or_empty("license");
  const Node splits = node.object("splits");
  for (const auto& [name, value] : splits.value().items()) {
    if (std::find(kSplits.begin(), kSplits.end(), name) == kSplits.end())
      splits.fail(fmt::format("has the split '{}'; known are train, valid and test", name));
    info.splits[name] = read_split(splits.object(name.c_str()));
  }
  return info;
}

}  // namespace

const TaskInfo& Manifest::task(const std::string& wanted) const {
  std::vector<std::string_view> names;
  for (const TaskInfo& one : tasks) {
    if (one.name == wanted) return one;
    names.push_back(one.name);
  }
  throw Error(Exit::config, fmt::format("the data set '{}' has no task '{}'; it has {}", name, wanted,
                                        names.empty() ? "none" : fmt::format("{}", fmt::join(names, ", "))));
}

Manifest read_manifest(const std::filesystem::path& folder) {
  const std::filesystem::path file = folder / "dataset.json";
  if (!std::filesystem::exists(file))
    throw Error(
        Exit::data,
        fmt::format("{} has no dataset.json, so it is no data set; 'polyhead import -c FILE.ini --out {}' makes "
                    "one",
                    folder.string(), folder.string()));
  json content;
  try {
    content = json::parse(read_file(file));
  } catch (const json::exception& error) {
    throw Error(Exit::data, fmt::format("{} is not JSON: {}. Import the data set again, or correct the file.",
                                        file.string(), error.what()));
  }
  const Node root(file, content, "");
  if (root.text("format") != "polyhead-dataset")
    root.fail(fmt::format("has the format '{}', expected 'polyhead-dataset'", root.text("format")));
  if (root.number("version") != 1)
    root.fail(fmt::format("has version {}; this program reads version 1", root.number("version")));
  Manifest manifest;
  manifest.name = root.text("name");
  manifest.max_length = root.number_or_zero("max_length");
  if (root.has("max_length") && manifest.max_length < 4)
    root.fail(fmt::format("has the max_length {}, expected at least 4 tokens", manifest.max_length));
  manifest.tokenizer = read_tokenizer(root.object("tokenizer"));
  std::set<std::string> names;
  for (const Node& task : root.objects("tasks")) {
    manifest.tasks.push_back(read_task(task));
    if (!names.insert(manifest.tasks.back().name).second) task.fail("has the name of another task");
  }
  return manifest;
}

void write_manifest(const std::filesystem::path& folder, const Manifest& manifest) {
  const TokenizerInfo& t = manifest.tokenizer;
  ordered_json root = {{"format", "polyhead-dataset"}, {"version", 1}, {"name", manifest.name}};
  if (manifest.max_length > 0) root["max_length"] = manifest.max_length;
  root["tokenizer"] = {{"kind", t.kind}, {"file", t.file}, {"sha256", t.sha256}, {"vocab_size", t.vocab_size},
                       {"pad", t.pad},   {"unk", t.unk},   {"bos", t.bos},       {"eos", t.eos},
                       {"mask", t.mask}};
  if (t.sha256.empty()) root["tokenizer"].erase("sha256");
  if (t.lowercase) root["tokenizer"]["lowercase"] = *t.lowercase;
  root["tasks"] = ordered_json::array();
  for (const TaskInfo& task : manifest.tasks) {
    ordered_json entry = {{"name", task.name}, {"kind", name_of(task.kind)}};
    if (!task.labels.empty()) entry["labels"] = task.labels;
    if (!task.label_type.empty()) entry["label_type"] = task.label_type;
    if (!task.outputs.empty()) entry["outputs"] = task.outputs;
    if (task.features > 0) entry["features"] = task.features;
    if (task.weights) entry["weights"] = true;
    const auto optional = [&](const char* key, const std::string& value) {
      if (!value.empty()) entry[key] = value;
    };
    optional("source_language", task.source_language);
    optional("target_language", task.target_language);
    optional("source", task.source);
    optional("license", task.license);
    entry["splits"] = ordered_json::object();
    for (const std::string_view name : kSplits) {
      const auto found = task.splits.find(std::string(name));
      if (found == task.splits.end()) continue;
      const SplitInfo& split = found->second;
      ordered_json shards = ordered_json::array();
      for (const ShardInfo& shard : split.shards) {
        ordered_json one = {{"file", shard.file}, {"samples", shard.samples}};
        if (shard.bytes > 0) one["bytes"] = shard.bytes;
        if (!shard.sha256.empty()) one["sha256"] = shard.sha256;
        shards.push_back(std::move(one));
      }
      ordered_json about = {{"samples", split.samples}};
      if (split.input_tokens > 0)
        about["input_tokens"] = split.input_tokens, about["target_tokens"] = split.target_tokens;
      about["shards"] = std::move(shards);
      entry["splits"][std::string(name)] = std::move(about);
    }
    root["tasks"].push_back(std::move(entry));
  }
  // Bytes that are not UTF-8 (such as a licence in another encoding) become U+FFFD instead of failing at the very end.
  write_file_atomically(folder / "dataset.json",
                        root.dump(1, ' ', false, ordered_json::error_handler_t::replace) + "\n");
}

}  // namespace polyhead
