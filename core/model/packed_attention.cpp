// Implements both forms of attention.
#include "core/model/packed_attention.h"

#include <cmath>
#include <limits>
#include <optional>

namespace polyhead {
namespace {

using torch::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

// An autograd function does not accept undefined tensors.
std::optional<Tensor> optional(const Tensor& tensor) {
  return tensor.defined() ? std::optional(tensor) : std::nullopt;
}

// Returns the [tokens, heads, head] rows of one sequence as [heads, length, head], a view.
Tensor rows_of(const Tensor& x, const std::vector<std::int64_t>& offsets, std::size_t sequence) {
  return x.narrow(0, offsets[sequence], offsets[sequence + 1] - offsets[sequence]).transpose(0, 1);
}

// Processes each sequence on strided views, without gathering or padding. The probabilities before dropout are stored
// for backward.
struct PackedAttention : torch::autograd::Function<PackedAttention> {
  static Tensor forward(AutogradContext* context, const Tensor& q, const Tensor& k, const Tensor& v,
                        const std::optional<Tensor>& bias, const std::vector<std::int64_t>& query_offsets,
                        const std::vector<std::int64_t>& key_offsets, bool causal,
                        const std::optional<Tensor>& dropout_keys, double dropout) {
    const std::int64_t heads = q.size(1);
    const double scale = 1 / std::sqrt(static_cast<double>(q.size(2)));
    std::int64_t kept = 0;
    for (std::size_t i = 0; i + 1 < query_offsets.size(); ++i)
      kept += heads * (query_offsets[i + 1] - query_offsets[i]) * (key_offsets[i + 1] - key_offsets[i]);
    Tensor probabilities = torch::empty({kept}, q.options());
    Tensor out = torch::empty({q.size(0), heads, v.size(2)}, q.options());
    std::int64_t at = 0;
    for (std::size_t i = 0; i + 1 < query_offsets.size(); ++i) {
      const std::int64_t rows = query_offsets[i + 1] - query_offsets[i], columns = key_offsets[i + 1] - key_offsets[i];
      if (rows == 0) continue;
      Tensor p = probabilities.narrow(0, at, heads * rows * columns).view({heads, rows, columns});
      at += p.numel();
      at::bmm_out(p, rows_of(q, query_offsets, i), rows_of(k, key_offsets, i).transpose(1, 2));
      p.mul_(scale);
      if (bias) p.add_(bias->narrow(0, key_offsets[i], columns));
      if (causal)
        p.masked_fill_(torch::ones({rows, columns}, q.options().dtype(torch::kBool)).triu_(1),
                       -std::numeric_limits<double>::infinity());
      at::_softmax_out(p, p, -1, false);
      rows_of(out, query_offsets, i)
          .copy_(at::bmm(drop_attention(p, dropout_keys, dropout, query_offsets[i]), rows_of(v, key_offsets, i)));
    }
    context->save_for_backward({q, k, v, probabilities, dropout_keys.value_or(Tensor())});
    context->saved_data["dropout"] = dropout;
    context->saved_data["queries"] = query_offsets;
    context->saved_data["keys"] = key_offsets;
    context->saved_data["bias"] = bias.has_value();
    return out;
  }

  static tensor_list backward(AutogradContext* context, tensor_list gradient) {
    const auto saved = context->get_saved_variables();
    const Tensor &q = saved[0], &k = saved[1], &v = saved[2], &probabilities = saved[3];
    const auto query_offsets = context->saved_data["queries"].toIntVector();
    const auto key_offsets = context->saved_data["keys"].toIntVector();
    const bool with_bias = context->saved_data["bias"].toBool();
    const std::optional<Tensor> dropout_keys = optional(saved[4]);
    const double dropout = context->saved_data["dropout"].toDouble();
    const std::int64_t heads = q.size(1);
    const double scale = 1 / std::sqrt(static_cast<double>(q.size(2)));
    const Tensor d_out = gradient[0].contiguous();
    Tensor dq = torch::empty(q.sizes(), q.options()), dk = torch::empty(k.sizes(), k.options()),
           dv = torch::empty(v.sizes(), v.options());
    Tensor d_bias = with_bias ? torch::empty({k.size(0)}, q.options()) : Tensor();
    std::int64_t at = 0;
    for (std::size_t i = 0; i + 1 < query_offsets.size(); ++i) {
      const std::int64_t rows = query_offsets[i + 1] - query_offsets[i], columns = key_offsets[i + 1] - key_offsets[i];
      if (rows == 0) {
        for (const Tensor& d : {dk, dv}) rows_of(d, key_offsets, i).zero_();
        if (with_bias) d_bias.narrow(0, key_offsets[i], columns).zero_();
        continue;
      }
      const Tensor p = probabilities.narrow(0, at, heads * rows * columns).view({heads, rows, columns});
      at += p.numel();
      const Tensor dy = rows_of(d_out, query_offsets, i);
      const Tensor dp = drop_attention(at::bmm(dy, rows_of(v, key_offsets, i).transpose(1, 2)), dropout_keys, dropout,
                                       query_offsets[i]);
      Tensor ds = at::_softmax_backward_data(dp, p, -1, p.scalar_type());
      if (with_bias) d_bias.narrow(0, key_offsets[i], columns).copy_(ds.sum(at::IntArrayRef({0, 1})));
      ds.mul_(scale);
      rows_of(dv, key_offsets, i)
          .copy_(at::bmm(drop_attention(p, dropout_keys, dropout, query_offsets[i]).transpose(1, 2), dy));
      rows_of(dq, query_offsets, i).copy_(at::bmm(ds, rows_of(k, key_offsets, i)));
      rows_of(dk, key_offsets, i).copy_(at::bmm(ds.transpose(1, 2), rows_of(q, query_offsets, i)));
    }
    return {dq, dk, dv, d_bias, Tensor(), Tensor(), Tensor(), Tensor(), Tensor()};
  }
};

}  // namespace

torch::Tensor packed_attention(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& bias,
                               const Segments& queries, const Segments& keys, bool causal,
                               const AttentionDropout& dropout) {
  if (q.is_cuda()) return padded_attention(q, k, v, bias, queries, keys, causal, dropout);
  return PackedAttention::apply(q, k, v, optional(bias), queries.offsets, keys.offsets, causal, optional(dropout.keys),
                                dropout.p);
}

// LibTorch's fused attention. It does not accept our mask for dropout, so with dropout attention is composed of single
// operations.
torch::Tensor padded_attention(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& bias,
                               const Segments& queries, const Segments& keys, bool causal,
                               const AttentionDropout& dropout) {
  const auto place = [](const Segments& segments) {
    const Tensor sequence = segments.sequence_of_rows();
    std::int64_t longest = 0;
    for (std::size_t i = 0; i + 1 < segments.offsets.size(); ++i)
      longest = std::max(longest, segments.offsets[i + 1] - segments.offsets[i]);
    return std::pair(sequence * longest + segments.positions, longest);
  };
  const auto [query_place, query_longest] = place(queries);
  const auto [key_place, key_longest] = place(keys);
  const std::int64_t sequences = queries.sequences(), heads = q.size(1);
  const auto pad = [&](const Tensor& x, const Tensor& rows, std::int64_t longest) {
    const Tensor flat = torch::zeros({sequences * longest, x.size(1), x.size(2)}, x.options()).index_copy(0, rows, x);
    return flat.view({sequences, longest, heads, x.size(2)}).transpose(1, 2);
  };
  Tensor mask = torch::full({sequences * key_longest}, -std::numeric_limits<double>::infinity(), q.options());
  mask = mask.index_copy(0, key_place, bias.defined() ? bias : torch::zeros({keys.tokens()}, q.options()))
             .view({sequences, 1, 1, key_longest});
  mask = mask.expand({sequences, 1, query_longest, key_longest});
  if (causal)
    mask = mask.masked_fill(torch::ones({query_longest, key_longest}, q.options().dtype(torch::kBool)).triu_(1),
                            -std::numeric_limits<double>::infinity());
  const Tensor padded_q = pad(q, query_place, query_longest), padded_k = pad(k, key_place, key_longest),
               padded_v = pad(v, key_place, key_longest);
  Tensor out;
  if (dropout.keys.defined()) {
    const Tensor row_keys = torch::zeros({sequences * query_longest}, dropout.keys.options())
                                .index_copy(0, query_place, dropout.keys)
                                .view({sequences, 1, query_longest});
    const Tensor scores =
        at::matmul(padded_q, padded_k.transpose(2, 3)) / std::sqrt(static_cast<double>(q.size(2))) + mask;
    out = at::matmul(
        at::softmax(scores, -1) * attention_dropout_mask(row_keys, heads, key_longest, dropout.p, scores.scalar_type()),
        padded_v);
  } else {
    out = at::scaled_dot_product_attention(padded_q, padded_k, padded_v, mask);
  }
  return out.transpose(1, 2).reshape({sequences * query_longest, heads, v.size(2)}).index_select(0, query_place);
}

}  // namespace polyhead
