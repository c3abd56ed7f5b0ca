// Encoders in the files of Hugging Face's transformers: what is written is read again, and damaged or foreign files are
// refused. (tests/python/training/pretrained_test.py compares with transformers.)
#include "core/exchange/hugging_face.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "core/base/files.h"
#include "core/base/safetensors.h"
#include "core/base/temporary_folder.h"
#include "core/model/encoder.h"
#include "tests/core/expect_error.h"
#include "tests/core/small_model.h"

namespace polyhead {
namespace {

using nlohmann::json;

const EncoderOptions kOptions{.form = EncoderForm::bert,
                              .layers = 2,
                              .dim = 48,
                              .heads = 4,
                              .ffn = 96,
                              .positions = 20,
                              .token_types = 1,
                              .norm_epsilon = 1e-5,
                              .activation = Activation::relu};

class HuggingFaceTest : public testing::Test {
 protected:
  HuggingFaceTest() : encoder_(kOptions, {}, kVocabulary, 3) {
    encoder_.arena().finish("encoder", 1, torch::kFloat32);
    const torch::NoGradGuard guard;
    for (const Parameter& parameter : encoder_.arena().parameters()) parameter.tensor.normal_();  // none is constant
    write_pretrained(folder_.path(), kOptions, 7, *encoder_.plain_tensors(nullptr));
    written_ = read_file(folder_.path() / "config.json");
  }

  void write(const char* name, const std::string& text) { write_file_atomically(folder_.path() / name, text); }
  // Writes config.json with some keys replaced, or removed where they are null.
  void configure(const json& changes) {
    json config = json::parse(written_);
    for (const auto& [key, value] : changes.items()) {
      config[key] = value;
      if (value.is_null()) config.erase(key);
    }
    write("config.json", config.dump());
  }
  void refuses(const json& changes, Exit code, std::initializer_list<std::string> words) {
    configure(changes);
    expect_error([&] { read_pretrained(folder_.path()); }, code, words);
  }
  void refuses_weights(Exit code, std::initializer_list<std::string> words) {
    expect_error([&] { check_pretrained(folder_.path(), read_pretrained(folder_.path())); }, code, words);
    Encoder other(kOptions, {}, kVocabulary, 3);
    other.arena().finish("encoder", 2, torch::kFloat32);
    expect_error([&] { load_pretrained(folder_.path(), read_pretrained(folder_.path()), other.arena()); }, code, words);
  }

  TemporaryFolder folder_{"exchange"};
  Encoder encoder_;
  std::string written_;  // config.json as it was at first
};

TEST_F(HuggingFaceTest, ReadsWhatItHasWritten) {
  const PretrainedEncoder found = read_pretrained(folder_.path());
  EXPECT_EQ(found.model_type, "bert");
  EXPECT_EQ(found.vocab_size, kVocabulary);
  EXPECT_EQ(found.first_position, 0);
  EXPECT_EQ(pretrained_options(found), pretrained_options({"bert", kOptions}));
  for (const torch::ScalarType type : {torch::kFloat32, torch::kFloat64}) {
    Encoder other(found.options, {}, kVocabulary - 5, 3);  // a data set may use fewer pieces
    other.arena().finish("encoder", 2, type);
    const LoadedTensors loaded = load_pretrained(folder_.path(), found, other.arena());
    EXPECT_EQ(loaded.unused, std::vector<std::string>{});
    EXPECT_EQ(loaded.fresh, (std::vector<std::string>{"tasks.importance", "tasks.key.weight", "tasks.queries"}));
    std::map<std::string, torch::Tensor> ours;
    for (const Parameter& parameter : encoder_.arena().parameters()) ours[parameter.name] = parameter.tensor;
    for (const Parameter& parameter : other.arena().parameters())
      if (!parameter.name.starts_with("tasks.")) {
        EXPECT_TRUE(
            parameter.tensor.to(torch::kFloat32).equal(ours.at(parameter.name).narrow(0, 0, parameter.shape[0])))
            << parameter.name;
      }
  }
}

TEST_F(HuggingFaceTest, TheHashIsThatOfTheWeights) {
  const auto hash_now = [&] { return check_pretrained(folder_.path(), read_pretrained(folder_.path())); };
  const std::uint64_t hash = hash_now();
  configure({{"hidden_dropout_prob", 0.5}});
  EXPECT_EQ(hash_now(), hash);
  const torch::NoGradGuard guard;
  encoder_.arena().parameters()[0].tensor[0].add_(1);
  write_pretrained(folder_.path(), kOptions, 7, *encoder_.plain_tensors(nullptr));
  EXPECT_NE(hash_now(), hash);
}

TEST_F(HuggingFaceTest, RefusesModelsThatItCannotCompute) {
  refuses({{"model_type", "gpt2"}}, Exit::config, {"config.json", "gpt2", "bert, distilbert, roberta, xlm-roberta"});
  refuses({{"model_type", nullptr}}, Exit::config, {"there is no model_type"});
  refuses({{"position_embedding_type", "relative_key"}}, Exit::config, {"relative_key", "absolute"});
  refuses({{"is_decoder", true}}, Exit::config, {"is_decoder"});
  refuses({{"hidden_act", "silu"}}, Exit::config, {"hidden_act is silu", "gelu_new"});
  refuses({{"type_vocab_size", 3}}, Exit::config, {"type_vocab_size is 3"});
}

TEST_F(HuggingFaceTest, RefusesDamagedConfigurations) {
  for (const json& value : {json(-1), json(0), json("12"), json(1e300), json(2.5), json::array(), json(1ULL << 63)})
    refuses({{"num_hidden_layers", value}}, Exit::data, {"config.json", "num_hidden_layers", value.dump()});
  refuses({{"hidden_size", nullptr}}, Exit::data, {"has no hidden_size"});
  refuses({{"num_attention_heads", 5}}, Exit::data, {"num_attention_heads = 5", "hidden_size = 48"});
  refuses({{"layer_norm_eps", "1e-5"}}, Exit::data, {"layer_norm_eps"});
  refuses({{"model_type", 1}}, Exit::data, {"model_type"});
  refuses({{"is_decoder", "yes"}}, Exit::data, {"is_decoder"});
  refuses({{"model_type", "roberta"}, {"pad_token_id", 30}}, Exit::data, {"leave no position"});
  write("config.json", "{\"hidden_size\": ");
  expect_error([&] { read_pretrained(folder_.path()); }, Exit::data, {"config.json", "is not JSON"});
  write("config.json", "[]");
  expect_error([&] { read_pretrained(folder_.path()); }, Exit::data, {"is not an object"});
  std::filesystem::remove(folder_.path() / "config.json");
  expect_error([&] { read_pretrained(folder_.path()); }, Exit::config, {"has no config.json", "save_pretrained"});
}

TEST_F(HuggingFaceTest, RefusesWeightsThatDoNotFit) {
  for (const auto& [key, tensor] :
       {std::pair("max_position_embeddings", "position_embeddings"), std::pair("vocab_size", "word_embeddings"),
        std::pair("intermediate_size", "encoder.layer.0.intermediate"), std::pair("hidden_size", "word_embeddings")}) {
    configure({{key, json::parse(written_).at(key).get<int>() * 2}});
    refuses_weights(Exit::data, {"model.safetensors", tensor, "config.json implies"});
  }
  configure({{"num_hidden_layers", 3}});
  expect_error([&] { check_pretrained(folder_.path(), read_pretrained(folder_.path())); }, Exit::data,
               {"model.safetensors", "encoder.layer.2.", "has no tensor"});
  configure({});
  const std::filesystem::path weights = folder_.path() / "model.safetensors";
  const std::string content = read_file(weights);
  write("model.safetensors", content.substr(0, content.size() - 1));
  refuses_weights(Exit::data, {"model.safetensors"});
  std::filesystem::remove(weights);
  refuses_weights(Exit::config, {"has no model.safetensors"});
  write("pytorch_model.bin", "");
  refuses_weights(Exit::config, {"pytorch_model.bin", "safe_serialization=True", folder_.path().string()});
  write("model.safetensors.index.json", R"({"weight_map": {"a": "../model.safetensors"}})");
  refuses_weights(Exit::data, {"index.json", "../model.safetensors"});
  write("model.safetensors.index.json", R"({"weight_map": {}})");
  refuses_weights(Exit::data, {"names no file"});
  write("model.safetensors.index.json", R"({"weights": 1})");
  refuses_weights(Exit::data, {"is not an index of tensors"});
}

}  // namespace
}  // namespace polyhead
