// One gradient for each task, combined over any number of workers and any placement of the tasks: against a result that
// every worker computes by itself from the samples of all workers, with formulas of its own.
#include <gtest/gtest.h>

#include <fmt/format.h>

#include <cmath>
#include <numeric>

#include "distributed/planning/surgery_cost.h"
#include "distributed/step/gradients.h"
#include "distributed/step/micro_batch.h"
#include "distributed/step/sharding.h"
#include "distributed/step/slice_transpose.h"
#include "tests/core/small_model.h"
#include "tests/distributed/world.h"

namespace polyhead {
namespace {

using torch::Tensor;
using Groups = std::vector<std::vector<int>>;  // [tasks] ranks

const std::vector<std::string> kNames = {"a", "b", "c", "d", "e", "f", "g", "h", "i"};
constexpr std::size_t kInactive = 4;  // a task without samples

// Placements of the tasks: all on every worker, each on one worker, groups of unequal size, all on the last worker.
std::map<std::string, Groups> placements() {
  const int workers = world().size();
  std::vector<int> everybody(static_cast<std::size_t>(workers));
  std::iota(everybody.begin(), everybody.end(), 0);
  std::map<std::string, Groups> all;
  for (std::size_t task = 0; task < kTasks; ++task) {
    const int mine = static_cast<int>(task) % workers;
    all["everywhere"].push_back(everybody);
    all["apart"].push_back({mine});
    all["uneven"].push_back({everybody.begin(), everybody.begin() + mine + 1});
    all["last"].push_back({workers - 1});
  }
  return all;
}

bool holds(const Groups& groups, std::size_t task, int rank) {
  return std::ranges::count(groups[task], rank) > 0;
}

// The samples of one task that a worker trains on in a step.
Batch samples_of(std::size_t task, int rank, std::int64_t step) {
  const Batch all = small_batch(static_cast<std::uint64_t>(rank) + 100 * static_cast<std::uint64_t>(step));
  Batch batch = only(all, task);
  batch.slices.front().count = all.slices[task].count;
  return batch;
}

TrainOptions options_of(const std::string& method, const SurgeryOptions& surgery) {
  TrainOptions options;
  options.tasks = kNames;
  for (const std::string& name : kNames) options.task_options[name];
  options.balancer.method = method;
  options.surgery = surgery;
  return options;
}

// Surgery on this worker, with its part of the model.
struct Worker {
  Worker(const TrainOptions& options, const Groups& groups, bool sharded, bool window)
      : options(options), groups(groups), balance(this->options) {
    std::vector<std::size_t> held;
    for (std::size_t task = 0; task < kTasks; ++task) {
      const bool mine = holds(groups, task, world().rank());
      if (mine) held.push_back(task);
      communicators.push_back(world().split("group." + kNames[task], mine ? 0 : -1));
    }
    model = small_model({}, 1, held);
    Arena& arena = model->encoder().arena();
    if (window) {
      const Tensor values = arena.values();
      memory = world().allocate("gradients", gradient_tensors(held.size()) * static_cast<std::size_t>(values.nbytes()));
      arena.bind_gradients(torch::from_blob(memory->data(), values.sizes(), values.options()));
    }
    gradients = make_surgery({*model, world(), communicators, kNames},
                             {balance, groups, options.surgery, sharded, memory.get()});
  }

  StepRecord step(std::int64_t number) {
    StepRecord record(kTasks, false);
    record.number = number;
    std::vector<Batch> batches;
    for (std::size_t task = 0; task < kTasks; ++task)
      if (task != kInactive && holds(groups, task, world().rank()))
        batches.push_back(samples_of(task, world().rank(), number));
    for (const Batch& batch : batches) record.count(batch);
    record.reduce_counts(world());
    const LossOptions loss{balance.loss_weights(record), 0};
    gradients->begin(record);
    for (const Batch& batch : batches) {
      const MicroBatchLoss forward = micro_batch_loss(*model, batch, {}, 0, record);
      gradients->before_backward(batch, &batch == &batches.back());
      if (const Tensor total = forward.total(loss, record); total.defined()) total.backward();
      EXPECT_TRUE(gradients->after_backward(batch));
      add_losses(forward, *gradients, record);
    }
    gradients->finish(record);
    model->encoder().arena().check_gradients();
    record.reduce_outcome(world());
    balance.store(record);
    return record;
  }

  TrainOptions options;
  Groups groups;
  Balance balance;
  std::vector<std::unique_ptr<Communicator>> communicators;
  std::unique_ptr<SharedBuffer> memory;
  std::unique_ptr<Model> model;
  std::unique_ptr<Gradients> gradients;
};

// The gradients of the mean losses, computed by one process.
struct Reference {
  Tensor encoder;  // [tasks, elements]
  std::map<std::size_t, Tensor> heads;
  std::vector<double> loss;  // [tasks]
};

Reference reference_of(const Groups& groups, std::int64_t step) {
  const auto model = small_model({}, 1);
  Arena& arena = model->encoder().arena();
  Reference reference{
      torch::zeros({kTasks, arena.gradients().numel()}, torch::kFloat64), {}, std::vector<double>(kTasks, 0)};
  for (std::size_t task = 0; task < kTasks; ++task) {
    arena.gradients().zero_();
    std::int64_t targets = 0;
    for (const int rank : groups[task]) {
      if (task == kInactive) continue;
      const Batch batch = samples_of(task, rank, step);
      targets += batch.slices[0].count;
      if (batch.slices[0].count == 0) continue;
      const Tensor loss = model->head(task).loss(model->forward(batch, true)[0], batch.slices[0]);
      loss.backward();
      reference.loss[task] += loss.item<double>();
    }
    const double mean = 1 / static_cast<double>(std::max<std::int64_t>(1, targets));
    reference.loss[task] *= mean;
    reference.encoder[static_cast<std::int64_t>(task)] = arena.gradients() * mean;
    reference.heads[task] = model->head(task).arena().gradients() * mean;
  }
  return reference;
}

// IMTL-G (Liu et al., 2021): equal projections of the update on all gradients, and weights that sum to 1.
Tensor imtl_g(const Tensor& gradients) {
  std::vector<std::int64_t> kept;
  for (std::int64_t task = 0; task < gradients.size(0); ++task)
    if (gradients[task].abs().max().item<double>() > 0) kept.push_back(task);
  const Tensor index = torch::tensor(kept), rows = gradients.index_select(0, index);
  const Tensor norms = rows.norm(2, 1);
  const Tensor cosines = rows.mm(rows.t()) / norms.unsqueeze(0) / norms.unsqueeze(1);
  Tensor weights = at::linalg_solve(cosines, torch::ones({index.numel()}, torch::kFloat64)) / norms;
  weights = weights / weights.sum();
  return torch::zeros({gradients.size(0)}, torch::kFloat64).index_copy(0, index, weights);
}

Tensor of(const std::vector<double>& numbers) {
  return torch::tensor(numbers, torch::kFloat64);
}

void expect_heads(const Worker& worker, const Reference& right) {
  for (const auto& [task, head] : worker.model->heads())
    if (task != kInactive) {  // as with equal weights
      EXPECT_LT(relative_difference(head->arena().gradients(), right.heads.at(task) / (kTasks - 1.0)), 1e-9) << task;
    }
}

double bytes_by_plan(const Worker& worker, bool sharded) {
  TrainOptions options = worker.options;
  options.shard_optimizer = sharded;
  std::vector<bool> active(kTasks, true);
  active[kInactive] = false;
  const Arena& arena = worker.model->encoder().arena();
  std::int64_t block = 0;
  for (const Parameter& parameter : arena.parameters())
    if (parameter.depth == 1) block += parameter.size();
  return surgery_cost({options, world().size(), worker.groups, active, arena.gradients().numel(), block, 8})
      .sent[static_cast<std::size_t>(world().rank())];
}

TEST(Surgery, EqualsASingleProcessWhateverThePlacement) {
  for (const auto& [name, groups] : placements())
    for (const bool sharded : {false, true})
      for (const bool window : {false, true}) {
        SCOPED_TRACE(fmt::format("{} {} {}", name, sharded, window));
        Worker worker(options_of("imtl_g", {}), groups, sharded, window);
        for (std::int64_t number = 1; number <= 2; ++number) {
          const StepRecord record = worker.step(number);
          const Reference right = reference_of(groups, number);
          const Tensor weights = imtl_g(right.encoder), expected = weights.matmul(right.encoder);
          EXPECT_LT(relative_difference(of(worker.balance.weights()), weights), 1e-6);
          const Tensor found = worker.model->encoder().arena().gradients();
          const IndexRange slice =
              sharded ? part_of(found.numel(), world().rank(), world().size()) : IndexRange{0, found.numel()};
          const auto in_slice = [&](const Tensor& whole) { return whole.narrow(0, slice.begin, slice.size()); };
          EXPECT_LT((in_slice(found) - in_slice(expected)).abs().max().item<double>(),
                    1e-6 * expected.abs().max().item<double>());
          ASSERT_TRUE(record.square);
          EXPECT_NEAR(std::sqrt(*record.square), expected.norm().item<double>(), 1e-9 * expected.norm().item<double>());
          expect_heads(worker, right);
          EXPECT_DOUBLE_EQ(record.sent, bytes_by_plan(worker, sharded));
          for (std::size_t task = 0; task < kTasks; ++task)
            if (task != kInactive) {
              EXPECT_NEAR(record.mean_loss(task), right.loss[task], 1e-9);
            }
        }
      }
}

TEST(Surgery, WithOneTaskPerWorkerItSendsAsManyBytesAsAPlainAllReduce) {
  const int workers = world().size();
  Groups groups;
  for (std::size_t task = 0; task < kTasks; ++task) groups.push_back({});
  // The first tasks, as many as there are workers, are one on each; the others have no samples.
  TrainOptions options = options_of("imtl_g", {});
  std::vector<bool> active(kTasks, false);
  for (int worker = 0; worker < workers && worker < static_cast<int>(kTasks); ++worker) {
    groups[static_cast<std::size_t>(worker)] = {worker};
    active[static_cast<std::size_t>(worker)] = true;
  }
  const double elements = 64.0 * 1000 * workers,
               plain = 2 * (workers - 1) / static_cast<double>(workers) * elements * 8;
  const auto cost = surgery_cost({options, workers, groups, active, static_cast<std::int64_t>(elements), 64, 8});
  const double active_tasks = std::min<double>(workers, kTasks),
               numbers = kTasks + active_tasks * (active_tasks + 1) / 2;
  for (const double sent : cost.sent)
    EXPECT_DOUBLE_EQ(sent, plain + 2 * (workers - 1) / static_cast<double>(workers) * numbers * 8);
}

TEST(Surgery, StepsInBetweenReuseTheWeights) {
  const Groups groups = placements().at("uneven");
  Worker worker(options_of("imtl_g", {.every = 3}), groups, false, true);
  const Tensor weights = imtl_g(reference_of(groups, 1).encoder);
  for (std::int64_t number = 1; number <= 4; ++number) {
    const StepRecord record = worker.step(number);
    const Reference right = reference_of(groups, number);
    const Tensor used = number == 4 ? imtl_g(right.encoder) : weights;
    EXPECT_LT(relative_difference(worker.model->encoder().arena().gradients(), used.matmul(right.encoder)), 1e-6)
        << number;
    EXPECT_EQ(record.square.has_value(), number % 3 == 1);
    expect_heads(worker, right);
  }
  // A state that was saved between two measurements continues.
  Worker resumed(worker.options, groups, false, true);
  resumed.balance.restore(worker.balance.state());
  worker.step(5);
  resumed.step(5);
  EXPECT_TRUE(resumed.model->encoder().arena().gradients().equal(worker.model->encoder().arena().gradients()));
}

TEST(Surgery, ComparesTheTopBlockOnly) {
  const Groups groups = placements().at("uneven");
  Worker worker(options_of("imtl_g", {.scope = BalanceScope::last_block}), groups, false, true);
  const StepRecord record = worker.step(1);
  const Reference right = reference_of(groups, 1);
  std::vector<Tensor> parts;
  for (const Parameter& parameter : worker.model->encoder().arena().parameters())
    if (parameter.name.starts_with("layers.1."))
      parts.push_back(right.encoder.narrow(1, parameter.offset, parameter.size()));
  const Tensor weights = imtl_g(torch::cat(parts, 1));
  EXPECT_LT(relative_difference(of(worker.balance.weights()), weights), 1e-6);
  EXPECT_LT(relative_difference(worker.model->encoder().arena().gradients(), weights.matmul(right.encoder)), 1e-6);
  EXPECT_FALSE(record.square);
  EXPECT_DOUBLE_EQ(record.sent, bytes_by_plan(worker, false));
}

TEST(Surgery, ComparesSketches) {
  const Groups groups = placements().at("apart");
  Worker worker(options_of("imtl_g", {.scope = BalanceScope::sketch, .sketch_size = 1 << 16}), groups, false, true);
  const StepRecord record = worker.step(1);
  const Reference right = reference_of(groups, 1);
  // The sketch is longer than the gradient, so it loses nothing.
  EXPECT_LT(relative_difference(of(worker.balance.weights()), imtl_g(right.encoder)), 1e-6);
  EXPECT_LT(
      relative_difference(worker.model->encoder().arena().gradients(), imtl_g(right.encoder).matmul(right.encoder)),
      1e-6);
  EXPECT_DOUBLE_EQ(record.sent, bytes_by_plan(worker, false));
  Worker rough(options_of("imtl_g", {.scope = BalanceScope::sketch, .sketch_size = 256}), groups, false, true);
  rough.step(1);
  EXPECT_LT(relative_difference(rough.model->encoder().arena().gradients(),
                                of(rough.balance.weights()).matmul(right.encoder)),
            1e-6);
  EXPECT_GT(relative_difference(of(rough.balance.weights()), imtl_g(right.encoder)), 1e-6);
}

TEST(Surgery, BuffersAverageTheGradientsOfLogLosses) {
  for (const auto& [name, groups] : placements()) {
    SCOPED_TRACE(name);
    Worker worker(options_of("db_mtl", {}), groups, false, true);
    Tensor average;
    for (std::int64_t number = 1; number <= 3; ++number) {
      const StepRecord record = worker.step(number);
      Reference right = reference_of(groups, number);
      for (std::size_t task = 0; task < kTasks; ++task)
        if (task != kInactive) right.encoder[static_cast<std::int64_t>(task)] /= right.loss[task];
      const double rate = worker.balance.buffer(number).rate;
      if (number == 1) average = torch::zeros_like(right.encoder);
      average = average + rate * (right.encoder - average);
      const Tensor norms = average.norm(2, 1);
      const Tensor weights = torch::where(norms > 0, norms.max() / norms, 0.0);
      EXPECT_LT(relative_difference(of(worker.balance.weights()), weights), 1e-6) << number;
      EXPECT_LT(relative_difference(worker.model->encoder().arena().gradients(), weights.matmul(average)), 1e-6)
          << number;
      EXPECT_DOUBLE_EQ(record.sent, bytes_by_plan(worker, false));
    }
  }
}

TEST(Surgery, WhatIsNotFiniteDoesNotChangeABuffer) {
  const Groups groups = placements().at("uneven");
  Worker worker(options_of("db_mtl", {}), groups, false, true);
  worker.step(1);
  const std::vector<Tensor> before = worker.gradients->task_buffers().tensors;
  std::vector<Tensor> copies;
  for (const Tensor& buffer : before) copies.push_back(buffer.clone());
  const std::string state = worker.balance.state().balancer;
  {
    const torch::NoGradGuard guard;
    worker.model->encoder().arena().values().fill_(std::nan(""));
  }
  const StepRecord record = worker.step(2);
  EXPECT_TRUE(std::isnan(*record.square));
  for (std::size_t task = 0; task < kTasks; ++task)
    EXPECT_TRUE(worker.gradients->task_buffers().tensors[task].equal(copies[task]));
  EXPECT_EQ(worker.balance.state().balancer, state);
}

TEST(Surgery, ATaskThatJoinsIsMeasuredAtOnce) {
  const auto balance_of = [](const TrainOptions& options) { return std::make_unique<Balance>(options); };
  const TrainOptions options = options_of("imtl_g", {.every = 100});
  const auto balance = balance_of(options);
  StepRecord step(kTasks, false);
  step.number = 1;
  step.targets = {3, 3, 0, 0, 0, 0, 0, 0, 0};
  EXPECT_TRUE(balance->measures(step));
  SquareMatrix gram(kTasks);
  gram(0, 0) = 1;
  gram(1, 1) = 4;
  balance->solve(step, std::vector<double>(kTasks, 1), gram);
  step.number = 2;
  EXPECT_FALSE(balance->measures(step));
  step.targets[2] = 1;
  EXPECT_TRUE(balance->measures(step));
}

}  // namespace
}  // namespace polyhead
