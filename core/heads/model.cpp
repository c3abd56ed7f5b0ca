// Encoder and heads together: their arenas, and the forward pass of a batch.
#include "core/heads/model.h"

namespace polyhead {

void Model::finish(std::uint64_t seed, torch::TensorOptions options, void* encoder_gradients) {
  encoder_.arena().finish("encoder", seed, options, encoder_gradients);
  for (const auto& [task, head] : heads_) head->arena().finish("head." + head->spec().task, seed, options);
}

std::vector<HeadInput> Model::forward(const Batch& batch, bool training) const {
  const torch::Tensor tokens = to_device(batch.tokens, encoder_.embedding());
  const Segments segments = Segments::from(batch.offsets, tokens.device());
  const DropoutKeys keys =
      training ? DropoutKeys(segments, batch.keys, 0, encoder_.dropout_sites(), tokens.device()) : DropoutKeys();
  std::vector<std::int64_t> slots;
  for (const TaskSlice& slice : batch.slices) slots.push_back(slice.task + 1);
  return head_inputs(encoder_, encoder_.forward(tokens, segments, keys), tokens, batch, slots, training);
}

}  // namespace polyhead
