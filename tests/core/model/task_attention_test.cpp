// Task attention against a direct implementation of its formulas (docs/concepts.md) with loops over doubles.
#include <gtest/gtest.h>

#include <cmath>

#include "core/model/task_attention.h"
#include "tests/core/small_model.h"

namespace polyhead {
namespace {

constexpr std::int64_t kTasks = 3, kHeads = 2, kWidth = 5, kDim = kHeads * kWidth;

struct Inputs {
  std::vector<std::int64_t> offsets = {0, 4, 5, 11};
  torch::Tensor states = random_tensor({11, kDim}, 1) * 2, key = random_tensor({kDim, kDim}, 2),
                queries = random_tensor({kTasks + 1, kHeads, kWidth}, 3) * 2,
                importance = random_tensor({kTasks + 1}, 4), value = random_tensor({kDim, kDim}, 5);
};

double at(const torch::Tensor& x, const std::vector<std::int64_t>& index) {
  torch::Tensor element = x;
  for (const std::int64_t i : index) element = element[i];
  return element.item<double>();
}

// w_it of attention head m.
std::vector<double> weights_of_word(const Inputs& in, std::int64_t word, std::int64_t m, double temperature,
                                    double floor) {
  std::vector<double> w;
  double sum = 0;
  for (std::int64_t t = 0; t <= kTasks; ++t) {
    double dot = 0;
    for (std::int64_t c = 0; c < kWidth; ++c) {
      double projected = 0;
      for (std::int64_t d = 0; d < kDim; ++d) projected += at(in.key, {m * kWidth + c, d}) * at(in.states, {word, d});
      dot += projected * at(in.queries, {t, m, c});
    }
    w.push_back(std::exp(dot / (temperature * std::sqrt(double{kWidth})) + at(in.importance, {t})));
    sum += w.back();
  }
  for (double& x : w) x = (1 - floor) * x / sum + floor / (kTasks + 1);
  return w;
}

TEST(TaskAttention, WeightsEqualTheFormula) {
  const Inputs in;
  for (const auto& [temperature, floor] : {std::pair(1.0, 0.0), std::pair(0.4, 0.0), std::pair(2.5, 0.15)}) {
    const torch::Tensor weights = task_weights(in.states, in.key, in.queries, in.importance, temperature, floor);
    ASSERT_EQ(weights.sizes(), torch::IntArrayRef({kHeads, 11, kTasks + 1}));
    for (std::int64_t m = 0; m < kHeads; ++m)
      for (std::int64_t i = 0; i < 11; ++i) {
        const auto expected = weights_of_word(in, i, m, temperature, floor);
        double sum = 0;
        for (std::int64_t t = 0; t <= kTasks; ++t) {
          EXPECT_NEAR(at(weights, {m, i, t}), expected[static_cast<std::size_t>(t)], 1e-13);
          EXPECT_GE(at(weights, {m, i, t}), floor / (kTasks + 1));
          sum += at(weights, {m, i, t});
        }
        EXPECT_NEAR(sum, 1, 1e-13);
      }
  }
}

TEST(TaskAttention, SynthesisEqualsTheFormula) {
  const Inputs in;
  const torch::Tensor weights = task_weights(in.states, in.key, in.queries, in.importance, 0.7, 0.05);
  const torch::Tensor values = at::linear(in.states, in.value);
  const Segments segments = Segments::from(in.offsets, torch::kCPU);
  for (std::int64_t t = 0; t <= kTasks; ++t) {
    const torch::Tensor read = synthesis(values, weights.select(2, t), segments);
    const torch::Tensor per_word = weighted_values(values, weights.select(2, t));
    ASSERT_EQ(read.sizes(), torch::IntArrayRef({3, kDim}));
    for (std::int64_t s = 0; s < 3; ++s)
      for (std::int64_t m = 0; m < kHeads; ++m)
        for (std::int64_t c = 0; c < kWidth; ++c) {
          double sum = 0, total = 1;  // delta
          for (std::int64_t i = in.offsets[static_cast<std::size_t>(s)];
               i < in.offsets[static_cast<std::size_t>(s) + 1]; ++i) {
            double value = 0;
            for (std::int64_t d = 0; d < kDim; ++d) value += at(in.value, {m * kWidth + c, d}) * at(in.states, {i, d});
            const double w = weights_of_word(in, i, m, 0.7, 0.05)[static_cast<std::size_t>(t)];
            sum += w * value;
            total += w;
            EXPECT_NEAR(at(per_word, {i, m * kWidth + c}), w * value, 1e-12);
          }
          EXPECT_NEAR(at(read, {s, m * kWidth + c}), sum / total, 1e-12);
        }
  }
}

TEST(TaskAttention, IndependentWeightsEqualTheFormula) {
  const Inputs in;
  const Segments segments = Segments::from(in.offsets, torch::kCPU);
  for (const auto& [temperature, floor] : {std::pair(1.0, 0.0), std::pair(0.4, 0.15)}) {
    const torch::Tensor weights = independent_weights(in.states, in.key, in.queries, segments, temperature, floor);
    ASSERT_EQ(weights.sizes(), torch::IntArrayRef({kHeads, 11, kTasks + 1}));
    const torch::Tensor keys = in.states.matmul(in.key.t()).view({11, kHeads, kWidth});
    for (std::int64_t m = 0; m < kHeads; ++m)
      for (std::int64_t t = 0; t <= kTasks; ++t) {
        const torch::Tensor scores = keys.select(1, m).matmul(in.queries[t][m]);
        for (std::size_t s = 0; s < 3; ++s) {
          double sum = 0;
          std::vector<double> e;
          for (std::int64_t i = in.offsets[s]; i < in.offsets[s + 1]; ++i) {
            e.push_back(std::exp(at(scores, {i}) / (temperature * std::sqrt(double{kWidth}))));
            sum += e.back();
          }
          for (std::size_t i = 0; i < e.size(); ++i)
            EXPECT_NEAR(at(weights, {m, in.offsets[s] + static_cast<std::int64_t>(i), t}),
                        (1 - floor) * static_cast<double>(e.size()) * e[i] / sum + floor, 1e-12);
        }
      }
  }
}

TEST(TaskAttention, MeanAndFirstReadTheMeanAndTheFirst) {
  const Inputs in;
  const Segments segments = Segments::from(in.offsets, torch::kCPU);
  const torch::Tensor values = at::linear(in.states, in.value);
  const torch::Tensor mean = mean_weights(kHeads, kTasks, segments, values),
                      first = first_weights(kHeads, kTasks, segments, values);
  EXPECT_EQ(mean.sizes(), torch::IntArrayRef({kHeads, 11, kTasks}));
  EXPECT_EQ(first.sizes(), torch::IntArrayRef({kHeads, 11, kTasks}));
  for (std::int64_t s = 0; s < 3; ++s) {
    const torch::Tensor rows =
        values.slice(0, in.offsets[static_cast<std::size_t>(s)], in.offsets[static_cast<std::size_t>(s) + 1]);
    EXPECT_TRUE(synthesis(values, mean.select(2, 1), segments, 0)[s].allclose(rows.mean(0), 1e-13, 1e-13));
    EXPECT_TRUE(synthesis(values, first.select(2, 1), segments, 0)[s].allclose(rows[0], 1e-13, 1e-13));
  }
}

TEST(TaskAttention, EntropyEqualsTheFormulaAndStaysFinite) {
  const Inputs in;
  const torch::Tensor weights = task_weights(in.states, in.key, in.queries, in.importance, 0.4, 0);
  const torch::Tensor entropy = task_entropy(weights, 1);
  for (std::int64_t i = 0; i < 11; ++i) {
    double expected = 0;
    for (std::int64_t m = 0; m < kHeads; ++m) {
      double sum = 0;
      for (std::int64_t t = 1; t <= kTasks; ++t) sum += at(weights, {m, i, t});
      for (std::int64_t t = 1; t <= kTasks; ++t) {
        const double p = at(weights, {m, i, t}) / sum;
        expected -= p * std::log(p) / kHeads;
      }
    }
    EXPECT_NEAR(at(entropy, {i}), expected, 1e-13);
  }
  EXPECT_NEAR(at(task_entropy(torch::ones({1, 1, 5}, torch::kFloat64), 0), {0}), std::log(5.0), 1e-14);
  // All on one task, and all on no task.
  torch::Tensor one_sided = torch::tensor({{{0.0, 1.0, 0.0}, {1.0, 0.0, 0.0}}}, torch::kFloat32).requires_grad_();
  const torch::Tensor none = task_entropy(one_sided, 1);
  EXPECT_TRUE(none.equal(torch::zeros({2})));
  none.sum().backward();
  EXPECT_TRUE(one_sided.grad().isfinite().all().item<bool>());
}

TEST(TaskAttention, ALoneTaskCanAttend) {
  const Inputs in;
  const torch::Tensor weights =
      task_weights(in.states, in.key, in.queries.narrow(0, 0, 2), in.importance.narrow(0, 0, 2), 1, 0).select(2, 1);
  EXPECT_GT((weights.amax(1) - weights.amin(1)).min().item<double>(), 0.3);
}

TEST(TaskAttention, ImportanceRaisesATasksShareAndItsReading) {
  const Inputs in;
  const Segments segments = Segments::from(in.offsets, torch::kCPU);
  const torch::Tensor values = torch::ones({11, kDim}, torch::kFloat64);
  double share = 0, length = 0;
  for (const double b : {-2.0, 0.0, 2.0}) {
    torch::Tensor importance = torch::zeros({kTasks + 1}, torch::kFloat64);
    importance[2].fill_(b);
    const torch::Tensor weights = task_weights(in.states, in.key, in.queries, importance, 1, 0).select(2, 2);
    const double next_share = weights.mean().item<double>();
    const double next_length = synthesis(values, weights, segments).norm().item<double>();
    EXPECT_GT(next_share, 1.3 * share);
    EXPECT_GT(next_length, 1.1 * length);
    share = next_share;
    length = next_length;
  }
}

TEST(TaskAttention, AStarvedTaskReadsLittleInsteadOfTheMean) {
  const Inputs in;
  torch::Tensor importance = torch::zeros({kTasks + 1}, torch::kFloat64);
  importance[1].fill_(-30);
  const torch::Tensor values = at::linear(in.states, in.value);
  const Segments segments = Segments::from(in.offsets, torch::kCPU);
  const auto length = [&](std::int64_t t) {
    return synthesis(values, task_weights(in.states, in.key, in.queries, importance, 1, 0).select(2, t), segments)
        .norm()
        .item<double>();
  };
  EXPECT_LT(length(1), 1e-9);
  EXPECT_GT(length(2), 0.1);
}

TEST(TaskAttention, NoRowsAreNoError) {
  const torch::Tensor none =
      weighted_values(torch::zeros({0, kDim}, torch::kFloat64), torch::zeros({kHeads, 0}, torch::kFloat64));
  EXPECT_EQ(none.sizes(), torch::IntArrayRef({0, kDim}));
}

TEST(TaskAttention, GradientsEqualFiniteDifferences) {
  const Inputs in;
  const Segments segments = Segments::from(in.offsets, torch::kCPU);
  std::vector<torch::Tensor> leaves = {in.states.clone(), in.key.clone(), in.queries.clone(), in.importance.clone(),
                                       in.value.clone()};
  for (torch::Tensor& leaf : leaves) leaf.requires_grad_();
  const torch::Tensor direction = random_tensor({3, kDim}, 6), spread = random_tensor({kHeads, 11, kTasks + 1}, 20);
  const auto loss = [&] {
    const torch::Tensor weights = task_weights(leaves[0], leaves[1], leaves[2], leaves[3], 0.8, 0.1).select(2, 2);
    const torch::Tensor independent = independent_weights(leaves[0], leaves[1], leaves[2], segments, 0.8, 0.1);
    return (synthesis(at::linear(leaves[0], leaves[4]), weights, segments) * direction).sum() +
           (independent * spread).sum() +
           0.3 * task_entropy(task_weights(leaves[0], leaves[1], leaves[2], leaves[3], 0.8, 0.1), 1).sum();
  };
  loss().backward();
  const torch::NoGradGuard guard;
  const double h = 1e-5;
  for (std::size_t n = 0; n < leaves.size(); ++n) {
    const torch::Tensor step = random_tensor(leaves[n].sizes().vec(), 7 + n) * h;
    leaves[n].add_(step);
    const double above = loss().item<double>();
    leaves[n].sub_(2 * step);
    const double below = loss().item<double>();
    leaves[n].add_(step);
    const double expected = (leaves[n].grad() * step).sum().item<double>() * 2;
    EXPECT_NEAR(above - below, expected, 1e-6 * std::abs(expected) + 1e-13) << "input " << n;
  }
}

}  // namespace
}  // namespace polyhead
