// Compares two ways to compute the weights of task attention: for all tasks at once (all queries in one product), and
// in a loop that multiplies the same keys by each task's query. Measures forward and backward of one packed batch,
// alternately, on one thread.
#include "core/model/task_attention.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <vector>

namespace {

using torch::Tensor;

constexpr std::int64_t kTokens = 4096, kDim = 256, kTurns = 15;

// The same formula with a product a task; keys once, too.
Tensor one_by_one(const Tensor& states, const Tensor& key, const Tensor& queries, const Tensor& importance) {
  std::vector<Tensor> scores;
  const Tensor keys = at::linear(states, key);
  for (std::int64_t t = 0; t < queries.size(0); ++t)
    scores.push_back(at::mv(keys, queries[t][0]) / std::sqrt(static_cast<double>(kDim)) + importance[t]);
  return at::softmax(torch::stack(scores, 1), 1).unsqueeze(0);
}

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + kTurns / 2, values.end());
  return values[kTurns / 2];
}

}  // namespace

int main() {
  at::set_num_threads(1);
  std::puts("tasks   at once, ms   one by one, ms   ratio: median (least to largest)");
  for (const std::int64_t tasks : {1, 4, 12, 64}) {
    torch::manual_seed(1);
    const auto leaf = [](at::IntArrayRef shape) { return (torch::randn(shape) / 16).requires_grad_(); };
    const Tensor states = leaf({kTokens, kDim}), key = leaf({kDim, kDim}), queries = leaf({tasks + 1, 1, kDim}),
                 importance = leaf({tasks + 1}), direction = torch::randn({1, kTokens, tasks + 1});
    const auto seconds = [&](const std::function<Tensor()>& weights) {
      const auto start = std::chrono::steady_clock::now();
      (weights() * direction).sum().backward();
      return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    };
    const auto fused = [&] { return polyhead::task_weights(states, key, queries, importance, 1, 0); };
    const auto loop = [&] { return one_by_one(states, key, queries, importance); };
    if (!at::allclose(fused(), loop(), 1e-4, 1e-6)) {
      std::fputs("the two do not agree\n", stderr);
      return EXIT_FAILURE;
    }
    std::vector<double> at_once, in_turn, ratios;
    for (std::int64_t turn = 0; turn <= kTurns; ++turn) {
      const double a = seconds(fused), b = seconds(loop);
      if (turn == 0) continue;  // the first touches its memory
      at_once.push_back(1e3 * a);
      in_turn.push_back(1e3 * b);
      ratios.push_back(b / a);
    }
    const auto [least, most] = std::minmax_element(ratios.begin(), ratios.end());
    std::printf("%-8lld%11.2f%17.2f%9.2f (%.2f to %.2f)\n", static_cast<long long>(tasks), median(at_once),
                median(in_turn), median(ratios), *least, *most);
  }
}
