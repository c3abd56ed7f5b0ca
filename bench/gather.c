// Gathers rows of mapped arrays and widens them to 64 bits, with two prefetches ahead: a row's offsets, then its
// values.
#include "bench/gather.h"

enum { kValuesAhead = 16, kOffsetsAhead = 64, kNotScored = 65535, kIgnore = -100 };

static void prefetch_offsets(const struct gather_shard* shards, struct gather_row at) {
  const struct gather_shard* shard = &shards[at.shard];
  __builtin_prefetch(&shard->input.offsets[at.row]);
  if (shard->target.values) __builtin_prefetch(&shard->target.offsets[at.row]);
  if (shard->label) __builtin_prefetch(&shard->label[at.row]);
}

static void prefetch_lines(const uint16_t* values, const uint64_t* offsets, uint32_t row) {
  const uintptr_t end = (uintptr_t)(values + offsets[row + 1]);
  for (uintptr_t line = (uintptr_t)(values + offsets[row]) & ~(uintptr_t)63; line < end; line += 64)
    __builtin_prefetch((const void*)line);
}

static void prefetch_values(const struct gather_shard* shards, struct gather_row at) {
  const struct gather_shard* shard = &shards[at.shard];
  prefetch_lines(shard->input.values, shard->input.offsets, at.row);
  if (shard->target.values) prefetch_lines(shard->target.values, shard->target.offsets, at.row);
  if (shard->tags) prefetch_lines(shard->tags, shard->input.offsets, at.row);
}

static int64_t* widen(const struct gather_ragged* from, uint32_t row, int64_t* out) {
  const uint16_t* values = from->values + from->offsets[row];
  const size_t count = from->offsets[row + 1] - from->offsets[row];
  for (size_t i = 0; i < count; ++i) out[i] = values[i];
  return out + count;
}

void gather(const struct gather_shard* shards, const struct gather_row* rows, struct gather_slice* slices,
            size_t slice_count, int64_t* tokens, int64_t* offsets) {
  size_t total = 0, i = 0;
  for (size_t s = 0; s < slice_count; ++s) total += slices[s].rows;
  for (size_t ahead = 0; ahead < kOffsetsAhead && ahead < total; ++ahead) prefetch_offsets(shards, rows[ahead]);
  for (size_t ahead = 0; ahead < kValuesAhead && ahead < total; ++ahead) prefetch_values(shards, rows[ahead]);
  int64_t* end = tokens;
  *offsets++ = 0;
  for (size_t s = 0; s < slice_count; ++s) {
    struct gather_slice out = slices[s];
    int64_t* target_end = out.target;
    if (out.target_offsets) *out.target_offsets++ = 0;
    for (size_t last = i + out.rows; i < last; ++i) {
      if (i + kOffsetsAhead < total) prefetch_offsets(shards, rows[i + kOffsetsAhead]);
      if (i + kValuesAhead < total) prefetch_values(shards, rows[i + kValuesAhead]);
      const struct gather_shard* shard = &shards[rows[i].shard];
      const uint32_t row = rows[i].row;
      end = widen(&shard->input, row, end);
      *offsets++ = end - tokens;
      if (shard->label) *out.labels++ = shard->label[row];
      if (shard->tags) {
        const uint16_t* tags = shard->tags + shard->input.offsets[row];
        const size_t count = shard->input.offsets[row + 1] - shard->input.offsets[row];
        for (size_t at = 0; at < count; ++at) out.tags[at] = tags[at] == kNotScored ? kIgnore : tags[at];
        out.tags += count;
      }
      if (shard->target.values) {
        target_end = widen(&shard->target, row, target_end);
        *out.target_offsets++ = target_end - out.target;
      }
    }
  }
}
