// Implements stacked experts.
#include "core/model/sharing/experts.h"

#include <cmath>

#include "core/model/layers.h"

namespace polyhead {

Experts::Experts(Arena& arena, const std::string& name, std::int64_t count, const EncoderOptions& options)
    : activation(options.activation) {
  const std::int64_t width = options.ffn / options.experts, dim = options.dim;
  // The same initial values that Linear would give each expert's matrices in a block of this form.
  const bool bert = options.form == EncoderForm::bert;
  const double deviation = bert ? 0.02 : std::sqrt(2.0 / static_cast<double>(dim + width)),
               gain = bert ? 1 : 1 / std::sqrt(2.0 * static_cast<double>(options.layers));
  up = arena.normal(name + ".up.weight", {count * width, dim}, deviation, true);
  up_bias = arena.constant(name + ".up.bias", {count * width}, 0);
  down = arena.normal(name + ".down.weight", {dim, count * width}, gain * deviation, true);
  down_bias = arena.constant(name + ".down.bias", {count, dim}, 0);
}

torch::Tensor Experts::hidden(const torch::Tensor& n) const {
  return activate(at::linear(n, up->tensor, up_bias->tensor), activation);
}

torch::Tensor Experts::mix(const torch::Tensor& hidden, const torch::Tensor& gates) const {
  const torch::Tensor weighted = hidden.view({hidden.size(0), gates.size(1), -1}) * gates.unsqueeze(2);
  return at::linear(weighted.view(hidden.sizes()), down->tensor) + at::mm(gates, down_bias->tensor);
}

}  // namespace polyhead
