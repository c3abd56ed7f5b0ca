// Methods of sharing: which parts a task owns, initial values, costs, and errors. tests/python/training/parity_test.py
// compares them with their formulas; gradients are tested in gradients_test.cpp.
#include "core/model/block_extension.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

#include <fmt/format.h>

#include "tests/core/expect_error.h"
#include "tests/core/small_model.h"

namespace polyhead {
namespace {

SmallOptions shared_as(Sharing share, std::int64_t expert_layers = 2) {
  SmallOptions options;
  options.encoder.share = share;
  options.encoder.adapter_dim = 5;
  options.encoder.expert_layers = expert_layers;
  return options;
}

// With its starting values.
std::unique_ptr<Model> fresh_model(const SmallOptions& options) {
  auto model =
      std::make_unique<Model>(options.encoder, options.attention, kVocabulary, static_cast<std::int64_t>(kTasks),
                              InputOptions{.feature_widths = {3, 5}, .pairs = true});
  for (std::size_t task = 0; task < kTasks; ++task) model->add_head(task, make_head(small_spec(task, options)));
  model->finish(3, torch::kFloat64);
  return model;
}

std::map<std::string, torch::Tensor> values_of(const Arena& arena) {
  std::map<std::string, torch::Tensor> values;
  for (const Parameter& parameter : arena.parameters()) values[parameter.name] = parameter.tensor;
  return values;
}

// Names in `more` that are not in `less`, whose others start alike.
std::set<std::string> added(const Arena& more, const Arena& less) {
  std::set<std::string> names;
  const auto before = values_of(less);
  for (const auto& [name, value] : values_of(more)) {
    if (!before.contains(name))
      names.insert(name);
    else
      EXPECT_TRUE(value.equal(before.at(name))) << name;
  }
  return names;
}

TEST(Sharing, EachPartIsWithItsOwner) {
  const auto hard = fresh_model(shared_as(Sharing::hard));
  EXPECT_EQ(hard->head(0).encoder_parts(), nullptr);
  const auto names = [&](Sharing share) {
    const auto model = fresh_model(shared_as(share));
    const auto owned = added(model->head(3).arena(), hard->head(3).arena());  // a decoder has "layers" of its own
    EXPECT_EQ(added(model->head(8).arena(), hard->head(8).arena()), owned);
    return std::pair(added(model->encoder().arena(), hard->encoder().arena()), owned);
  };
  using Names = std::set<std::string>;
  const auto in_blocks = [](const Names& parts, const std::string& prefix) {
    Names out;
    for (const char* block : {"layers.0.", "layers.1."})
      for (const std::string& part : parts) out.insert(fmt::format("{}{}{}", prefix, block, part));
    return out;
  };
  const Names linear = {"norm.weight", "norm.bias", "down.weight", "down.bias", "up.weight", "up.bias"};
  const auto under = [](const std::string& part, const Names& names) {
    Names out;
    for (const std::string& name : names) out.insert(part + name);
    return out;
  };
  EXPECT_EQ(names(Sharing::adapters), std::pair(Names(), in_blocks(under("adapter.", linear), "encoder.")));
  EXPECT_EQ(names(Sharing::mtan), std::pair(Names(), in_blocks(under("mask.", linear), "encoder.")));
  const Names shared = in_blocks(under("experts.", linear), "");
  EXPECT_EQ(names(Sharing::mmoe), std::pair(shared, in_blocks({"gate"}, "encoder.")));
  Names with_gate = shared, own = {"gate"};
  with_gate.insert("layers.0.experts.gate");  // the shared path ends in the last block
  for (const char* part : {"down.weight", "down.bias", "up.weight", "up.bias"})
    own.insert(std::string("experts.") + part);
  EXPECT_EQ(names(Sharing::ple), std::pair(with_gate, in_blocks(own, "encoder.")));
  const Names updates = {"lora.query.a", "lora.query.b", "lora.value.a", "lora.value.b"};
  EXPECT_EQ(names(Sharing::lora), std::pair(in_blocks(updates, ""), Names()));
  EXPECT_EQ(names(Sharing::task_lora), std::pair(Names(), in_blocks(updates, "encoder.")));
}

class SharingIn : public ::testing::TestWithParam<EncoderForm> {};
INSTANTIATE_TEST_SUITE_P(Forms, SharingIn, ::testing::Values(EncoderForm::pre_norm, EncoderForm::bert));

TEST_P(SharingIn, AdaptersBeginAsOneTrunk) {
  const torch::NoGradGuard guard;
  const Batch batch = small_batch(2);
  const auto of = [](Sharing share) {
    SmallOptions options = shared_as(share);
    options.encoder.form = GetParam();
    return fresh_model(options);
  };
  const auto hard = of(Sharing::hard), adapters = of(Sharing::adapters);
  const auto expected = hard->forward(batch, true), found = adapters->forward(batch, true);
  for (std::size_t i = 0; i < kTasks; ++i) {
    EXPECT_TRUE(found[i].states.equal(expected[i].states));
    EXPECT_TRUE(found[i].task_weights.equal(expected[i].task_weights));
    EXPECT_TRUE(
        adapters->head(i).loss(found[i], batch.slices[i]).equal(hard->head(i).loss(expected[i], batch.slices[i])));
  }
  // And not for long.
  for (const Parameter& parameter : adapters->head(0).arena().parameters())
    if (parameter.name.find("adapter.up.weight") != std::string::npos) parameter.tensor.add_(0.1);
  const auto moved = adapters->forward(batch, true);
  EXPECT_FALSE(moved[0].states.equal(expected[0].states));
  EXPECT_TRUE(moved[1].states.equal(expected[1].states));
}

class SharingForms : public ::testing::TestWithParam<Sharing> {};
INSTANTIATE_TEST_SUITE_P(All, SharingForms,
                         ::testing::Values(Sharing::adapters, Sharing::mtan, Sharing::mmoe, Sharing::ple,
                                           Sharing::task_lora));

TEST_P(SharingForms, ATasksPartsLearnFromItsOwnSamplesOnly) {
  const auto model = small_model(shared_as(GetParam()), 8);
  const Batch batch = small_batch(8);
  const auto inputs = model->forward(batch, true);
  model->head(6).loss(inputs[6], batch.slices[6]).backward();
  for (const auto& [task, head] : model->heads())
    for (const Parameter& parameter : head->arena().parameters()) {
      if (!parameter.name.starts_with("encoder.")) continue;
      EXPECT_EQ(parameter.tensor.grad().abs().max().item<double>() > 0, task == 6) << task << " " << parameter.name;
    }
}

TEST_P(SharingForms, CostIsThatOfTheMatricesOfATask) {
  const SmallOptions options = shared_as(GetParam(), 1);  // without a shared path
  const auto model = fresh_model(options);
  double products = 0;
  for (const Parameter& parameter : model->head(0).arena().parameters())
    if (parameter.name.starts_with("encoder.") && parameter.shape.size() == 2 && !parameter.name.ends_with(".bias"))
      products += static_cast<double>(parameter.size());
  EXPECT_EQ(sharing_cost(options.encoder).multiplications, products);
  EXPECT_EQ(sharing_cost(EncoderOptions()).multiplications, 0);
  EXPECT_EQ(sharing_cost(shared_as(GetParam(), 2).encoder).multiplications > 2 * products, GetParam() == Sharing::ple);
}

TEST_P(SharingForms, EveryRowNeedsItsTask) {
  const SmallOptions options = shared_as(GetParam());
  Model model(options.encoder, options.attention, kVocabulary, static_cast<std::int64_t>(kTasks));
  model.add_head(0, make_head(small_spec(0, options)));
  model.finish(1, torch::kFloat64);
  const Batch batch = small_batch(1);
  EXPECT_NO_THROW(model.forward(only(batch, 0), true));
  expect_error([&] { model.forward(only(batch, 1), true); }, Exit::internal,
               {"task number 1", fmt::format("encoder.share = {}", name_of(GetParam()))});
  const Segments segments = Segments::from({0, 4}, torch::kCPU);
  const Encoder::Input input{
      .tokens = torch::full({4}, 7, torch::kInt64), .vectors = {}, .pair_rows = {}, .second = {}};
  expect_error([&] { model.encoder().forward(input, segments, {}); }, Exit::internal, {"0 of 4 rows"});
}

// The updates are those of the formula: a plain encoder with W + (alpha / r) B A has the same states.
TEST(Lora, EqualsAPlainEncoderWithMergedMatrices) {
  const torch::NoGradGuard guard;
  for (const Sharing share : {Sharing::lora, Sharing::task_lora})
    for (const EncoderForm form : {EncoderForm::pre_norm, EncoderForm::bert}) {
      SmallOptions options = shared_as(share);
      options.encoder.form = form;
      options.encoder.lora_rank = 3;
      options.encoder.lora_targets = {"key", "value", "out", "up", "down"};
      const auto model = small_model(options, 5);
      const Batch batch = small_batch(5);
      const auto found = model->forward(batch, false);
      const auto merge = [&](std::size_t task) {
        return model->encoder().plain_tensors(model->head(task).encoder_parts()).value();
      };
      SmallOptions plain_options = options;
      plain_options.encoder.share = Sharing::hard;
      const auto plain = small_model(plain_options, 6);
      for (const std::size_t task : {0, 3, 8}) {
        const auto tensors = merge(task);
        ASSERT_EQ(tensors.size(), plain->encoder().arena().parameters().size());
        for (const Parameter& parameter : plain->encoder().arena().parameters())
          parameter.tensor.copy_(tensors.at(parameter.name));
        const auto expected = plain->forward(only(batch, task), false);
        EXPECT_LT(relative_difference(found[task].states, expected[0].states), 1e-12) << task;
      }
      EXPECT_EQ(merge(0).at("layers.0.ffn.up.weight").equal(merge(3).at("layers.0.ffn.up.weight")),
                share == Sharing::lora);
      const Parameter* query = nullptr;  // it has no update
      for (const Parameter& parameter : model->encoder().arena().parameters())
        if (parameter.name == "layers.0.attention.qkv.weight") query = &parameter;
      EXPECT_TRUE(merge(0).at(query->name).narrow(0, 0, 16).equal(query->tensor.narrow(0, 0, 16)));
    }
}

TEST(Lora, OnlyUpdatesTaskAttentionAndInputsOfVectorsAreTrained) {
  for (const Sharing share : {Sharing::lora, Sharing::task_lora}) {
    const auto model = fresh_model(shared_as(share));
    for (const Parameter& parameter : model->encoder().arena().parameters()) {
      const std::string& name = parameter.name;
      const bool trained =
          name.find(".lora.") != std::string::npos || name.starts_with("tasks.") || name.starts_with("features.");
      EXPECT_EQ(parameter.trainable, trained) << name;
      EXPECT_EQ(parameter.tensor.requires_grad(), trained) << name;
    }
  }
  EXPECT_FALSE(fresh_model(shared_as(Sharing::task_lora))->encoder().plain_tensors(nullptr).has_value());
  EXPECT_FALSE(fresh_model(shared_as(Sharing::adapters))->encoder().plain_tensors(nullptr).has_value());
}

TEST(FrozenBlocks, AreTheLowerOnesAndTheEmbedding) {
  for (const EncoderForm form : {EncoderForm::pre_norm, EncoderForm::bert})
    for (const std::int64_t frozen : {0, 1, 2}) {
      SmallOptions options = shared_as(Sharing::hard);
      options.encoder.form = form;
      options.encoder.frozen_blocks = frozen;
      const auto model = fresh_model(options);
      for (const Parameter& parameter : model->encoder().arena().parameters()) {
        const std::string& name = parameter.name;
        const bool trained = name.starts_with("tasks.") || name.starts_with("features.") || frozen == 0 ||
                             (name.starts_with("layers.0.") && frozen < 1) ||
                             (name.starts_with("layers.1.") && frozen < 2) || (name.starts_with("norm.") && frozen < 2);
        EXPECT_EQ(parameter.trainable, trained) << frozen << " " << name;
      }
    }
  SmallOptions options;
  options.encoder.frozen_blocks = 3;
  expect_error([&] { check(options.encoder); }, Exit::config, {"frozen_blocks = 3", "layers = 2"});
}

TEST(Lora, WrongTargetsAreErrors) {
  for (const auto& [targets, says] :
       {std::pair(std::vector<std::string>{"querry"}, "'querry'"), std::pair(std::vector<std::string>{}, "is empty"),
        std::pair(std::vector<std::string>{"up", "up"}, "'up' twice")}) {
    SmallOptions options = shared_as(Sharing::lora);
    options.encoder.lora_targets = targets;
    expect_error([&] { check(options.encoder); }, Exit::config, {"encoder.lora_targets", says, "query, key"});
  }
  SmallOptions options = shared_as(Sharing::lora);
  options.encoder.frozen_blocks = 1;
  expect_error([&] { check(options.encoder); }, Exit::config, {"frozen_blocks = 1", "all blocks are frozen"});
}

// What one word keeps for backward: the inputs of matrices, norms, activations and products.
TEST(Sharing, KeptElementsAreThoseOfTheFormulas) {
  const auto kept = [](Sharing share) {
    return sharing_cost({.layers = 3, .dim = 16, .ffn = 24, .share = share, .adapter_dim = 5, .expert_layers = 2}).kept;
  };
  EXPECT_EQ(kept(Sharing::hard), 0);
  EXPECT_EQ(kept(Sharing::adapters), 3 * (2 * 16 + 2 * 5));
  EXPECT_EQ(kept(Sharing::mtan), 3 * (6 * 16 + 2 * 5));
  EXPECT_EQ(kept(Sharing::mmoe), 2 * (16 + 2 * 4 + 24));
  EXPECT_EQ(kept(Sharing::lora), 3 * 2 * (8 + 16));
  EXPECT_EQ(kept(Sharing::ple), 2 * (2 * 16 + 2 * (4 + 1) + 24 + 3 * 6) + 10 * 16 + 2 * 24 + 6);
}

// A method that triples what the linear layers of a block give, as LoRA adds to it.
struct Triple : BlockExtension {
  std::unique_ptr<TaskParts> add_task_parts(Arena& /*head*/) const override { return nullptr; }
  SharingCost cost() const override { return {}; }
  torch::Tensor linear(BlockLinear layer, const torch::Tensor& /*input*/, const torch::Tensor& value,
                       const BlockContext& context) const override {
    EXPECT_EQ(context.block, 7);
    seen.push_back(layer);
    return 3 * value;
  }
  mutable std::vector<BlockLinear> seen;
};

TEST(Sharing, AMethodCanChangeTheLinearLayersOfABlock) {
  Arena arena;
  SelfAttention attention(arena, "attention", 8, 2, {});
  FeedForward feed_forward(arena, "ffn", 8, 12, {});
  arena.finish("encoder", 1, torch::kFloat64);
  const torch::NoGradGuard guard;
  const torch::Tensor x = random_tensor({5, 8}, 1);
  const auto run = [&](const BlockExtension* extension) {
    const BlockContext context{.segments = Segments::from({0, 2, 5}, torch::kCPU),
                               .rotary = {},
                               .keys = {},
                               .block = 7,
                               .sites = {},
                               .tasks = {},
                               .extension = extension};
    return feed_forward(attention(x, context), context);
  };
  const Triple triple;
  const torch::Tensor found = run(&triple);
  using enum BlockLinear;
  EXPECT_EQ(triple.seen, (std::vector<BlockLinear>{qkv, attention_out, up, down}));
  EXPECT_FALSE(found.allclose(run(nullptr)));
  for (Linear* linear : {&attention.qkv, &attention.out, &feed_forward.up, &feed_forward.down})
    for (const Parameter* parameter : {linear->weight, linear->bias}) parameter->tensor.mul_(3);
  EXPECT_LT(relative_difference(found, run(nullptr)), 1e-12);
}

TEST(Sharing, OutOfRangeIsAnErrorOfAHeadToo) {
  SmallOptions options = shared_as(Sharing::mmoe);
  options.encoder.experts = 0;
  expect_error([&] { make_head(small_spec(0, options)); }, Exit::config, {"encoder.experts = 0"});
}

}  // namespace
}  // namespace polyhead
