// Packs some slices of a batch into a new batch.
#include "core/base/batch.h"

namespace polyhead {

Batch slices_of(const Batch& batch, const std::vector<std::size_t>& which) {
  Batch part;
  part.offsets = {0};
  for (const std::size_t index : which) {
    TaskSlice slice = batch.slices[index];
    const std::int64_t rows_moved = part.offsets.back() - slice.first_token;
    const auto first = slice.first_sequence, last = first + slice.sequences;
    part.tokens.insert(part.tokens.end(), batch.tokens.begin() + batch.offsets[static_cast<std::size_t>(first)],
                       batch.tokens.begin() + batch.offsets[static_cast<std::size_t>(last)]);
    for (auto i = static_cast<std::size_t>(first); i < static_cast<std::size_t>(last); ++i) {
      part.offsets.push_back(batch.offsets[i + 1] + rows_moved);
      part.keys.push_back(batch.keys[i]);
      part.second.push_back(i < batch.second.size() ? batch.second[i] : 0);
    }
    for (std::int64_t& row : slice.masked_rows) row += rows_moved;
    slice.first_sequence = part.sequences() - slice.sequences;
    slice.first_token += rows_moved;
    part.slices.push_back(std::move(slice));
  }
  return part;
}

}  // namespace polyhead
