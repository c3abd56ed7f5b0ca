// Encoder and heads together: their arenas, and the forward pass of a batch.
#include "core/heads/model.h"

#include <fmt/format.h>

#include "core/base/batch_sizes.h"
#include "core/base/error.h"

namespace polyhead {
namespace {

Encoder::Input encoder_input(const Batch& batch, const torch::Tensor& like) {
  Encoder::Input input{.tokens = to_device(batch.tokens, like), .vectors = {}, .pair_rows = {}, .second = {}};
  for (const TaskSlice& slice : batch.slices)
    if (slice.feature_width > 0)
      input.vectors.push_back(
          {slice.first_token, torch::tensor(slice.features).to(like.options()).view({-1, slice.feature_width})});
  std::vector<std::int64_t> rows, second;
  for (std::size_t i = 0; i < batch.second.size(); ++i) {
    if (batch.second[i] == 0) continue;
    for (std::int64_t row = batch.offsets[i]; row < batch.offsets[i + 1]; ++row) {
      rows.push_back(row);
      second.push_back(row - batch.offsets[i] >= batch.second[i]);
    }
  }
  if (!rows.empty()) {
    input.pair_rows = to_device(rows, like);
    input.second = to_device(second, like);
  }
  return input;
}

}  // namespace

void Model::finish(std::uint64_t seed, torch::TensorOptions options, void* encoder_gradients) {
  encoder_.arena().finish("encoder", seed, options, encoder_gradients);
  for (const auto& [task, head] : heads_) head->arena().finish("head." + head->spec().task, seed, options);
}

std::vector<TaskRows> Model::task_rows(const Batch& batch) const {
  std::vector<TaskRows> tasks;
  for (const TaskSlice& slice : batch.slices) {
    const auto head = heads_.find(slice.task);
    if (head == heads_.end())
      throw Error(Exit::internal, fmt::format("a batch has samples of task number {}, whose part of the encoder "
                                              "(encoder.share = {}) is not on this worker",
                                              slice.task, name_of(encoder_.options().share)));
    const auto first = static_cast<std::size_t>(slice.first_sequence);
    tasks.push_back({slice.task,
                     batch.offsets[first + static_cast<std::size_t>(slice.sequences)] - batch.offsets[first],
                     head->second->encoder_parts()});
  }
  return tasks;
}

std::vector<HeadInput> Model::forward(const Batch& batch, bool training) const {
  note_batch(batch);
  const Encoder::Input input = encoder_input(batch, encoder_.embedding());
  const torch::Tensor& tokens = input.tokens;
  const Segments segments = Segments::from(batch.offsets, tokens.device());
  const DropoutKeys keys =
      training ? DropoutKeys(segments, batch.keys, 0, encoder_.dropout_sites(), tokens.device()) : DropoutKeys();
  const std::vector<TaskRows> tasks = encoder_.needs_tasks() ? task_rows(batch) : std::vector<TaskRows>();
  return head_inputs(encoder_, encoder_.forward(input, segments, keys, tasks), tokens, batch, training);
}

}  // namespace polyhead
