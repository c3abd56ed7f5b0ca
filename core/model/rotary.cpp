// Rotates the channel pairs of packed rows by their positions.
#include "core/model/rotary.h"

#include <ATen/Parallel.h>

#include "core/base/clones.h"

namespace polyhead {
namespace {

using torch::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

// The inner loop. Each clone performs the same operations in the same order.
#define POLYHEAD_TURN_ROW(T)                                                                                     \
  POLYHEAD_CLONES void turn_row(const T* x, const T* cosine, const T* sine, T sign, T* out, std::int64_t half) { \
    for (std::int64_t c = 0; c < half; ++c) {                                                                    \
      const T a = x[c], b = x[half + c], s = sign * sine[c];                                                     \
      out[c] = a * cosine[c] - b * s;                                                                            \
      out[half + c] = b * cosine[c] + a * s;                                                                     \
    }                                                                                                            \
  }
POLYHEAD_TURN_ROW(float)
POLYHEAD_TURN_ROW(double)

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

}  // namespace

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

}  // namespace polyhead
