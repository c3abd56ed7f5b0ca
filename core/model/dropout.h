// Dropout from the counter-based generator: masks depend on the sample and the place in the model alone. On the CPU it
// has a hand-written backward.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "core/model/segments.h"
#include "core/model/torch.h"

namespace polyhead {

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

// Dropout of attention weights: the weight of a query for key j of its sequence, in attention head h, is channel
// h 2^20 + j of the query's row.
// - drop_attention() returns x after dropout, or x itself without keys. x: the weights of one sequence, [heads,
//   queries, keys], contiguous; first: the row of its first query.
// - attention_dropout_mask() returns the factors of padded sequences, [sequences, heads, queries, keys].
//   row_keys: [sequences, 1, queries].
torch::Tensor drop_attention(const torch::Tensor& x, const std::optional<torch::Tensor>& keys, double p,
                             std::int64_t first);
torch::Tensor attention_dropout_mask(const torch::Tensor& row_keys, std::int64_t heads, std::int64_t keys, double p,
                                     torch::ScalarType dtype);

}  // namespace polyhead
