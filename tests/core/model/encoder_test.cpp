// The encoder of the form bert: its parameters, their initial values, and inputs that are too long. (tests/parity
// compares its results.)
#include "core/model/encoder.h"

#include <gtest/gtest.h>

#include <map>

#include "tests/core/expect_error.h"
#include "tests/core/small_model.h"

namespace polyhead {
namespace {

const EncoderOptions kBert{
    .form = EncoderForm::bert, .layers = 2, .dim = 48, .heads = 4, .ffn = 96, .positions = 20, .dropout = 0};

TEST(Bert, HasTheParametersOfBertModelAndItsStart) {
  // Those of BertModel: query, key and value in one; tasks.* is task attention's.
  std::map<std::string, std::vector<std::int64_t>> expected = {
      {"embedding.weight", {kVocabulary, 48}},  // word_embeddings
      {"embedding.positions", {20, 48}},        // position_embeddings
      {"segment.weight", {2, 48}},              // token_type_embeddings
      {"embedding.norm.weight", {48}},
      {"embedding.norm.bias", {48}},
  };
  for (const std::string layer : {"layers.0.", "layers.1."})
    expected.merge(std::map<std::string, std::vector<std::int64_t>>{
        {layer + "attention.qkv.weight", {144, 48}},  // attention.self
        {layer + "attention.qkv.bias", {144}},
        {layer + "attention.out.weight", {48, 48}},  // attention.output.dense
        {layer + "attention.out.bias", {48}},
        {layer + "attention.norm.weight", {48}},  // attention.output.LayerNorm
        {layer + "attention.norm.bias", {48}},
        {layer + "ffn.up.weight", {96, 48}},  // intermediate.dense
        {layer + "ffn.up.bias", {96}},
        {layer + "ffn.down.weight", {48, 96}},  // output.dense
        {layer + "ffn.down.bias", {48}},
        {layer + "ffn.norm.weight", {48}},  // output.LayerNorm
        {layer + "ffn.norm.bias", {48}},
    });
  Encoder encoder(kBert, {.mode = AttentionMode::mean}, kVocabulary, 3);
  encoder.arena().finish("encoder", 1, torch::kFloat64);
  std::map<std::string, std::vector<std::int64_t>> found;
  for (const Parameter& parameter : encoder.arena().parameters()) {
    found[parameter.name] = parameter.shape;
    const torch::Tensor values = parameter.tensor.detach();
    if (parameter.shape.size() == 2) {
      EXPECT_NEAR(values.std().item<double>(), 0.02, 0.002) << parameter.name;
      EXPECT_TRUE(parameter.decay) << parameter.name;
    } else {
      EXPECT_TRUE(values.eq(parameter.name.ends_with("norm.weight") ? 1 : 0).all().item<bool>()) << parameter.name;
    }
  }
  EXPECT_EQ(found, expected);
}

TEST(Bert, VectorsBecomeAsLargeAsTokens) {
  Encoder encoder(kBert, {.mode = AttentionMode::mean}, kVocabulary, 3, {.feature_widths = {400}});
  encoder.arena().finish("encoder", 1, torch::kFloat64);
  for (const Parameter& parameter : encoder.arena().parameters())
    if (parameter.name == "features.400.weight") {
      const torch::Tensor states = torch::matmul(torch::randn({100, 400}, torch::kFloat64), parameter.tensor.t());
      EXPECT_NEAR(states.detach().std().item<double>(), 0.02, 0.002);
      return;
    }
  FAIL() << "no projection";
}

TEST(Bert, AnInputBeyondItsPositionsIsAnError) {
  Encoder encoder(kBert, {.mode = AttentionMode::mean}, kVocabulary, 3);
  encoder.arena().finish("encoder", 1, torch::kFloat64);
  const auto forward = [&](std::vector<std::int64_t> offsets) {
    const Segments segments = Segments::from(std::move(offsets), torch::kCPU);
    Encoder::Input input;
    input.tokens = torch::full({segments.tokens()}, 5);
    return encoder.forward(input, segments, {}).states;
  };
  EXPECT_TRUE(forward({0, 3, 23}).isfinite().all().item<bool>());
  expect_error([&] { forward({0, 3, 24}); }, Exit::config, {"21 tokens", "20 positions", "encoder.positions"});
}

TEST(Bert, ATokensStateDependsOnItsPositionAndItsText) {
  Encoder encoder(kBert, {.mode = AttentionMode::mean}, kVocabulary, 3);
  encoder.arena().finish("encoder", 1, torch::kFloat64);
  const Segments segments = Segments::from({0, 4, 8}, torch::kCPU);
  Encoder::Input input;
  input.tokens = torch::full({8}, 5);
  const torch::Tensor plain = encoder.forward(input, segments, {}).states;
  EXPECT_TRUE(plain.narrow(0, 0, 4).allclose(plain.narrow(0, 4, 4)));
  EXPECT_FALSE(plain[0].allclose(plain[1], 1e-3));
  input.pair_rows = torch::tensor({4, 5, 6, 7}, torch::kInt64);
  input.second = torch::tensor({0, 0, 1, 1}, torch::kInt64);
  const torch::Tensor pair = encoder.forward(input, segments, {}).states;
  EXPECT_TRUE(pair.narrow(0, 0, 4).equal(plain.narrow(0, 0, 4)));
  EXPECT_FALSE(pair[6].allclose(plain[6], 1e-3));
}

}  // namespace
}  // namespace polyhead
