// The data path as a filter, for comparison with PyPI's packages: what a data set, a tokenizer or a safetensors file
// holds, as JSON.
//   data read DIR | data import DESCRIPTION.json OUT | data tokenize KIND FILE (lines on stdin) | data safetensors FILE
//   COPY
#include <algorithm>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/hash.h"
#include "core/base/safetensors.h"
#include "datasets/dataset.h"
#include "datasets/import/import.h"
#include "datasets/tokenizer/tokenizer.h"

namespace {

using namespace polyhead;
using nlohmann::json;

json read_split(const SplitReader& reader) {
  json samples = json::array();
  for (std::uint64_t i = 0; i < reader.size(); ++i) {
    std::vector<std::int64_t> input, target, tags, labels;
    std::vector<double> values;
    std::vector<float> features;
    const StoredSample read = reader.sample(i);
    read.input_tokens(input);
    read.features(features);
    read.target_tokens(target);
    read.tags(tags);
    read.labels(labels);
    read.values(values);
    json sample = {{"input", input},          {"target", target},   {"tags", tags},
                   {"label", read.label()},   {"labels", labels},   {"values", values},
                   {"second", read.second()}, {"span", read.span()}};
    if (reader.feature_width() > 0) sample["features"] = features;
    if (input.size() + features.size() != read.input_length() * std::max<std::size_t>(reader.feature_width(), 1) ||
        target.size() != read.target_length())
      throw Error(Exit::internal, "lengths and tokens disagree");
    if (const auto text = read.input_text()) sample["input_text"] = *text;
    if (const auto text = read.target_text()) sample["target_text"] = *text;
    samples.push_back(std::move(sample));
  }
  return samples;
}

json read(const std::string& folder) {
  const Manifest manifest = read_manifest(folder);
  json out = json::object();
  for (const TaskInfo& task : manifest.tasks)
    for (const auto& [split, info] : task.splits)
      out[task.name][split] = read_split(SplitReader(folder, manifest, task, split));
  return out;
}

void import(const std::string& description, const std::string& out) {
  const json given = json::parse(read_file(description));
  ImportOptions options;
  options.name = given.at("name").get<std::string>();
  options.tokenizer = given.value("tokenizer", options.tokenizer);
  options.vocab = given.value("vocab", "");
  options.vocab_size = given.value("vocab_size", options.vocab_size);
  options.max_length = given.value("max_length", options.max_length);
  options.shard_size = given.value("shard_size", options.shard_size);
  for (const json& one : given.at("tasks")) {
    ImportTask task;
    task.name = one.at("name").get<std::string>();
    task.kind = kind_from(one.at("kind").get<std::string>()).value();
    for (const char* split : {"train", "valid", "test"})
      if (one.contains(split)) task.files[split] = {one[split].get<std::string>()};
    options.tasks.push_back(task);
  }
  import_dataset(options, out, [](const std::string& line) { std::cerr << line << "\n"; });
}

json tokenize(const std::string& kind, const std::string& file) {
  const TokenizerInfo info = inspect_tokenizer(kind, file);
  const auto tokenizer = load_tokenizer(std::filesystem::path(file).parent_path(), info);
  json out = json::array();
  for (std::string line; std::getline(std::cin, line);) {
    const auto ids = tokenizer->encode(line);
    out.push_back({{"ids", ids}, {"text", tokenizer->decode(ids)}});
  }
  return out;
}

json copy_safetensors(const std::string& file, const std::string& copy) {
  const SafetensorsFile in(file);
  json out = json::object();
  for (const auto& [name, tensor] : in.tensors()) out[name] = {{"dtype", tensor.dtype}, {"shape", tensor.shape}};
  out["__metadata__"] = in.metadata();
  out["hash"] = to_hex(write_safetensors(copy, in.tensors(), in.metadata()));
  return out;
}

int run(const std::vector<std::string>& arguments) {
  if (arguments.size() == 2 && arguments[0] == "read")
    std::cout << read(arguments[1]).dump(-1, ' ', false, json::error_handler_t::replace) << "\n";
  else if (arguments.size() == 3 && arguments[0] == "import")
    import(arguments[1], arguments[2]);
  else if (arguments.size() == 3 && arguments[0] == "tokenize")
    std::cout << tokenize(arguments[1], arguments[2]).dump(-1, ' ', false, json::error_handler_t::replace) << "\n";
  else if (arguments.size() == 3 && arguments[0] == "safetensors")
    std::cout << copy_safetensors(arguments[1], arguments[2]).dump() << "\n";
  else
    throw Error(Exit::usage,
                "data read DIR | import DESCRIPTION.json OUT | tokenize KIND FILE | safetensors FILE COPY");
  return 0;
}

}  // namespace

int main(int count, char** arguments) {
  try {
    return run({arguments + 1, arguments + count});
  } catch (const Error& error) {
    std::cerr << error.what() << "\n";
    return static_cast<int>(error.code());
  } catch (const std::exception& error) {
    std::cerr << "not an Error: " << error.what() << "\n";
    return 1;
  }
}
