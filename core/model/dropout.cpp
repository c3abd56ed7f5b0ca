// Dropout with masks that are hashes of (row key, channel), as loops on the CPU and as tensors on a GPU.
#include "core/model/dropout.h"

#include <ATen/Parallel.h>

#include "core/base/clones.h"
#include "core/base/counter_random.h"
#include "core/model/staging.h"

namespace polyhead {
namespace {

using torch::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

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

// The inner loop. Each clone performs the same operations in the same order.
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
POLYHEAD_DROPOUT_ROW(float)
POLYHEAD_DROPOUT_ROW(double)

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

constexpr std::int64_t kHeadChannels = std::int64_t{1} << 20;

}  // namespace

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
  return DropoutAdd::apply(x, residual.defined() ? std::optional(residual) : std::nullopt, keys, p);
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

torch::Tensor drop_attention(const Tensor& x, const std::optional<Tensor>& keys, double p, std::int64_t first) {
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

torch::Tensor attention_dropout_mask(const Tensor& row_keys, std::int64_t heads, std::int64_t keys, double p,
                                     torch::ScalarType dtype) {
  const Tensor channels = torch::arange(heads, row_keys.options()).view({heads, 1, 1}) * kHeadChannels +
                          torch::arange(keys, row_keys.options());
  return mask_of(row_keys, channels, p, dtype);
}

}  // namespace polyhead
