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

}  // namespace
}  // namespace polyhead
