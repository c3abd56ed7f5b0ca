// MTAN (Liu, Johns and Davison, 2019, transferred from convolutions): the trunk x_l = block_l(x_l-1) does not change.
// Next to it, the task's features a_l, with a_0 = 0, are a soft mask over the shared features p_l of the layer:
//   p_l = LN_tl(x_l),  a_l = sigmoid(H_tl gelu(G_tl [p_l; a_l-1])) * p_l
// Heads read norm(x_L + a_L); in the form bert they read x_L + a_L without a norm. The paper has a shared map of a_l-1,
// which changes its width; here it is part of G.
#include <fmt/format.h>

#include "core/base/as_doubles.h"
#include "core/model/block_extension.h"

namespace polyhead {
namespace {

struct Layer {
  LayerNorm norm;
  Linear down, up;  // G_tl, H_tl
};

class Mtan : public BlockExtension {
 public:
  explicit Mtan(const EncoderOptions& options) : options_(options) {}

  std::unique_ptr<TaskParts> add_task_parts(Arena& head) const override {
    auto parts = std::make_unique<TaskLayers<Layer>>();
    const std::int64_t dim = options_.dim, width = options_.adapter_dim;
    for (std::int64_t i = 0; i < options_.layers; ++i) {
      const std::string name = fmt::format("encoder.layers.{}.mask", i);
      Layer layer;
      layer.norm = LayerNorm(head, name + ".norm", dim);
      layer.down = Linear(head, name + ".down", i == 0 ? dim : 2 * dim, width);
      layer.up = Linear(head, name + ".up", width, dim);
      parts->layers.push_back(layer);
    }
    return parts;
  }

  // state.second holds the features a_l; it is undefined before the first block.
  void after_block(BlockState& state, const BlockContext& context) const override {
    const auto rows = state.x.split_with_sizes(row_counts(context.tasks));
    std::vector<torch::Tensor> previous, features;
    if (state.second.defined()) previous = state.second.split_with_sizes(row_counts(context.tasks));
    for (std::size_t k = 0; k < rows.size(); ++k) {
      const Layer& layer = layer_of<Layer>(context.tasks[k], context);
      const torch::Tensor shared = layer.norm(rows[k]);
      const torch::Tensor seen = previous.empty() ? shared : torch::cat({shared, previous[k]}, 1);
      features.push_back(at::sigmoid(layer.up(at::gelu(layer.down(seen)))) * shared);
    }
    state.second = torch::cat(features);
  }

  torch::Tensor result(const torch::Tensor& states) const override {
    return states.narrow(1, 0, options_.dim) + states.narrow(1, options_.dim, options_.dim);
  }

  SharingCost cost() const override {
    const auto [dim, layers, width] = as_doubles(options_.dim, options_.layers, options_.adapter_dim);
    return {.multiplications = (3 * layers - 1) * dim * width, .kept = layers * (6 * dim + 2 * width)};
  }

 private:
  EncoderOptions options_;
};

}  // namespace

std::unique_ptr<BlockExtension> make_mtan(const EncoderOptions& options) {
  return std::make_unique<Mtan>(options);
}

}  // namespace polyhead
