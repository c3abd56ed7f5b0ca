// The sizes of the batch that this process is computing, for the error message when an allocation fails.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>

#include "core/base/batch.h"

namespace polyhead {

struct BatchSizes {
  std::atomic<std::int64_t> sequences{0}, tokens{0}, longest{0};  // longest: number of tokens of the longest sequence
};

inline BatchSizes batch_sizes;

// Must be called when the computation of a batch starts.
inline void note_batch(const Batch& batch) {
  std::int64_t longest = 0;
  for (std::size_t i = 1; i < batch.offsets.size(); ++i)
    longest = std::max(longest, batch.offsets[i] - batch.offsets[i - 1]);
  for (const TaskSlice& slice : batch.slices)
    for (std::size_t i = 1; i < slice.target_offsets.size(); ++i)
      longest = std::max(longest, slice.target_offsets[i] - slice.target_offsets[i - 1]);
  batch_sizes.sequences = batch.sequences();
  batch_sizes.tokens = batch.token_count();
  batch_sizes.longest = longest;
}

}  // namespace polyhead
