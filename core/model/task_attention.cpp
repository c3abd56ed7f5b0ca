// Implements the formulas of task attention with plain tensor operations.
#include "core/model/task_attention.h"

#include <cmath>

namespace polyhead {
namespace {

// Returns s_it of all words and tasks, [heads, tokens, slots]: keys are computed once, and all queries in one product.
torch::Tensor task_scores(const torch::Tensor& states, const torch::Tensor& key, const torch::Tensor& queries,
                          double temperature) {
  const std::int64_t heads = queries.size(1), width = queries.size(2);
  const torch::Tensor keys =
      at::linear(states, key).view({-1, heads, width}).transpose(0, 1);  // [heads, tokens, width]
  const double scale = 1 / (temperature * std::sqrt(static_cast<double>(width)));
  return at::bmm(keys, queries.permute({1, 2, 0})) * scale;
}

}  // namespace

torch::Tensor task_weights(const torch::Tensor& states, const torch::Tensor& key, const torch::Tensor& queries,
                           const torch::Tensor& importance, double temperature, double floor) {
  const torch::Tensor weights = at::softmax(task_scores(states, key, queries, temperature) + importance, -1);
  return floor == 0 ? weights : weights * (1 - floor) + floor / static_cast<double>(queries.size(0));
}

torch::Tensor independent_weights(const torch::Tensor& states, const torch::Tensor& key, const torch::Tensor& queries,
                                  const Segments& segments, double temperature, double floor) {
  const std::int64_t slots = queries.size(0), heads = queries.size(1);
  const torch::Tensor scores =
      task_scores(states, key, queries, temperature).transpose(0, 1).reshape({-1, heads * slots});
  const torch::Tensor lengths = segments.lengths.index_select(0, segments.sequence_of_rows()).to(scores.scalar_type());
  torch::Tensor weights = segment_softmax(scores, segments) * lengths.unsqueeze(1);
  if (floor > 0) weights = weights * (1 - floor) + floor;
  return weights.view({-1, heads, slots}).transpose(0, 1);
}

torch::Tensor mean_weights(std::int64_t heads, std::int64_t tasks, const Segments& segments,
                           const torch::Tensor& like) {
  return torch::ones({1, 1, 1}, like.options()).expand({heads, segments.tokens(), tasks});
}

torch::Tensor first_weights(std::int64_t heads, std::int64_t tasks, const Segments& segments,
                            const torch::Tensor& like) {
  return segments.positions.eq(0).to(like.scalar_type()).view({1, -1, 1}).expand({heads, segments.tokens(), tasks});
}

torch::Tensor task_entropy(const torch::Tensor& weights, std::int64_t first) {
  const torch::Tensor tasks = weights.narrow(2, first, weights.size(2) - first);
  const torch::Tensor p = tasks / tasks.sum(2, true).clamp_min(kLeastWeight);
  return -(p * p.clamp_min(kLeastWeight).log()).sum(2).mean(0);
}

torch::Tensor weighted_values(const torch::Tensor& values, const torch::Tensor& weights) {
  const std::int64_t heads = weights.size(0);
  return (values.view({values.size(0), heads, values.size(1) / heads}) * weights.t().unsqueeze(2)).view(values.sizes());
}

torch::Tensor synthesis(const torch::Tensor& values, const torch::Tensor& weights, const Segments& segments,
                        double delta) {
  const std::int64_t heads = weights.size(0);
  const torch::Tensor sum = segment_sum(weighted_values(values, weights), segments);
  const torch::Tensor total = segment_sum(weights.t().contiguous(), segments) + delta;  // [sequences, heads]
  return (sum.view({sum.size(0), heads, -1}) / total.unsqueeze(2)).view(sum.sizes());
}

}  // namespace polyhead
