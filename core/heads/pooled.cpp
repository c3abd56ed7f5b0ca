// Weighted synthesis of the text, one hidden layer, one output vector.
#include "core/heads/pooled.h"

#include "core/model/task_attention.h"

namespace polyhead {

PooledHead::PooledHead(HeadSpec spec, std::int64_t outputs) : Head(std::move(spec)) {
  const std::int64_t dim = spec_.encoder.dim;
  value_ = Linear(arena_, "value", dim, dim);
  hidden_ = Linear(arena_, "hidden", dim, dim);
  out_ = Linear(arena_, "out", dim, outputs);
}

torch::Tensor PooledHead::output(const HeadInput& input) const {
  const torch::Tensor read = synthesis(value_(input.states), input.weights, input.segments, input.delta);
  torch::Tensor hidden = at::gelu(hidden_(read));
  if (!input.sample_keys.empty()) {
    // One row per sequence.
    std::vector<std::int64_t> offsets(input.sample_keys.size() + 1);
    for (std::size_t i = 0; i < offsets.size(); ++i) offsets[i] = static_cast<std::int64_t>(i);
    const DropoutKeys keys(Segments::from(std::move(offsets), hidden.device()), input.sample_keys, 1, 1,
                           hidden.device());
    hidden = dropout_add(hidden, {}, keys, 0, spec_.options.dropout);
  }
  return out_(hidden);
}

}  // namespace polyhead
