// AdamW against its formula in double, clipping, the schedule and the balancers.
#include <gtest/gtest.h>

#include <cmath>

#include "core/balancing/balancer.h"
#include "core/base/error.h"
#include "core/optimizer/adamw.h"
#include "expect_error.h"
#include "small_model.h"

namespace polyhead {
namespace {

TEST(AdamW, EqualsItsFormula) {
  OptimizerOptions options;
  options.weight_decay = 0.3;
  options.beta1 = 0.8;
  options.beta2 = 0.95;
  options.epsilon = 1e-3;
  Arena arena;
  const Parameter* decayed = arena.normal("weight", {3, 5}, 1, true);
  const Parameter* kept = arena.normal("queries", {2, 9}, 1, false);
  arena.finish("encoder", 1, torch::kFloat64);
  AdamW optimizer(arena);
  struct Plain {
    const Parameter* parameter;
    double decay;
    std::vector<double> value, mean, square;
  };
  std::vector<Plain> plain = {{decayed, 0.3, {}, {}, {}}, {kept, 0, {}, {}, {}}};
  for (Plain& p : plain) {
    const torch::Tensor value = p.parameter->tensor.detach().contiguous();
    p.value.assign(value.data_ptr<double>(), value.data_ptr<double>() + value.numel());
    p.mean.assign(p.value.size(), 0);
    p.square.assign(p.value.size(), 0);
  }
  for (int step = 1; step <= 5; ++step) {
    const double lr = 0.1 / step, scale = step % 2 == 0 ? 0.25 : 1;
    for (Plain& p : plain) {
      const torch::Tensor gradient =
          random_tensor(p.parameter->shape, 10 * static_cast<std::uint64_t>(step) + (p.decay > 0 ? 1 : 0));
      p.parameter->tensor.grad().copy_(gradient);
      for (std::size_t i = 0; i < p.value.size(); ++i) {
        const double g = scale * gradient.data_ptr<double>()[i];
        p.value[i] *= 1 - lr * p.decay;
        p.mean[i] = options.beta1 * p.mean[i] + (1 - options.beta1) * g;
        p.square[i] = options.beta2 * p.square[i] + (1 - options.beta2) * g * g;
        const double mean = p.mean[i] / (1 - std::pow(options.beta1, step)),
                     square = p.square[i] / (1 - std::pow(options.beta2, step));
        p.value[i] -= lr * mean / (std::sqrt(square) + options.epsilon);
      }
    }
    optimizer.step(arena, options, lr, scale);
    EXPECT_EQ(optimizer.steps, step);
    for (const Plain& p : plain)
      for (std::size_t i = 0; i < p.value.size(); ++i)
        EXPECT_NEAR(p.parameter->tensor.detach().data_ptr<double>()[i], p.value[i], 1e-13)
            << p.parameter->name << ", step " << step;
  }
}

TEST(AdamW, AnOwnerWithoutDecayedParametersIsUpdatedToo) {
  Arena arena;
  const Parameter* bias = arena.constant("bias", {3}, 1);
  arena.finish("head.a", 1, torch::kFloat32);
  AdamW optimizer(arena);
  arena.gradients().fill_(1);
  optimizer.step(arena, {}, 0.5, 1);
  EXPECT_NEAR(bias->tensor[0].item<double>(), 0.5, 1e-5);
}

TEST(AdamW, StepsAreTheOwnersOwn) {
  // The first step of an owner has the full bias correction, whatever others did before: |update| = lr.
  Arena a, b;
  a.constant("bias", {1}, 0);
  const Parameter* late = b.constant("bias", {1}, 0);
  a.finish("head.a", 1, torch::kFloat64);
  b.finish("head.b", 1, torch::kFloat64);
  AdamW first(a), second(b);
  a.gradients().fill_(3);
  b.gradients().fill_(3);
  for (int step = 0; step < 4; ++step) first.step(a, {}, 0.1, 1);
  EXPECT_EQ(second.steps, 0);
  EXPECT_EQ(late->tensor.item<double>(), 0);
  second.step(b, {}, 0.1, 1);
  EXPECT_NEAR(late->tensor.item<double>(), -0.1, 1e-8);
}

TEST(Clip, ScalesToTheBound) {
  EXPECT_EQ(clip_scale(0.5, 1), 1);
  EXPECT_EQ(clip_scale(1, 1), 1);
  EXPECT_EQ(clip_scale(4, 1), 0.25);
  EXPECT_EQ(clip_scale(4, 0), 1);  // no bound
  EXPECT_EQ(clip_scale(0, 1), 1);
}

TEST(LearningRate, WarmsUpAndFallsToNothing) {
  OptimizerOptions options;
  options.lr = 2;
  options.warmup = 10;
  EXPECT_DOUBLE_EQ(learning_rate(options, 1, 110), 0.2);
  EXPECT_DOUBLE_EQ(learning_rate(options, 5, 110), 1);
  EXPECT_DOUBLE_EQ(learning_rate(options, 10, 110), 2);
  EXPECT_DOUBLE_EQ(learning_rate(options, 11, 110), 2);
  EXPECT_NEAR(learning_rate(options, 61, 110), 1, 1e-12);  // half of the cosine
  EXPECT_GT(learning_rate(options, 110, 110), 0);          // the last step still learns
  EXPECT_LT(learning_rate(options, 110, 110), 2e-3);
  EXPECT_NEAR(learning_rate(options, 111, 110), 0, 1e-15);
  EXPECT_NEAR(learning_rate(options, 500, 110), 0, 1e-15);
  for (std::int64_t step = 12; step <= 110; ++step)
    EXPECT_LT(learning_rate(options, step, 110), learning_rate(options, step - 1, 110));
  options.warmup = 0;
  EXPECT_DOUBLE_EQ(learning_rate(options, 1, 100), 2);
  options.warmup = 50;  // longer than the run
  EXPECT_DOUBLE_EQ(learning_rate(options, 20, 20), 0.8);
}

TEST(OptimizerOptions, OutOfRangeIsAnError) {
  EXPECT_NO_THROW(check(OptimizerOptions()));
  const auto with = [](auto change) {
    OptimizerOptions options;
    change(options);
    return [options] { check(options); };
  };
  using O = OptimizerOptions;
  expect_error(with([](O& o) { o.lr = 0; }), Exit::config, {"optimizer.lr = 0", "above 0"});
  expect_error(with([](O& o) { o.lr = std::numeric_limits<double>::infinity(); }), Exit::config, {"optimizer.lr"});
  expect_error(with([](O& o) { o.lr = std::nan(""); }), Exit::config, {"optimizer.lr"});
  expect_error(with([](O& o) { o.warmup = -1; }), Exit::config, {"optimizer.warmup = -1", "at least 0"});
  expect_error(with([](O& o) { o.weight_decay = -0.1; }), Exit::config, {"optimizer.weight_decay = -0.1"});
  expect_error(with([](O& o) { o.beta1 = 1; }), Exit::config, {"optimizer.beta1 = 1", "[0, 1)"});
  expect_error(with([](O& o) { o.beta2 = -0.5; }), Exit::config, {"optimizer.beta2 = -0.5", "[0, 1)"});
  expect_error(with([](O& o) { o.epsilon = 0; }), Exit::config, {"optimizer.epsilon = 0"});
  expect_error(with([](O& o) { o.clip = -1; }), Exit::config, {"optimizer.clip = -1", "no bound"});
  expect_error(with([](O& o) { o.head_clip = -1; }), Exit::config, {"optimizer.head_clip = -1"});
}

TEST(Balancer, EqualSharesAmongActiveTasks) {
  const auto balance = find_balancer("equal");
  EXPECT_EQ(balance({.active = {true, false, true, true}, .static_weight = {1, 1, 5, 1}}),
            (std::vector<double>{1.0 / 3, 0, 1.0 / 3, 1.0 / 3}));
  EXPECT_EQ(balance({.active = {false, false}, .static_weight = {1, 1}}), (std::vector<double>{0, 0}));
}

TEST(Balancer, StaticSharesByWeight) {
  const auto balance = find_balancer("static");
  EXPECT_EQ(balance({.active = {true, false, true}, .static_weight = {1, 7, 3}}), (std::vector<double>{0.25, 0, 0.75}));
  EXPECT_EQ(balance({.active = {true, true}, .static_weight = {0, 0}}), (std::vector<double>{0, 0}));
  EXPECT_EQ(balance({.active = {false}, .static_weight = {2}}), (std::vector<double>{0}));
}

TEST(Balancer, AnUnknownNameIsAnErrorThatNamesThoseThereAre) {
  expect_error([] { find_balancer("equals"); }, Exit::config, {"balance.method = equals", "equal, static"});
}

}  // namespace
}  // namespace polyhead
