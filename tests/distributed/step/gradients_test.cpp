// The two ways in which gradients are summed over workers, against sums that are computed directly.
#include "distributed/step/gradients.h"

#include <gtest/gtest.h>

#include <numeric>

#include "distributed/step/micro_batch.h"
#include "tests/core/small_model.h"
#include "tests/distributed/world.h"

namespace polyhead {
namespace {

const std::vector<std::string> kNames = {"a", "b", "c", "d", "e", "f", "g", "h", "i"};

// Every worker holds every head.
std::vector<std::unique_ptr<Communicator>> groups_of_all() {
  std::vector<std::unique_ptr<Communicator>> groups;
  for (const std::string& name : kNames) groups.push_back(world().split("group." + name, 0));
  return groups;
}

// One micro-batch per task, as run.reproducible = world has them.
std::vector<Batch> micro_batches() {
  const Batch all = small_batch(static_cast<std::uint64_t>(world().rank()) + 5);
  std::vector<Batch> batches;
  for (std::size_t slice = 0; slice < all.slices.size(); ++slice) {
    batches.push_back(only(all, slice));
    batches.back().slices.front().count = all.slices[slice].count;
  }
  return batches;
}

void run_step(Gradients& gradients, const Model& model, StepRecord& step) {
  const std::vector<Batch> batches = micro_batches();
  for (const Batch& batch : batches) step.count(batch);
  step.samples.assign(kTasks, 3 * world().size());
  step.reduce_counts(world());
  const LossOptions options{std::vector<double>(kTasks, 1.0 / kTasks), 0};
  gradients.begin(step);
  for (const Batch& batch : batches) {
    const MicroBatchLoss loss = micro_batch_loss(model, batch, {}, 0, step);
    gradients.before_backward(batch, &batch == &batches.back());
    if (const torch::Tensor total = loss.total(options, step); total.defined()) total.backward();
    EXPECT_TRUE(gradients.after_backward(batch));
    add_losses(loss, gradients, step);
  }
  gradients.finish(step);
  step.reduce_outcome(world());
}

TEST(Gradients, BothWaysGiveTheSumOverWorkers) {
  const auto groups = groups_of_all();
  // By hand: each micro-batch's gradients, summed over workers with a plain all-reduce.
  const auto by_hand = small_model({}, 1);
  StepRecord counts(kTasks, false);
  for (const Batch& batch : micro_batches()) counts.count(batch);
  counts.reduce_counts(world());
  for (const Batch& batch : micro_batches()) {
    const LossOptions options{std::vector<double>(kTasks, 1.0 / kTasks), 0};
    const torch::Tensor total = micro_batch_loss(*by_hand, batch, {}, 0, counts).total(options, counts);
    if (total.defined()) total.backward();  // a sample may have no masked token
  }
  const auto sum = [](const Arena& arena) {
    torch::Tensor all = arena.gradients().clone();
    world().all_reduce("expected", all.data_ptr(), static_cast<std::size_t>(all.numel()), DType::f64, Reduce::sum);
    return all;
  };
  const torch::Tensor encoder = sum(by_hand->encoder().arena());
  std::map<std::size_t, torch::Tensor> heads;
  for (const auto& [task, head] : by_hand->heads()) heads[task] = sum(head->arena());

  for (const bool exact : {false, true}) {
    SCOPED_TRACE(exact);
    const auto model = small_model({}, 1);
    const GradientScope scope{*model, world(), groups, kNames};
    const auto gradients = exact ? make_exact_gradients(scope, 3) : make_bucketed_gradients(scope);
    for (int round = 0; round < 2; ++round) {  // the second step begins from zero
      StepRecord step(kTasks, false);
      run_step(*gradients, *model, step);
      EXPECT_LT(relative_difference(model->encoder().arena().gradients(), encoder), 1e-9);
      for (const auto& [task, head] : model->heads())
        EXPECT_LT(relative_difference(head->arena().gradients(), heads.at(task)), 1e-9) << task;
      for (std::size_t task = 0; task < kTasks; ++task) EXPECT_GT(std::abs(step.loss[task]), 0);
    }
    EXPECT_EQ(gradients->limit().empty(), !exact);
  }
}

TEST(Gradients, ExactOnesRefuseWhatCannotBeAdded) {
  const auto groups = groups_of_all();
  const auto model = small_model({}, 1);
  const auto gradients = make_exact_gradients({*model, world(), groups, kNames}, 3);
  StepRecord step(kTasks, false);
  step.samples.assign(kTasks, 3);
  gradients->begin(step);
  const Batch batch = micro_batches().front();
  for (const double value : {5000.0, std::nan("")}) {
    model->encoder().arena().gradients()[0] = value;
    EXPECT_FALSE(gradients->after_backward(batch));
    gradients->begin(step);
  }
  EXPECT_EQ(gradients->rounded(0.1), std::nearbyint(0.1 * (1 << 30)) / (1 << 30));
}

}  // namespace
}  // namespace polyhead
