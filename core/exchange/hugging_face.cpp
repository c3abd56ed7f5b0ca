// Reads and writes encoders in the files of Hugging Face's transformers.
#include "core/exchange/hugging_face.h"

#include <algorithm>
#include <array>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string_view>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/hash.h"
#include "core/base/safetensors.h"
#include "core/base/strict_json.h"

namespace polyhead {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

// The keys of config.json and the names of tensors, by type of model.
struct Family {
  std::string_view type;
  // Keys of config.json; "" where the type has a constant.
  std::string_view dim, layers, heads, ffn, activation, epsilon, token_types;
  bool positions_after_pad;  // the position of the first token is the id of the pad token plus 1
  // Names of tensors.
  std::string_view block;  // before the number of a block
  std::string_view query, key, value, out, attention_norm, up, down, ffn_norm;
};

constexpr Family kBert = {.type = "bert",
                          .dim = "hidden_size",
                          .layers = "num_hidden_layers",
                          .heads = "num_attention_heads",
                          .ffn = "intermediate_size",
                          .activation = "hidden_act",
                          .epsilon = "layer_norm_eps",
                          .token_types = "type_vocab_size",
                          .positions_after_pad = false,
                          .block = "encoder.layer.",
                          .query = "attention.self.query",
                          .key = "attention.self.key",
                          .value = "attention.self.value",
                          .out = "attention.output.dense",
                          .attention_norm = "attention.output.LayerNorm",
                          .up = "intermediate.dense",
                          .down = "output.dense",
                          .ffn_norm = "output.LayerNorm"};

constexpr Family kDistilBert = {.type = "distilbert",
                                .dim = "dim",
                                .layers = "n_layers",
                                .heads = "n_heads",
                                .ffn = "hidden_dim",
                                .activation = "activation",
                                .epsilon = "",
                                .token_types = "",
                                .positions_after_pad = false,
                                .block = "transformer.layer.",
                                .query = "attention.q_lin",
                                .key = "attention.k_lin",
                                .value = "attention.v_lin",
                                .out = "attention.out_lin",
                                .attention_norm = "sa_layer_norm",
                                .up = "ffn.lin1",
                                .down = "ffn.lin2",
                                .ffn_norm = "output_layer_norm"};

constexpr Family roberta(std::string_view type) {
  Family family = kBert;
  family.type = type;
  family.positions_after_pad = true;
  return family;
}

constexpr std::array<Family, 4> kFamilies = {kBert, kDistilBert, roberta("roberta"), roberta("xlm-roberta")};

const Family& family_of(std::string_view type) {
  return *std::ranges::find(kFamilies, type, &Family::type);
}

// Names in config.json of the activation functions.
constexpr std::array<std::pair<std::string_view, Activation>, 4> kActivations = {{
    {"gelu", Activation::gelu},
    {"gelu_new", Activation::gelu_tanh},
    {"gelu_pytorch_tanh", Activation::gelu_tanh},
    {"relu", Activation::relu},
}};

// config.json, whose values are checked when they are read.
class ConfigFile {
 public:
  explicit ConfigFile(const fs::path& folder) : file_(folder / "config.json") {
    std::error_code code;
    if (!fs::exists(file_, code))
      throw Error(Exit::config, fmt::format("{} has no config.json; give the folder of a model that transformers has "
                                            "saved with save_pretrained()",
                                            folder.string()));
    try {
      root_ = parse_strictly(read_file(file_));
    } catch (const std::invalid_argument& error) {
      fail(fmt::format("is not JSON: {}", error.what()));
    }
    if (!root_.is_object()) fail("is not an object");
  }

  [[noreturn]] void fail(const std::string& what) const {
    throw Error(Exit::data, fmt::format("{} {}", file_.string(), what));
  }
  [[noreturn]] void refuse(const std::string& what) const {
    throw Error(Exit::config, fmt::format("{}: {}", file_.string(), what));
  }

  bool has(std::string_view key) const { return root_.contains(key) && !root_.at(std::string(key)).is_null(); }

  std::int64_t whole(std::string_view key, std::optional<std::int64_t> otherwise, std::int64_t least,
                     std::int64_t most) const {
    if (!has(key)) {
      if (otherwise) return *otherwise;
      fail(fmt::format("has no {}", key));
    }
    const json& value = root_.at(std::string(key));
    if (value.is_number_integer() && (!value.is_number_unsigned() || value.get<std::uint64_t>() <= 1ULL << 62))
      if (const auto number = value.get<std::int64_t>(); number >= least && number <= most) return number;
    fail(fmt::format("has {} = {}, expected a whole number from {} to {}", key, value.dump(), least, most));
  }

  double number(std::string_view key, double otherwise, double least, double most) const {
    if (!has(key)) return otherwise;
    const json& value = root_.at(std::string(key));
    if (value.is_number())
      if (const double number = value.get<double>(); number > least && number <= most) return number;
    fail(fmt::format("has {} = {}, expected a number above {} and at most {}", key, value.dump(), least, most));
  }

  bool boolean(std::string_view key, bool otherwise) const {
    if (!has(key)) return otherwise;
    const json& value = root_.at(std::string(key));
    if (!value.is_boolean()) fail(fmt::format("has {} = {}, expected true or false", key, value.dump()));
    return value.get<bool>();
  }

  std::string text(std::string_view key, std::string_view otherwise) const {
    if (!has(key)) return std::string(otherwise);
    const json& value = root_.at(std::string(key));
    if (!value.is_string()) fail(fmt::format("has {} = {}, expected a text", key, value.dump()));
    return value.get<std::string>();
  }

 private:
  fs::path file_;
  json root_;
};

// A tensor of the encoder, and those that it consists of in the file: one, or several, one below the other.
struct Source {
  std::string ours;
  std::vector<std::string> theirs;
};

std::vector<Source> sources(const Family& family, const EncoderOptions& options) {
  std::vector<Source> all = {{"embedding.weight", {"embeddings.word_embeddings.weight"}},
                             {"embedding.positions", {"embeddings.position_embeddings.weight"}}};
  if (options.token_types > 0) all.push_back({"segment.weight", {"embeddings.token_type_embeddings.weight"}});
  const auto add = [&](const std::string& ours, const std::vector<std::string>& theirs) {
    for (const char* part : {".weight", ".bias"}) {
      Source source{ours + part, {}};
      for (const std::string& name : theirs) source.theirs.push_back(name + part);
      all.push_back(std::move(source));
    }
  };
  add("embedding.norm", {"embeddings.LayerNorm"});
  for (std::int64_t i = 0; i < options.layers; ++i) {
    const std::string ours = fmt::format("layers.{}.", i), theirs = fmt::format("{}{}.", family.block, i);
    const auto name = [&](std::string_view part) { return theirs + std::string(part); };
    add(ours + "attention.qkv", {name(family.query), name(family.key), name(family.value)});
    add(ours + "attention.out", {name(family.out)});
    add(ours + "attention.norm", {name(family.attention_norm)});
    add(ours + "ffn.up", {name(family.up)});
    add(ours + "ffn.down", {name(family.down)});
    add(ours + "ffn.norm", {name(family.ffn_norm)});
  }
  return all;
}

// The files with the weights, in alphabetical order.
std::vector<fs::path> weight_files(const fs::path& folder) {
  std::error_code code;
  if (const fs::path one = folder / "model.safetensors"; fs::exists(one, code)) return {one};
  const fs::path index = folder / "model.safetensors.index.json";
  if (!fs::exists(index, code)) {
    const bool pickle =
        fs::exists(folder / "pytorch_model.bin", code) || fs::exists(folder / "pytorch_model.bin.index.json", code);
    const std::string path = folder.string();
    throw Error(Exit::config,
                pickle
                    ? fmt::format("{} holds pytorch_model.bin, a pickle, which can run arbitrary code and is not read; "
                                  "convert it with: python -c \"from transformers import AutoModel; "
                                  "AutoModel.from_pretrained('{}').save_pretrained('{}', safe_serialization=True)\"",
                                  path, path, path)
                    : fmt::format("{} has no model.safetensors; give the folder of a model that transformers has "
                                  "saved with save_pretrained()",
                                  path));
  }
  std::set<std::string> names;
  try {
    const json root = parse_strictly(read_file(index));
    for (const auto& [tensor, file] : root.at("weight_map").items()) names.insert(file.get<std::string>());
  } catch (const std::exception& error) {
    throw Error(Exit::data, fmt::format("{} is not an index of tensors: {}", index.string(), error.what()));
  }
  std::vector<fs::path> files;
  for (const std::string& name : names) {
    if (fs::path(name).filename() != name)
      throw Error(Exit::data, fmt::format("{} names the file {}, which is not in the folder", index.string(), name));
    files.push_back(folder / name);
  }
  if (files.empty()) throw Error(Exit::data, fmt::format("{} names no file", index.string()));
  return files;
}

// "bert.encoder.layer.0.output.LayerNorm.gamma" -> "encoder.layer.0.output.LayerNorm.weight"
std::string plain_name(const std::string& name, std::string_view prefix) {
  std::string plain = name.starts_with(prefix) ? name.substr(prefix.size()) : name;
  for (const auto& [old, now] : {std::pair("gamma", "weight"), std::pair("beta", "bias")})
    if (const std::string end = fmt::format("LayerNorm.{}", old); plain.ends_with(end))
      plain.replace(plain.size() - std::string_view(old).size(), std::string::npos, now);
  return plain;
}

std::optional<torch::ScalarType> float_type(std::string_view dtype) {
  if (dtype == "F32") return torch::kFloat32;
  if (dtype == "F16") return torch::kFloat16;
  if (dtype == "BF16") return torch::kBFloat16;
  if (dtype == "F64") return torch::kFloat64;
  return std::nullopt;
}

// The tensors of all files, by their names without prefix.
class WeightFiles {
 public:
  explicit WeightFiles(const fs::path& folder) : folder_(folder) {
    for (const fs::path& path : weight_files(folder)) files_.emplace_back(path, path);
    const std::string word_table = "embeddings.word_embeddings.weight";
    std::string prefix;
    for (const auto& [path, file] : files_)
      for (const auto& [name, tensor] : file.tensors())
        if (name.ends_with("." + word_table)) prefix = name.substr(0, name.size() - word_table.size());
    for (const auto& [path, file] : files_)
      for (const auto& [name, tensor] : file.tensors()) tensors_[plain_name(name, prefix)] = {name, &path, &tensor};
  }

  // Returns a tensor, of any float type; its memory belongs to this object.
  torch::Tensor take(const std::string& name) {
    const auto found = tensors_.find(name);
    if (found == tensors_.end())
      throw Error(Exit::data, fmt::format("{} has no tensor {}, which its config.json implies",
                                          files_.size() == 1 ? files_[0].first.string() : folder_.string(), name));
    used_.insert(name);
    const auto& [full, path, stored] = found->second;
    const auto type = float_type(stored->dtype);
    if (!type)
      throw Error(Exit::data, fmt::format("{}: tensor {} has the type {}, expected F32, F16, BF16 or F64",
                                          path->string(), full, stored->dtype));
    return torch::from_blob(const_cast<std::byte*>(stored->data.data()), stored->shape,
                            torch::TensorOptions().dtype(*type));
  }

  [[noreturn]] void fail(const std::string& name, const std::string& what) const {
    const Place& place = tensors_.at(name);
    throw Error(Exit::data, fmt::format("{}: tensor {} {}", place.file->string(), place.name, what));
  }

  std::uint64_t hash() const {
    std::string hashes;
    for (const auto& [path, file] : files_) hashes += to_hex(file.hash());
    return hash_bytes(hashes);
  }

  // Buffers of position numbers are left out: they are no weights.
  std::vector<std::string> unused() const {
    std::vector<std::string> names;
    for (const auto& [plain, place] : tensors_)
      if (!used_.contains(plain) && !plain.ends_with("position_ids")) names.push_back(place.name);
    return names;
  }

 private:
  struct Place {
    std::string name;  // in the file
    const fs::path* file = nullptr;
    const StoredTensor* tensor = nullptr;
  };
  fs::path folder_;
  std::deque<std::pair<fs::path, SafetensorsFile>> files_;  // which are not moved: their tensors refer to them
  std::map<std::string, Place> tensors_;
  std::set<std::string> used_;
};

// The shape that config.json implies for each of the tensors in the file that one of ours consists of.
std::vector<std::int64_t> shape_of(const PretrainedEncoder& encoder, const Source& source) {
  const EncoderOptions& o = encoder.options;
  const std::string& name = source.ours;
  if (name == "embedding.weight") return {encoder.vocab_size, o.dim};
  if (name == "embedding.positions") return {o.positions + encoder.first_position, o.dim};
  if (name == "segment.weight") return {o.token_types, o.dim};
  const bool matrix = !name.ends_with("norm.weight") && name.ends_with(".weight");
  const std::int64_t out = name.find("ffn.up") != std::string::npos ? o.ffn : o.dim;
  if (!matrix) return {out};
  return {out, name.find("ffn.down") != std::string::npos ? o.ffn : o.dim};
}

// Returns a tensor of the files, after checking its shape, without the positions that no token uses.
torch::Tensor take(WeightFiles& files, const PretrainedEncoder& encoder, const Source& source,
                   const std::string& name) {
  const torch::Tensor tensor = files.take(name);
  const std::vector<std::int64_t> expected = shape_of(encoder, source);
  if (tensor.sizes() != torch::IntArrayRef(expected))
    files.fail(name, fmt::format("has the shape [{}], but config.json implies [{}]", fmt::join(tensor.sizes(), ", "),
                                 fmt::join(expected, ", ")));
  const std::int64_t unused = source.ours == "embedding.positions" ? encoder.first_position : 0;
  return tensor.narrow(0, unused, expected[0] - unused);
}

std::string activation_name(Activation activation) {
  return std::string(std::ranges::find(kActivations, activation, &decltype(kActivations)::value_type::second)->first);
}

}  // namespace

std::vector<std::pair<std::string, std::string>> pretrained_options(const PretrainedEncoder& encoder) {
  const EncoderOptions& o = encoder.options;
  return {{"form", std::string(name_of(o.form))},
          {"layers", std::to_string(o.layers)},
          {"dim", std::to_string(o.dim)},
          {"heads", std::to_string(o.heads)},
          {"ffn", std::to_string(o.ffn)},
          {"positions", std::to_string(o.positions)},
          {"token_types", std::to_string(o.token_types)},
          {"norm_epsilon", fmt::format("{}", o.norm_epsilon)},
          {"activation", std::string(name_of(o.activation))}};
}

PretrainedEncoder read_pretrained(const fs::path& folder) {
  const ConfigFile config(folder);
  const std::string type = config.text("model_type", "");
  const auto family = std::ranges::find(kFamilies, type, &Family::type);
  if (family == kFamilies.end()) {
    std::vector<std::string_view> types;
    for (const Family& one : kFamilies) types.push_back(one.type);
    config.refuse(fmt::format("{}; the types that can be read are {}",
                              type.empty() ? "there is no model_type" : "the model_type is " + type,
                              fmt::join(types, ", ")));
  }
  if (const std::string kind = config.text("position_embedding_type", "absolute"); kind != "absolute")
    config.refuse(fmt::format("position_embedding_type is {}; only absolute positions can be read", kind));
  for (const char* key : {"is_decoder", "add_cross_attention"})
    if (config.boolean(key, false)) config.refuse(fmt::format("{} is true; only encoders can be read", key));
  constexpr std::int64_t kMost = 1'000'000;
  PretrainedEncoder encoder;
  encoder.model_type = type;
  EncoderOptions& options = encoder.options;
  options.form = EncoderForm::bert;
  options.layers = config.whole(family->layers, {}, 1, 10'000);
  options.dim = config.whole(family->dim, {}, 2, kMost);
  options.heads = config.whole(family->heads, {}, 1, kMost);
  options.ffn = config.whole(family->ffn, {}, 1, 10 * kMost);
  if (options.dim % options.heads != 0)
    config.fail(
        fmt::format("has {} = {}, which must divide {} = {}", family->heads, options.heads, family->dim, options.dim));
  if (!family->epsilon.empty()) options.norm_epsilon = config.number(family->epsilon, 1e-12, 0, 0.1);
  options.token_types = family->token_types.empty() ? 0 : config.whole(family->token_types, 2, 0, kMost);
  if (options.token_types > 2)
    config.refuse(fmt::format("{} is {}; at most 2 can be read", family->token_types, options.token_types));
  const std::string activation = config.text(family->activation, "gelu");
  const auto known = std::ranges::find(kActivations, activation, &decltype(kActivations)::value_type::first);
  if (known == kActivations.end()) {
    std::vector<std::string_view> names;
    for (const auto& [name, value] : kActivations) names.push_back(name);
    config.refuse(
        fmt::format("{} is {}; those that can be read are {}", family->activation, activation, fmt::join(names, ", ")));
  }
  options.activation = known->second;
  encoder.vocab_size = config.whole("vocab_size", {}, 1, 100 * kMost);
  const std::int64_t rows = config.whole("max_position_embeddings", 512, 1, kMost);
  if (family->positions_after_pad) encoder.first_position = 1 + config.whole("pad_token_id", 1, 0, kMost);
  options.positions = rows - encoder.first_position;
  if (options.positions < 1)
    config.fail(
        fmt::format("has max_position_embeddings = {} and pad_token_id = {}, which leave no position for a "
                    "token",
                    rows, encoder.first_position - 1));
  return encoder;
}

std::uint64_t check_pretrained(const fs::path& folder, const PretrainedEncoder& encoder) {
  WeightFiles files(folder);
  for (const Source& source : sources(family_of(encoder.model_type), encoder.options))
    for (const std::string& name : source.theirs) take(files, encoder, source, name);
  return files.hash();
}

LoadedTensors load_pretrained(const fs::path& folder, const PretrainedEncoder& encoder, const Arena& arena) {
  WeightFiles files(folder);
  std::map<std::string, const Parameter*> parameters;
  for (const Parameter& parameter : arena.parameters()) parameters[parameter.name] = &parameter;
  const torch::NoGradGuard guard;
  for (const Source& source : sources(family_of(encoder.model_type), encoder.options)) {
    const auto found = parameters.find(source.ours);
    if (found == parameters.end())
      throw Error(Exit::internal, fmt::format("the encoder has no tensor {}", source.ours));
    std::vector<torch::Tensor> parts;
    for (const std::string& name : source.theirs) parts.push_back(take(files, encoder, source, name));
    const torch::Tensor from = torch::cat(parts), to = found->second->tensor;
    to.copy_(from.narrow(0, 0, to.size(0)));  // a data set may use fewer pieces than the token table has
    parameters.erase(found);
  }
  LoadedTensors loaded{.unused = files.unused(), .fresh = {}};
  for (const auto& [name, parameter] : parameters) loaded.fresh.push_back(name);
  return loaded;
}

void write_pretrained(const fs::path& folder, const EncoderOptions& options, std::int64_t pad,
                      const std::map<std::string, torch::Tensor>& tensors) {
  EncoderOptions written = options;
  std::map<std::string, torch::Tensor> ours = tensors;
  if (options.token_types == 0) {
    written.token_types = 1;  // transformers' model has at least one
    ours["segment.weight"] = torch::zeros({1, options.dim});
  }
  std::map<std::string, torch::Tensor> theirs;
  for (const Source& source : sources(kBert, written)) {
    const auto parts = ours.at(source.ours).to(torch::kCPU, torch::kFloat32).chunk(std::ssize(source.theirs));
    for (std::size_t part = 0; part < parts.size(); ++part) theirs[source.theirs[part]] = parts[part].contiguous();
  }
  std::map<std::string, StoredTensor> stored;
  for (const auto& [name, tensor] : theirs)
    stored[name] = {
        "F32", tensor.sizes().vec(), {static_cast<const std::byte*>(tensor.const_data_ptr()), tensor.nbytes()}};
  write_safetensors(folder / "model.safetensors", stored, {{"format", "pt"}});
  const json config = {{"model_type", "bert"},
                       {"architectures", {"BertModel"}},
                       {"hidden_size", options.dim},
                       {"num_hidden_layers", options.layers},
                       {"num_attention_heads", options.heads},
                       {"intermediate_size", options.ffn},
                       {"hidden_act", activation_name(options.activation)},
                       {"layer_norm_eps", options.norm_epsilon},
                       {"type_vocab_size", written.token_types},
                       {"max_position_embeddings", options.positions},
                       {"position_embedding_type", "absolute"},
                       {"vocab_size", ours.at("embedding.weight").size(0)},
                       {"pad_token_id", pad},
                       {"hidden_dropout_prob", options.dropout},
                       {"attention_probs_dropout_prob", options.attention_dropout},
                       {"torch_dtype", "float32"}};
  write_file_atomically(folder / "config.json", config.dump(2) + "\n");
}

}  // namespace polyhead
