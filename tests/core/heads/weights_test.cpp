// Weights of samples: a sample of weight 2 equals the sample twice, one of weight 0 none, for all kinds of heads.
#include <gtest/gtest.h>

#include <algorithm>

#include "core/heads/plain_loss.h"
#include "tests/core/small_model.h"

namespace polyhead {
namespace {

using torch::Tensor;

// Returns the weights of a slice's losses for weights of its samples, [sequences].
std::vector<double> spread(const Batch& batch, const TaskSlice& slice, const std::vector<double>& of_samples) {
  std::vector<double> weights;
  const auto times = [&](std::size_t sample, std::int64_t count) {
    weights.insert(weights.end(), static_cast<std::size_t>(count), of_samples[sample]);
  };
  const auto first = static_cast<std::size_t>(slice.first_sequence);
  for (std::size_t i = 0; i < of_samples.size(); ++i) {
    const std::int64_t begin = batch.offsets[first + i], end = batch.offsets[first + i + 1];
    if (!slice.tags.empty())
      times(i, end - begin);
    else if (!slice.masked_rows.empty())
      times(i, std::ranges::count_if(slice.masked_rows, [&](std::int64_t row) { return begin <= row && row < end; }));
    else if (!slice.target_offsets.empty())
      times(i, slice.target_offsets[i + 1] - slice.target_offsets[i]);
    else
      times(i, 1);
  }
  return weights;
}

struct Found {
  Tensor loss, plain, gradients;  // of the head
};

// The loss of a batch of one slice.
Found loss_of(Model& model, const Batch& batch, bool distilled) {
  const TaskSlice& slice = batch.slices.front();
  Head& head = model.head(slice.task);
  head.arena().gradients().zero_();
  PlainLoss plain;
  const HeadInput input = model.forward(batch, false).front();
  Tensor loss;
  if (distilled) {
    const Tensor outputs = head.outputs(input, slice).detach();
    loss = head.distilled_loss(input, slice, {outputs * 0.5 + random_tensor(outputs.sizes().vec(), 3), 0.4, 1.7});
  } else {
    loss = head.loss(input, slice);
  }
  const Tensor reported = plain.take();
  loss.backward();
  return {loss.detach(), reported, head.arena().gradients().clone()};
}

TEST(Weights, TheLossIsTheWeightedSumOfTheSamplesLosses) {
  SmallOptions options;
  const auto model = small_model(options, 1);
  const Batch all = small_batch(2);
  const std::vector<double> weights = {2, 0, 0.25};
  for (std::size_t task = 0; task < kTasks; ++task) {
    EXPECT_TRUE(model->head(task).uses_weights());
    Batch batch = only(all, task);
    TaskSlice& slice = batch.slices.front();
    const auto samples = static_cast<std::size_t>(slice.sequences);
    const std::vector<double> of_samples(weights.begin(), weights.begin() + static_cast<std::ptrdiff_t>(samples));
    slice.weights = spread(batch, slice, of_samples);
    const Found found = loss_of(*model, batch, false);
    Tensor loss = torch::zeros({}, torch::kFloat64), plain = loss.clone(),
           gradients = torch::zeros_like(found.gradients);
    for (std::size_t i = 0; i < samples; ++i) {
      const Found one = loss_of(*model, only(all, task, static_cast<std::int64_t>(i)), false);
      loss = loss + of_samples[i] * one.loss;
      gradients = gradients + of_samples[i] * one.gradients;
      if (one.plain.defined()) plain = plain + of_samples[i] * one.plain;
    }
    EXPECT_LT(relative_difference(found.loss, loss), 1e-12) << task;
    EXPECT_LT(relative_difference(found.gradients, gradients), 1e-10) << task;
    EXPECT_GT(gradients.abs().max().item<double>(), 1e-3);
    if (found.plain.defined()) {
      EXPECT_LT(relative_difference(found.plain, plain), 1e-12) << task;
    }
  }
}

TEST(Weights, DistillationUsesThem) {
  SmallOptions options;
  const auto model = small_model(options, 1);
  const Batch all = small_batch(2);
  for (std::size_t task = 0; task < kTasks; ++task) {
    Batch batch = only(all, task);
    TaskSlice& slice = batch.slices.front();
    const auto samples = static_cast<std::size_t>(slice.sequences);
    const Found plain = loss_of(*model, batch, true);
    slice.weights = spread(batch, slice, std::vector<double>(samples, 1));
    const Found ones = loss_of(*model, batch, true);
    EXPECT_LT(relative_difference(ones.loss, plain.loss), 1e-12) << task;
    EXPECT_LT(relative_difference(ones.gradients, plain.gradients), 1e-10) << task;
    // The loss is linear in the weights of the samples.
    Tensor sum = torch::zeros({}, torch::kFloat64);
    for (std::size_t i = 0; i < samples; ++i) {
      std::vector<double> alone(samples, 0);
      alone[i] = 1;
      slice.weights = spread(batch, slice, alone);
      const Found one = loss_of(*model, batch, true);
      EXPECT_GT(one.loss.item<double>(), 0) << task;
      sum = sum + one.loss;
    }
    EXPECT_LT(relative_difference(sum, plain.loss), 1e-12) << task;
  }
}

}  // namespace
}  // namespace polyhead
