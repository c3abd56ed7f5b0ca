// Operations on packed sequences that LibTorch does not have, with hand-written backward on the CPU: dropout from the
// counter-based generator, rotary positions, attention per sequence. On a GPU they are composed of LibTorch's own
// operations, with equal results up to rounding.
#pragma once

#include <cstdint>
#include <vector>

#include "core/base/batch.h"
#include "core/model/torch.h"

namespace polyhead {

// Host memory for values on their way to `device`: page-locked where that is a GPU, so that `.to(device, true)` waits
// neither for the copy nor for the work queued before it.
torch::Tensor staging(at::IntArrayRef sizes, torch::ScalarType type, torch::Device device);

// Where sequences begin and end, on the host and as tensors.
struct Segments {
  std::vector<std::int64_t> offsets;  // [sequences + 1], from 0
  torch::Tensor lengths;              // [sequences] i64, on the device
  torch::Tensor positions;            // [tokens] i64, on the device: index in the sequence

  std::int64_t sequences() const { return static_cast<std::int64_t>(offsets.size()) - 1; }
  std::int64_t tokens() const { return offsets.back(); }
  torch::Tensor sequence_of_rows() const;  // [tokens] i64, on the device
  static Segments from(std::vector<std::int64_t> offsets, torch::Device device);
};

// Dropout of attention's weights; off while `keys` is undefined.
struct AttentionDropout {
  torch::Tensor keys;  // [query tokens] i64: one of DropoutKeys' sites
  double p = 0;        // in (0, 1)
};

// Keys of the rows of packed sequences for dropout: of (sample key, token index), so that masks depend neither on rank
// nor on row. One key a row and site (a place in the model where dropout happens); off when undefined.
class DropoutKeys {
 public:
  DropoutKeys() = default;  // no dropout: evaluation
  // `sample_keys`: [sequences]; `stream` tells apart the encoder's rows from a decoder's.
  DropoutKeys(const Segments& segments, const std::vector<std::uint64_t>& sample_keys, std::uint64_t stream,
              std::int64_t sites, torch::Device device);
  bool on() const { return rows_.defined(); }
  torch::Tensor site(std::int64_t site) const { return rows_.select(0, site); }  // [tokens] i64, each below 2^32
  AttentionDropout attention(std::int64_t site, double p) const;                 // off without keys or with p = 0
  // Stochastic depth: what the rows of a branch are multiplied by, [tokens, 1]; 0 for all rows of a sequence that drops
  // the branch at `site`, with probability p, else 1 / (1 - p). Undefined without keys or with p = 0.
  torch::Tensor path(std::int64_t site, double p, const Segments& segments, torch::ScalarType dtype) const;

 private:
  torch::Tensor rows_;  // [sites, tokens]
};

// residual + dropout(x); x: [tokens, channels]; residual may be undefined. keys: [tokens]; p in [0, 1).
torch::Tensor dropout_add(const torch::Tensor& x, const torch::Tensor& residual, const torch::Tensor& keys, double p);
// The same by way of `keys.site(site)`; without keys or with p = 0 plain addition. path: of DropoutKeys, multiplies the
// branch x.
torch::Tensor dropout_add(const torch::Tensor& x, const torch::Tensor& residual, const DropoutKeys& keys,
                          std::int64_t site, double p, const torch::Tensor& path = {});

// What dropout multiplies by, as a tensor: 1 / (1 - p) where kept, 0 elsewhere, [tokens, channels]. The form for a GPU;
// dropout_add on the CPU has the same mask.
torch::Tensor dropout_mask(const torch::Tensor& keys, std::int64_t channels, double p, torch::ScalarType dtype);

// Rotary positions (Su et al., 2021, halves form): channel pairs (c, c + head/2) of every attention head turn by the
// angle position / 10000^(2c/head).
struct Rotary {
  torch::Tensor cosine, sine;  // [tokens, head / 2]
  static Rotary at(const torch::Tensor& positions, std::int64_t head, torch::ScalarType dtype);
};
// x: [tokens, heads, head] -> the same shape. x itself where there are no angles.
torch::Tensor rotate(const torch::Tensor& x, const Rotary& rotary);

// softmax(q k^T / sqrt(head) + bias) v, each query sequence over its key sequence.
// q: [query tokens, heads, head], k, v: [key tokens, heads, head], rows may be strided; bias: [key tokens] or
// undefined, added to the scores of that key. causal: query i sees keys 0..i (equal lengths only). Dropout multiplies
// the softmax by 0 or 1 / (1 - p), by the query's key, the head and the index of the key in its sequence, which must be
// below 2^20. -> [query tokens, heads, head]
torch::Tensor packed_attention(const torch::Tensor& q, const torch::Tensor& k, const torch::Tensor& v,
                               const torch::Tensor& bias, const Segments& queries, const Segments& keys, bool causal,
                               const AttentionDropout& dropout = {});

// The same as one padded block: the form for a GPU.
torch::Tensor padded_attention(const torch::Tensor& q, const torch::Tensor& k, const torch::Tensor& v,
                               const torch::Tensor& bias, const Segments& queries, const Segments& keys, bool causal,
                               const AttentionDropout& dropout = {});

// Sums of rows over each sequence: [tokens, channels] -> [sequences, channels].
torch::Tensor segment_sum(const torch::Tensor& x, const Segments& segments);

// Softmax of each channel over the rows of each sequence: [tokens, channels] -> the same shape.
torch::Tensor segment_softmax(const torch::Tensor& x, const Segments& segments);

}  // namespace polyhead
