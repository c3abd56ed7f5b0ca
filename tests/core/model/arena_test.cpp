// The flat arena: views, layout, initial values, hash, norms.
#include "core/model/arena.h"

#include <gtest/gtest.h>
#include <xxhash.h>

#include <cmath>
#include <stdexcept>

#include "core/optimizer/adamw.h"
#include "tests/core/small_model.h"

namespace polyhead {
namespace {

// Sizes that need padding, decayed and not in mixed order.
void fill(Arena& arena) {
  arena.constant("norm.weight", {5}, 1.5);
  arena.normal("b.weight", {3, 7}, 0.5, true);
  arena.normal("queries", {2, 3, 4}, 2, false);
  arena.normal("a.weight", {40, 50}, 0.1, true);
}

const Parameter& named(const Arena& arena, const std::string& name) {
  for (const Parameter& parameter : arena.parameters())
    if (parameter.name == name) return parameter;
  throw std::logic_error("no parameter " + name);
}

TEST(Arena, LaysOutDecayedFirstAndAligned) {
  Arena arena;
  fill(arena);
  const std::int64_t elements = arena.layout();
  arena.finish("encoder", 1, torch::kFloat32);
  EXPECT_EQ(elements, 32 + 2000 + 16 + 32);
  EXPECT_EQ(arena.values().numel(), elements);
  EXPECT_EQ(arena.gradients().numel(), elements);
  EXPECT_EQ(arena.parameter_count(), 5 + 21 + 24 + 2000);
  std::vector<bool> taken(static_cast<std::size_t>(elements));
  for (const Parameter& parameter : arena.parameters()) {
    EXPECT_EQ(parameter.offset % 16, 0) << parameter.name;
    EXPECT_EQ(parameter.decay, parameter.offset < 32 + 2000) << parameter.name;
    for (std::int64_t i = parameter.offset; i < parameter.offset + parameter.size(); ++i) {
      EXPECT_FALSE(taken[static_cast<std::size_t>(i)]) << parameter.name;
      taken[static_cast<std::size_t>(i)] = true;
    }
  }
}

TEST(Arena, ParametersAndGradientsAreViews) {
  Arena arena;
  fill(arena);
  arena.finish("encoder", 1, torch::kFloat64);
  const Parameter& parameter = named(arena, "b.weight");
  EXPECT_TRUE(parameter.tensor.is_leaf());
  EXPECT_TRUE(parameter.tensor.requires_grad());
  arena.values()[parameter.offset + 8].fill_(42);
  EXPECT_EQ(parameter.tensor[1][1].item<double>(), 42);

  // Two backward passes add up, in place, at the parameter's part of the buffer and nowhere else.
  for (int pass = 0; pass < 2; ++pass) (parameter.tensor * 3).sum().backward();
  arena.check_gradients();
  EXPECT_TRUE(arena.gradients().narrow(0, parameter.offset, 21).eq(6).all().item<bool>());
  EXPECT_EQ(arena.gradients().sum().item<double>(), 6 * 21);
  arena.gradients().zero_();
  EXPECT_EQ(parameter.tensor.grad().abs().max().item<double>(), 0);
}

TEST(Arena, GradientsMayLieInGivenMemory) {
  Arena arena;
  fill(arena);
  std::vector<double> memory(static_cast<std::size_t>(arena.layout()), 7);
  arena.finish("encoder", 1, torch::kFloat64, memory.data());
  EXPECT_EQ(memory[0], 0);
  const Parameter& parameter = named(arena, "norm.weight");
  (parameter.tensor * 2).sum().backward();
  arena.check_gradients();
  EXPECT_EQ(memory[static_cast<std::size_t>(parameter.offset) + 4], 2);
  EXPECT_EQ(memory[static_cast<std::size_t>(parameter.offset) + 5], 0);
}

TEST(Arena, GradientsMoveToAnotherBuffer) {
  Arena arena;
  fill(arena);
  arena.finish("encoder", 1, torch::kFloat64);
  const Parameter& parameter = named(arena, "norm.weight");
  const auto backward = [&](double factor) { (parameter.tensor * factor).sum().backward(); };
  const torch::Tensor first = arena.gradients(), second = torch::zeros_like(first);
  backward(2);
  arena.bind_gradients(second);
  backward(3);
  arena.check_gradients();
  arena.bind_gradients(first);
  backward(4);
  EXPECT_EQ(first[parameter.offset].item<double>(), 6);
  EXPECT_EQ(second[parameter.offset].item<double>(), 3);
  EXPECT_EQ(arena.gradients().data_ptr(), first.data_ptr());
  EXPECT_THROW(arena.bind_gradients(torch::zeros({3}, torch::kFloat64)), std::logic_error);
  EXPECT_THROW(arena.bind_gradients(torch::zeros_like(first, torch::kFloat32)), std::logic_error);
}

TEST(Arena, FrozenParametersHaveNoGradientAndAreNotUpdated) {
  Arena arena;
  Parameter* const frozen = arena.normal("frozen", {40}, 1, true);
  Parameter* const free = arena.normal("free", {40}, 1, true);
  frozen->trainable = false;
  arena.finish("encoder", 1, torch::kFloat64);
  EXPECT_FALSE(frozen->tensor.requires_grad());
  const torch::Tensor before = arena.values().clone();
  (frozen->tensor * free->tensor).sum().backward();
  arena.check_gradients();
  AdamW optimizer(arena);
  optimizer.step(arena, {}, 0.1, 1);
  const auto moved = [&](const Parameter& parameter) {
    return (arena.values() - before).narrow(0, parameter.offset, parameter.size()).abs().max().item<double>();
  };
  EXPECT_EQ(moved(*frozen), 0);
  EXPECT_GT(moved(*free), 0.05);
}

TEST(Arena, AnnouncesParametersToOneListener) {
  Arena arena;
  fill(arena);
  std::vector<std::size_t> seen;
  arena.announce(1);
  arena.on_complete([&](std::size_t parameter) { seen.push_back(parameter); });
  arena.announce(2);
  arena.announce(0);
  arena.on_complete({});
  arena.announce(1);
  EXPECT_EQ(seen, (std::vector<std::size_t>{2, 0}));
}

TEST(Arena, GradientsThatLeftAreFound) {
  Arena arena;
  fill(arena);
  arena.finish("encoder", 1, torch::kFloat64);
  EXPECT_NO_THROW(arena.check_gradients());
  const Parameter& parameter = named(arena, "queries");
  const torch::Tensor inside = parameter.tensor.grad();
  parameter.tensor.mutable_grad() = torch::zeros({2, 3, 4}, torch::kFloat64);
  EXPECT_THROW(arena.check_gradients(), std::logic_error);
  parameter.tensor.mutable_grad() = torch::Tensor();
  EXPECT_THROW(arena.check_gradients(), std::logic_error);
  parameter.tensor.mutable_grad() = inside;
  EXPECT_NO_THROW(arena.check_gradients());
  // A graph of the gradient makes autograd add out of place.
  parameter.tensor.square().sum().backward({}, std::nullopt, /*create_graph=*/true);
  EXPECT_THROW(arena.check_gradients(), std::logic_error);
  parameter.tensor.mutable_grad() = inside;
}

TEST(Arena, NamesTwiceOrLateAreErrors) {
  Arena arena;
  fill(arena);
  EXPECT_THROW(arena.constant("queries", {1}, 0), std::logic_error);
  EXPECT_THROW(arena.normal("norm.weight", {5}, 1, true), std::logic_error);
  arena.finish("encoder", 1, torch::kFloat32);
  EXPECT_THROW(arena.constant("late", {1}, 0), std::logic_error);
}

TEST(Arena, StartingValuesDependOnSeedOwnerAndNameAlone) {
  const auto start = [](const std::string& owner, std::uint64_t seed, const std::string& name, bool other_first) {
    Arena arena;
    if (other_first) arena.normal("other", {9, 9}, 1, true);
    const Parameter* parameter = arena.normal(name, {20, 50}, 0.1, true);
    arena.finish(owner, seed, torch::kFloat64);
    return parameter->tensor.detach();
  };
  const torch::Tensor first = start("encoder", 1, "weight", false);
  EXPECT_TRUE(first.equal(start("encoder", 1, "weight", true)));
  EXPECT_FALSE(first.equal(start("encoder", 2, "weight", false)));
  EXPECT_FALSE(first.equal(start("head.a", 1, "weight", false)));
  EXPECT_FALSE(first.equal(start("encoder", 1, "other weight", false)));
  EXPECT_NEAR(first.mean().item<double>(), 0, 5 * 0.1 / std::sqrt(1000.0));
  EXPECT_NEAR(first.std().item<double>(), 0.1, 0.01);
  EXPECT_NEAR(first.abs().lt(0.1).to(torch::kFloat64).mean().item<double>(), 0.683, 0.06);
  Arena arena;
  fill(arena);
  arena.finish("encoder", 1, torch::kFloat32);
  EXPECT_TRUE(named(arena, "norm.weight").tensor.eq(1.5).all().item<bool>());
}

TEST(Arena, HashIsThatOfTheValuesByNameWithoutPadding) {
  Arena arena;
  fill(arena);
  arena.finish("encoder", 1, torch::kFloat32);
  const std::uint64_t before = arena.hash();
  std::string bytes;
  for (const char* name : {"a.weight", "b.weight", "norm.weight", "queries"}) {
    const torch::Tensor values = named(arena, name).tensor.detach();
    bytes.append(static_cast<const char*>(values.data_ptr()), static_cast<std::size_t>(values.numel()) * sizeof(float));
  }
  EXPECT_EQ(before, XXH3_64bits(bytes.data(), bytes.size()));
  const Parameter& parameter = named(arena, "b.weight");
  arena.values()[parameter.offset + parameter.size()].fill_(1);
  EXPECT_EQ(arena.hash(), before);
  arena.values()[parameter.offset + parameter.size() - 1].add_(1);
  EXPECT_NE(arena.hash(), before);
}

TEST(FlatNorm, AccumulatesInDouble) {
  for (const std::int64_t size : {0, 1, 7, 8, 13, 1000003}) {
    const torch::Tensor flat = random_tensor({size}, 3).to(torch::kFloat32);
    long double sum = 0;
    for (std::int64_t i = 0; i < size; ++i)
      sum += static_cast<long double>(flat.data_ptr<float>()[i]) * flat.data_ptr<float>()[i];
    const double expected = static_cast<double>(std::sqrt(sum));
    EXPECT_NEAR(flat_norm(flat), expected, 1e-12 * expected) << size;
    EXPECT_NEAR(flat_norm(flat.to(torch::kFloat64)), expected, 1e-12 * expected) << size;
  }
  // One large value and many small ones, which a float sum would lose.
  torch::Tensor flat = torch::full({1 << 20}, 1e-4, torch::kFloat32);
  flat[0].fill_(1000);
  EXPECT_GT(flat_norm(flat), 1000);
  flat[5].fill_(std::nan(""));
  EXPECT_TRUE(std::isnan(flat_norm(flat)));
}

}  // namespace
}  // namespace polyhead
