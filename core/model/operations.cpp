// Operations on packed sequences with hand-written gradients: dropout by counter, rotary positions, attention within
// each sequence, and sums over sequences.
#include "core/model/operations.h"

#include <ATen/Parallel.h>

#include <cmath>
#include <limits>

#include "core/base/clones.h"
#include "core/base/counter_random.h"

namespace polyhead {
namespace {

using torch::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

// An autograd function does not accept undefined tensors.
std::optional<Tensor> optional(const Tensor& tensor) {
  return tensor.defined() ? std::optional(tensor) : std::nullopt;
}

constexpr std::int64_t kChannelStep = 0x9e3779b9LL;

// A 32-bit hash of (row key, channel): Wellons' lowbias32. The tensor form below gives the same numbers.
inline std::uint32_t channel_bits(std::uint32_t row, std::uint32_t channel) {
  std::uint32_t x = row + channel * static_cast<std::uint32_t>(kChannelStep);
  x = (x ^ (x >> 16)) * 0x7feb352dU;
  x = (x ^ (x >> 15)) * 0x846ca68bU;
  return x ^ (x >> 16);
}

std::uint32_t drop_threshold(double p) {
  return static_cast<std::uint32_t>(p * 4294967296.0);
}

// keys: [...], channels: [n] or of a shape that broadcasts to [..., n]
Tensor mask_of(const Tensor& keys, const Tensor& channels, double p, torch::ScalarType dtype) {
  constexpr std::int64_t low = 0xffffffff;
  Tensor x = (keys.unsqueeze(-1) + channels * kChannelStep).bitwise_and(low);
  x = (x.bitwise_xor(x.bitwise_right_shift(16)) * 0x7feb352dLL).bitwise_and(low);
  x = (x.bitwise_xor(x.bitwise_right_shift(15)) * 0x846ca68bLL).bitwise_and(low);
  x = x.bitwise_xor(x.bitwise_right_shift(16));
  return x.ge(static_cast<std::int64_t>(drop_threshold(p))).to(dtype) / (1 - p);
}

// The inner loops. Each clone performs the same operations in the same order.
#define POLYHEAD_DROPOUT_ROW(T)                                                                                      \
  POLYHEAD_CLONES void dropout_row(const T* x, const T* residual, std::uint32_t key, T* out, std::uint32_t channels, \
                                   std::uint32_t threshold, T scale) {                                               \
    if (residual) {                                                                                                  \
      for (std::uint32_t c = 0; c < channels; ++c)                                                                   \
        out[c] = residual[c] + (channel_bits(key, c) >= threshold ? x[c] * scale : T(0));                            \
    } else {                                                                                                         \
      for (std::uint32_t c = 0; c < channels; ++c) out[c] = channel_bits(key, c) >= threshold ? x[c] * scale : T(0); \
    }                                                                                                                \
  }
#define POLYHEAD_TURN_ROW(T)                                                                                     \
  POLYHEAD_CLONES void turn_row(const T* x, const T* cosine, const T* sine, T sign, T* out, std::int64_t half) { \
    for (std::int64_t c = 0; c < half; ++c) {                                                                    \
      const T a = x[c], b = x[half + c], s = sign * sine[c];                                                     \
      out[c] = a * cosine[c] - b * s;                                                                            \
      out[half + c] = b * cosine[c] + a * s;                                                                     \
    }                                                                                                            \
  }
POLYHEAD_DROPOUT_ROW(float)
POLYHEAD_DROPOUT_ROW(double)
POLYHEAD_TURN_ROW(float)
POLYHEAD_TURN_ROW(double)

Tensor apply_dropout(const Tensor& x, const Tensor& residual, const Tensor& keys, double p) {
  if (x.is_cuda()) {
    const Tensor dropped = x * dropout_mask(keys, x.size(1), p, x.scalar_type());
    return residual.defined() ? residual + dropped : dropped;
  }
  const Tensor from = x.contiguous();
  const Tensor base = residual.defined() ? residual.contiguous() : Tensor();
  Tensor out = torch::empty_like(from);
  AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "dropout", [&] {
    const auto* rows = from.data_ptr<scalar_t>();
    const auto* residuals = base.defined() ? base.data_ptr<scalar_t>() : nullptr;
    const auto* row_keys = keys.data_ptr<std::int64_t>();
    auto* to = out.data_ptr<scalar_t>();
    const std::int64_t width = x.size(1);
    at::parallel_for(0, x.size(0), 64, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t row = begin; row < end; ++row)
        dropout_row(rows + row * width, residuals ? residuals + row * width : nullptr,
                    static_cast<std::uint32_t>(row_keys[row]), to + row * width, static_cast<std::uint32_t>(width),
                    drop_threshold(p), static_cast<scalar_t>(1 / (1 - p)));
    });
  });
  return out;
}

struct DropoutAdd : torch::autograd::Function<DropoutAdd> {
  static Tensor forward(AutogradContext* context, const Tensor& x, const std::optional<Tensor>& residual,
                        const Tensor& keys, double p) {
    context->save_for_backward({keys});
    context->saved_data["p"] = p;
    context->saved_data["residual"] = residual.has_value();
    return apply_dropout(x, residual.value_or(Tensor()), keys, p);
  }
  static tensor_list backward(AutogradContext* context, tensor_list gradient) {
    const Tensor dx =
        apply_dropout(gradient[0], Tensor(), context->get_saved_variables()[0], context->saved_data["p"].toDouble());
    return {dx, context->saved_data["residual"].toBool() ? gradient[0] : Tensor(), Tensor(), Tensor()};
  }
};

// direction = 1 rotates forward, -1 backward (the transposed rotation).
Tensor turn(const Tensor& x, const Tensor& cosine, const Tensor& sine, int direction) {
  const std::int64_t heads = x.size(1), half = x.size(2) / 2;
  if (x.is_cuda()) {
    const Tensor a = x.narrow(2, 0, half), b = x.narrow(2, half, half);
    const Tensor c = cosine.unsqueeze(1), s = sine.unsqueeze(1) * direction;
    return torch::cat({a * c - b * s, b * c + a * s}, 2);
  }
  Tensor out = torch::empty(x.sizes(), x.options());
  const Tensor in = x.stride(2) == 1 && x.stride(1) == 2 * half ? x : x.contiguous();
  AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "rotate", [&] {
    const auto* from = in.data_ptr<scalar_t>();
    auto* to = out.data_ptr<scalar_t>();
    const auto* cosines = cosine.data_ptr<scalar_t>();
    const auto* sines = sine.data_ptr<scalar_t>();
    const std::int64_t stride = in.stride(0);
    const auto sign = static_cast<scalar_t>(direction);
    at::parallel_for(0, x.size(0), 64, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t row = begin; row < end; ++row)
        for (std::int64_t head = 0; head < heads; ++head)
          turn_row(from + row * stride + head * 2 * half, cosines + row * half, sines + row * half, sign,
                   to + (row * heads + head) * 2 * half, half);
    });
  });
  return out;
}

struct Rotate : torch::autograd::Function<Rotate> {
  static Tensor forward(AutogradContext* context, const Tensor& x, const Tensor& cosine, const Tensor& sine) {
    context->save_for_backward({cosine, sine});
    return turn(x, cosine, sine, 1);
  }
  static tensor_list backward(AutogradContext* context, tensor_list gradient) {
    const auto saved = context->get_saved_variables();
    return {turn(gradient[0], saved[0], saved[1], -1), Tensor(), Tensor()};
  }
};

// Returns the [tokens, heads, head] rows of one sequence as [heads, length, head], a view.
Tensor rows_of(const Tensor& x, const std::vector<std::int64_t>& offsets, std::size_t sequence) {
  return x.narrow(0, offsets[sequence], offsets[sequence + 1] - offsets[sequence]).transpose(0, 1);
}

// Uses only gathers and segment sums, because the order of scattered additions is not fixed on a GPU.
struct SegmentSoftmax : torch::autograd::Function<SegmentSoftmax> {
  static Tensor reduce(const char* kind, const Tensor& x, const Tensor& lengths) {
    return at::segment_reduce(x, kind, lengths, {}, {}, 0, /*unsafe=*/true);
  }
  static Tensor forward(AutogradContext* context, const Tensor& x, const Tensor& lengths, const Tensor& rows) {
    const Tensor e = (x - reduce("max", x, lengths).index_select(0, rows)).exp_();
    const Tensor p = e / reduce("sum", e, lengths).index_select(0, rows);
    context->save_for_backward({p, lengths, rows});
    return p;
  }
  static tensor_list backward(AutogradContext* context, tensor_list gradient) {
    const auto saved = context->get_saved_variables();
    const Tensor &p = saved[0], &lengths = saved[1], &rows = saved[2], pg = p * gradient[0];
    return {pg - p * reduce("sum", pg, lengths).index_select(0, rows), Tensor(), Tensor()};
  }
};

// A query's weight on key j in attention head h is channel h 2^20 + j of the query's row.
constexpr std::int64_t kHeadChannels = std::int64_t{1} << 20;

// Applies dropout to one sequence's attention weights x, [heads, rows, columns], contiguous. Returns x itself without
// keys. first: the first row of the sequence's queries.
Tensor drop_weights(const Tensor& x, const std::optional<Tensor>& keys, double p, std::int64_t first) {
  if (!keys) return x;
  Tensor out = torch::empty_like(x);
  const std::int64_t heads = x.size(0), rows = x.size(1), columns = x.size(2);
  AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "attention_dropout", [&] {
    const auto* from = x.data_ptr<scalar_t>();
    const auto* row_keys = keys->data_ptr<std::int64_t>() + first;
    auto* to = out.data_ptr<scalar_t>();
    at::parallel_for(0, heads * rows, 64, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i)
        dropout_row(from + i * columns, nullptr,
                    static_cast<std::uint32_t>(row_keys[i % rows] + i / rows * kHeadChannels * kChannelStep),
                    to + i * columns, static_cast<std::uint32_t>(columns), drop_threshold(p),
                    static_cast<scalar_t>(1 / (1 - p)));
    });
  });
  return out;
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
          .copy_(at::bmm(drop_weights(p, dropout_keys, dropout, query_offsets[i]), rows_of(v, key_offsets, i)));
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
      const Tensor dp = drop_weights(at::bmm(dy, rows_of(v, key_offsets, i).transpose(1, 2)), dropout_keys, dropout,
                                     query_offsets[i]);
      Tensor ds = at::_softmax_backward_data(dp, p, -1, p.scalar_type());
      if (with_bias) d_bias.narrow(0, key_offsets[i], columns).copy_(ds.sum(at::IntArrayRef({0, 1})));
      ds.mul_(scale);
      rows_of(dv, key_offsets, i)
          .copy_(at::bmm(drop_weights(p, dropout_keys, dropout, query_offsets[i]).transpose(1, 2), dy));
      rows_of(dq, query_offsets, i).copy_(at::bmm(ds, rows_of(k, key_offsets, i)));
      rows_of(dk, key_offsets, i).copy_(at::bmm(ds.transpose(1, 2), rows_of(q, query_offsets, i)));
    }
    return {dq, dk, dv, d_bias, Tensor(), Tensor(), Tensor(), Tensor(), Tensor()};
  }
};

}  // namespace

Tensor staging(at::IntArrayRef sizes, torch::ScalarType type, torch::Device device) {
  return torch::empty(sizes, torch::TensorOptions().dtype(type).pinned_memory(device.is_cuda()));
}

Segments Segments::from(std::vector<std::int64_t> offsets, torch::Device device) {
  Segments segments{.offsets = std::move(offsets), .lengths = {}, .positions = {}};
  const std::int64_t sequences = segments.sequences();
  const Tensor lengths = staging({sequences}, torch::kInt64, device),
               positions = staging({segments.tokens()}, torch::kInt64, device);
  auto* length = lengths.data_ptr<std::int64_t>();
  auto* position = positions.data_ptr<std::int64_t>();
  for (std::int64_t i = 0; i < sequences; ++i) {
    const auto s = static_cast<std::size_t>(i);
    length[i] = segments.offsets[s + 1] - segments.offsets[s];
    for (std::int64_t j = 0; j < length[i]; ++j) *position++ = j;
  }
  segments.lengths = lengths.to(device, true);
  segments.positions = positions.to(device, true);
  return segments;
}

Tensor Segments::sequence_of_rows() const {
  return torch::repeat_interleave(lengths, std::optional<std::int64_t>(tokens()));
}

DropoutKeys::DropoutKeys(const Segments& segments, const std::vector<std::uint64_t>& sample_keys, std::uint64_t stream,
                         std::int64_t sites, torch::Device device) {
  const Tensor rows = staging({sites, segments.tokens()}, torch::kInt64, device);
  auto* out = rows.data_ptr<std::int64_t>();
  for (std::int64_t site = 0; site < sites; ++site)
    for (std::size_t i = 0; i < sample_keys.size(); ++i) {
      const std::uint64_t key = derive(derive(sample_keys[i], stream), static_cast<std::uint64_t>(site));
      const std::int64_t length = segments.offsets[i + 1] - segments.offsets[i];
      for (std::int64_t token = 0; token < length; ++token)
        *out++ = static_cast<std::int64_t>(draw(key, static_cast<std::uint64_t>(token)) >> 32);
    }
  rows_ = rows.to(device, true);
}

torch::Tensor dropout_mask(const Tensor& keys, std::int64_t channels, double p, torch::ScalarType dtype) {
  return mask_of(keys, torch::arange(channels, keys.options()), p, dtype);
}

torch::Tensor dropout_add(const Tensor& x, const Tensor& residual, const Tensor& keys, double p) {
  return DropoutAdd::apply(x, optional(residual), keys, p);
}

AttentionDropout DropoutKeys::attention(std::int64_t site, double p) const {
  return on() && p > 0 ? AttentionDropout{.keys = rows_.select(0, site), .p = p} : AttentionDropout{};
}

torch::Tensor DropoutKeys::path(std::int64_t site, double p, const Segments& segments, torch::ScalarType dtype) const {
  if (!on() || p == 0) return {};
  // The key of the first token, used as for channel -1.
  const Tensor first = rows_.select(0, site).index_select(0, segments.lengths.cumsum(0) - segments.lengths);
  return dropout_mask(first + (0x100000000LL - kChannelStep), 1, p, dtype)
      .repeat_interleave(segments.lengths, 0, segments.tokens());
}

torch::Tensor dropout_add(const Tensor& x, const Tensor& residual, const DropoutKeys& keys, std::int64_t site, double p,
                          const Tensor& path) {
  if (path.defined()) return at::addcmul(residual, dropout_add(x, {}, keys, site, p), path);
  if (!keys.on() || p == 0) return residual.defined() ? residual + x : x;
  return dropout_add(x, residual, keys.site(site), p);
}

Rotary Rotary::at(const Tensor& positions, std::int64_t head, torch::ScalarType dtype) {
  const std::int64_t half = head / 2;
  const Tensor rate = torch::pow(
      10000.0, torch::arange(half, positions.options().dtype(torch::kFloat64)) * (-1.0 / static_cast<double>(half)));
  const Tensor angle = positions.to(torch::kFloat64).unsqueeze(1) * rate;
  return {angle.cos().to(dtype), angle.sin().to(dtype)};
}

torch::Tensor rotate(const Tensor& x, const Rotary& rotary) {
  return rotary.cosine.defined() ? Rotate::apply(x, rotary.cosine, rotary.sine) : x;
}

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
    const Tensor channels = torch::arange(heads, row_keys.options()).view({heads, 1, 1}) * kHeadChannels +
                            torch::arange(key_longest, row_keys.options());
    const Tensor scores =
        at::matmul(padded_q, padded_k.transpose(2, 3)) / std::sqrt(static_cast<double>(q.size(2))) + mask;
    out = at::matmul(at::softmax(scores, -1) * mask_of(row_keys, channels, dropout.p, scores.scalar_type()), padded_v);
  } else {
    out = at::scaled_dot_product_attention(padded_q, padded_k, padded_v, mask);
  }
  return out.transpose(1, 2).reshape({sequences * query_longest, heads, v.size(2)}).index_select(0, query_place);
}

torch::Tensor segment_sum(const Tensor& x, const Segments& segments) {
  return at::segment_reduce(x, "sum", segments.lengths, {}, {}, 0, /*unsafe=*/true);
}

torch::Tensor segment_softmax(const Tensor& x, const Segments& segments) {
  return SegmentSoftmax::apply(x, segments.lengths, segments.sequence_of_rows());
}

}  // namespace polyhead
