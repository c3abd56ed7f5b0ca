// The optimizers of the encoder and the heads: own values of heads, and an encoder that is frozen at first.
#include "distributed/step/optimizers.h"

#include <gtest/gtest.h>

#include "tests/core/small_model.h"
#include "tests/distributed/world.h"

namespace polyhead {
namespace {

TrainOptions some_options() {
  TrainOptions options;
  options.steps = 10;
  for (std::size_t task = 0; task < kTasks; ++task) {
    options.tasks.push_back(std::to_string(task));
    options.task_options[options.tasks.back()] = {};
  }
  return options;
}

TEST(Optimizers, AHeadHasTheEncodersValuesUnlessItHasItsOwn) {
  TrainOptions options = some_options();
  TaskOptions& own = options.task_options["1"];
  own.lr = 0.25;
  own.warmup = 0;
  const OptimizerOptions plain = head_optimizer(options, 0), head = head_optimizer(options, 1);
  EXPECT_EQ(plain.lr, options.optimizer.lr);
  EXPECT_EQ(plain.warmup, options.optimizer.warmup);
  EXPECT_EQ(plain.weight_decay, options.optimizer.weight_decay);
  EXPECT_EQ(head.lr, 0.25);
  EXPECT_EQ(head.warmup, 0);
  EXPECT_EQ(head.weight_decay, options.optimizer.weight_decay);
  own.weight_decay = 0.5;
  EXPECT_EQ(head_optimizer(options, 1).weight_decay, 0.5);
}

TEST(Optimizers, AFrozenEncoderKeepsItsValuesAndCountsNoSteps) {
  TrainOptions options = some_options();
  options.freeze_encoder = 2;
  options.optimizer.ema = 0.9;
  const auto model = small_model({}, 1);
  Optimizers optimizers(*model, options.optimizer);
  const Arena& encoder = model->encoder().arena();
  const torch::Tensor before = encoder.values().clone(), head = model->head(0).arena().values().clone();
  for (std::int64_t step = 1; step <= 3; ++step) {
    encoder.gradients().fill_(1);
    model->head(0).arena().gradients().fill_(1);
    optimizers.update(*model, {.encoder = 1, .heads = {{0, 1}}}, options, step, world());
    EXPECT_EQ(encoder_frozen(options, step), step <= 2);
    EXPECT_EQ(torch::equal(encoder.values(), before), step <= 2);
    EXPECT_EQ(optimizers.encoder.steps, step <= 2 ? 0 : 1);
    EXPECT_EQ(optimizers.heads.at(0).steps, step);
  }
  EXPECT_FALSE(torch::equal(model->head(0).arena().values(), head));
  EXPECT_EQ(optimizers.heads.at(1).steps, 0);
}

TEST(Optimizers, WithoutGradientsOfTheEncoderThoseOfHeadsAreTheSame) {
  const auto model = small_model({}, 1);
  const Batch batch = small_batch(2);
  const Arena& encoder = model->encoder().arena();
  const auto gradients = [&](bool required) {
    require_gradients(encoder, required);
    encoder.gradients().zero_();
    torch::Tensor total, all;
    for (const auto& [task, head] : model->heads()) head->arena().gradients().zero_();
    const std::vector<HeadInput> inputs = model->forward(batch, true);
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      const torch::Tensor loss = model->head(i).loss(inputs[i], batch.slices[i]);
      total = total.defined() ? total + loss : loss;
    }
    total.backward();
    encoder.check_gradients();
    for (const auto& [task, head] : model->heads()) {
      const torch::Tensor one = head->arena().gradients().clone();
      all = all.defined() ? torch::cat({all, one}) : one;
    }
    return all;
  };
  const torch::Tensor trained = gradients(true);
  EXPECT_GT(flat_norm(encoder.gradients()), 0);
  EXPECT_TRUE(torch::equal(gradients(false), trained));
  EXPECT_EQ(flat_norm(encoder.gradients()), 0);
  EXPECT_TRUE(torch::equal(gradients(true), trained));
  EXPECT_GT(flat_norm(encoder.gradients()), 0);
}

}  // namespace
}  // namespace polyhead
