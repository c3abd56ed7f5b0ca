// Operations on packed sequences that LibTorch does not have: dropout from the counter-based generator, rotary
// positions, and attention per sequence. On the CPU they have a hand-written backward. On a GPU they are composed of
// LibTorch's operations, with equal results up to rounding.
#pragma once

#include <cstdint>
#include <vector>

#include "core/base/batch.h"
#include "core/model/torch.h"

namespace polyhead {

// Returns host memory for values that will be copied to `device`. For a GPU it is page-locked, so that `.to(device,
// true)` waits neither for the copy nor for work queued before it.
torch::Tensor staging(at::IntArrayRef sizes, torch::ScalarType type, torch::Device device);

// Where sequences begin and end, on the host and as tensors.
struct Segments {
  std::vector<std::int64_t> offsets;  // [sequences + 1], from 0
  torch::Tensor lengths;              // [sequences] i64, on the device
  torch::Tensor positions;            // [tokens] i64, on the device: index of each token in its sequence

  std::int64_t sequences() const { return static_cast<std::int64_t>(offsets.size()) - 1; }
  std::int64_t tokens() const { return offsets.back(); }
  torch::Tensor sequence_of_rows() const;  // [tokens] i64, on the device
  static Segments from(std::vector<std::int64_t> offsets, torch::Device device);
};

// Dropout of attention weights. It is off while `keys` is undefined.
struct AttentionDropout {
  torch::Tensor keys;  // [query tokens] i64: one site of DropoutKeys
  double p = 0;        // in (0, 1)
};

// Dropout keys of the rows of packed sequences. They are derived from (sample key, token index), so masks depend
// neither on the rank nor on the row. There is one key per row and site, which is a place in the model where dropout
// happens. Undefined: dropout is off.
class DropoutKeys {
 public:
  DropoutKeys() = default;  // no dropout: evaluation
  // sample_keys: [sequences]. stream: distinguishes the encoder's rows from those of a decoder.
  DropoutKeys(const Segments& segments, const std::vector<std::uint64_t>& sample_keys, std::uint64_t stream,
              std::int64_t sites, torch::Device device);
  bool on() const { return rows_.defined(); }
  torch::Tensor site(std::int64_t site) const { return rows_.select(0, site); }  // [tokens] i64, each below 2^32
  AttentionDropout attention(std::int64_t site, double p) const;                 // off without keys or if p = 0
  // Stochastic depth: returns the factor of each row of a branch, [tokens, 1]. With probability p a sequence drops the
  // branch at `site`, and the factor of its rows is 0; otherwise it is 1 / (1 - p). Undefined without keys or if p = 0.
  torch::Tensor path(std::int64_t site, double p, const Segments& segments, torch::ScalarType dtype) const;

 private:
  torch::Tensor rows_;  // [sites, tokens]
};

// Returns residual + dropout(x). x: [tokens, channels]; residual may be undefined. keys: [tokens]; p in [0, 1).
torch::Tensor dropout_add(const torch::Tensor& x, const torch::Tensor& residual, const torch::Tensor& keys, double p);
// The same with the keys of `site`. Without keys, or if p = 0, it is a plain addition. path: see DropoutKeys::path;
// multiplies the branch x.
torch::Tensor dropout_add(const torch::Tensor& x, const torch::Tensor& residual, const DropoutKeys& keys,
                          std::int64_t site, double p, const torch::Tensor& path = {});

// Returns the factors of dropout as a tensor, [tokens, channels]: 1 / (1 - p) where an element is kept, 0 elsewhere.
// Used on a GPU; dropout_add has the same mask on the CPU.
torch::Tensor dropout_mask(const torch::Tensor& keys, std::int64_t channels, double p, torch::ScalarType dtype);

// Rotary positions (Su et al., 2021, halves form): channel pairs (c, c + head/2) of every attention head are rotated by
// the angle position / 10000^(2c/head).
struct Rotary {
  torch::Tensor cosine, sine;  // [tokens, head / 2]
  static Rotary at(const torch::Tensor& positions, std::int64_t head, torch::ScalarType dtype);
};
// x: [tokens, heads, head]. Returns the same shape; x itself if there are no angles.
torch::Tensor rotate(const torch::Tensor& x, const Rotary& rotary);

// Returns softmax(q k^T / sqrt(head) + bias) v for each query sequence over its key sequence, [query tokens, heads,
// head].
// - q: [query tokens, heads, head]; k, v: [key tokens, heads, head]. Rows may be strided.
// - bias: [key tokens] or undefined; added to the scores of each key.
// - causal: query i attends to keys 0..i (only for equal lengths).
// - dropout multiplies the softmax by 0 or 1 / (1 - p). It depends on the query's dropout key, the head and the index
//   of the key in its sequence, which must be below 2^20.
torch::Tensor packed_attention(const torch::Tensor& q, const torch::Tensor& k, const torch::Tensor& v,
                               const torch::Tensor& bias, const Segments& queries, const Segments& keys, bool causal,
                               const AttentionDropout& dropout = {});

// The same as one padded block, for a GPU.
torch::Tensor padded_attention(const torch::Tensor& q, const torch::Tensor& k, const torch::Tensor& v,
                               const torch::Tensor& bias, const Segments& queries, const Segments& keys, bool causal,
                               const AttentionDropout& dropout = {});

// Returns the sum of the rows of each sequence: [tokens, channels] becomes [sequences, channels].
torch::Tensor segment_sum(const torch::Tensor& x, const Segments& segments);

// Returns the softmax of each channel over the rows of each sequence, [tokens, channels].
torch::Tensor segment_softmax(const torch::Tensor& x, const Segments& segments);

}  // namespace polyhead
