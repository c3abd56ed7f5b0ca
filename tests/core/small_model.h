// A small model with one head of each kind in float64, and packed batches for it. The tests in tests/core use it.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/base/batch.h"
#include "core/heads/model.h"
#include "core/model/torch.h"

namespace polyhead {

inline constexpr std::int64_t kVocabulary = 23, kClasses = 3, kTags = 4, kLabels = 5, kOutputs = 2;
// Width of the vectors of a small task, 0: it has tokens.
inline constexpr std::int64_t kWidths[] = {0, 0, 0, 0, 0, 0, 0, 3, 5};

// Two tasks of classification, the second of pairs, with class weights and focus; two of regression, the second by
// Huber's loss and from vectors, as the second of tagging is.
inline constexpr Kind kSmallTasks[] = {Kind::classification, Kind::tagging,    Kind::masked_lm,
                                       Kind::translation,    Kind::multilabel, Kind::classification,
                                       Kind::regression,     Kind::regression, Kind::tagging};
inline constexpr std::size_t kTasks = std::size(kSmallTasks);

struct SmallOptions {
  EncoderOptions encoder{.layers = 2, .dim = 16, .heads = 2, .ffn = 24, .dropout = 0};
  AttentionOptions attention{.heads = 2, .temperature = 1.3, .floor = 0.02};
  HeadOptions head{.dropout = 0, .label_smoothing = 0.1, .decoder_layers = 2, .max_target = 40};
};

// What the head of a small task is made for.
HeadSpec small_spec(std::size_t task, const SmallOptions& options);
// A head for each of kSmallTasks, or only for `held` of them; all parameters moved off their starting values.
std::unique_ptr<Model> small_model(const SmallOptions& options, std::uint64_t seed,
                                   const std::optional<std::vector<std::size_t>>& held = std::nullopt);

// Ragged samples of all tasks, two or three each, in the order of tasks.
Batch small_batch(std::uint64_t seed);
// The samples of one slice, or one of its samples alone, as a batch.
Batch only(const Batch& batch, std::size_t slice, std::int64_t sample = -1);
// The batch with its slices in another order.
Batch reordered(const Batch& batch, const std::vector<std::size_t>& order);

// Uniform over -1..1, a function of (seed, shape) alone.
torch::Tensor random_tensor(const std::vector<std::int64_t>& shape, std::uint64_t seed);

// max |a - b| / max |b|, over tensors of equal shape
double relative_difference(const torch::Tensor& a, const torch::Tensor& b);

}  // namespace polyhead
