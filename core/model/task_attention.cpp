// Task attention by its formulas, in plain tensor operations.
#include "core/model/task_attention.h"

#include <cmath>

namespace polyhead {

torch::Tensor task_weights(const torch::Tensor& states, const torch::Tensor& key, const torch::Tensor& queries,
                           const torch::Tensor& importance, double temperature, double floor) {
  const std::int64_t slots = queries.size(0), heads = queries.size(1), width = queries.size(2);
  const torch::Tensor keys =
      at::linear(states, key).view({-1, heads, width}).transpose(0, 1);  // [heads, tokens, width]
  const double scale = 1 / (temperature * std::sqrt(static_cast<double>(width)));
  const torch::Tensor scores = at::bmm(keys, queries.permute({1, 2, 0})) * scale + importance;
  const torch::Tensor weights = at::softmax(scores, -1);
  return floor == 0 ? weights : weights * (1 - floor) + floor / static_cast<double>(slots);
}

torch::Tensor weighted_values(const torch::Tensor& values, const torch::Tensor& weights) {
  const std::int64_t heads = weights.size(0);
  return (values.view({values.size(0), heads, values.size(1) / heads}) * weights.t().unsqueeze(2)).view(values.sizes());
}

torch::Tensor synthesis(const torch::Tensor& values, const torch::Tensor& weights, const Segments& segments) {
  const std::int64_t heads = weights.size(0);
  const torch::Tensor sum = segment_sum(weighted_values(values, weights), segments);
  const torch::Tensor total = segment_sum(weights.t().contiguous(), segments) + kDelta;  // [sequences, heads]
  return (sum.view({sum.size(0), heads, -1}) / total.unsqueeze(2)).view(sum.sizes());
}

}  // namespace polyhead
