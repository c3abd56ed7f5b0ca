// A plain C loop over flat arrays and row numbers, as an upper limit with which the loader is compared.
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// Rows of 16-bit numbers, one after another: row i is values[offsets[i]:offsets[i+1]]. NULL: the shard has none.
struct gather_ragged {
  const uint16_t* values;
  const uint64_t* offsets;
};

struct gather_shard {
  struct gather_ragged input, target;
  const uint16_t* tags;   // aligned with input.values
  const uint32_t* label;  // one a row
};

struct gather_row {
  uint32_t shard, row;
};

// What the rows of one task become; those of its kind alone are written. Offsets start at 0.
struct gather_slice {
  size_t rows;  // how many of the batch's rows are this task's
  int64_t *labels, *tags, *target, *target_offsets;
};

// Gathers the rows of a batch, slice after slice, into buffers that are large enough: tokens, and offsets from 0.
void gather(const struct gather_shard* shards, const struct gather_row* rows, struct gather_slice* slices,
            size_t slice_count, int64_t* tokens, int64_t* offsets);

#ifdef __cplusplus
}
#endif
