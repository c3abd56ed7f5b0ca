// Attention within each of several packed sequences: sequence by sequence with a hand-written backward on the CPU, and
// as one padded block on a GPU, with equal results up to rounding.
#pragma once

#include "core/model/dropout.h"
#include "core/model/segments.h"
#include "core/model/torch.h"

namespace polyhead {

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

}  // namespace polyhead
