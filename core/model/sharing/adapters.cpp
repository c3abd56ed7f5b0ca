// Adapters (Houlsby et al., 2019; one after each block, which Pfeiffer et al., 2021, found to be enough): each task has
// a small network of its own after every block,
//   x <- x + U_t gelu(D_t LN_t(x)).
// U_t is initially 0, so training starts as with one trunk.
#include <fmt/format.h>

#include "core/base/as_doubles.h"
#include "core/model/block_extension.h"

namespace polyhead {
namespace {

struct Layer {
  LayerNorm norm;
  Linear down, up;  // D_t, U_t
};

class Adapters : public BlockExtension {
 public:
  explicit Adapters(const EncoderOptions& options) : options_(options) {}

  std::unique_ptr<TaskParts> add_task_parts(Arena& head) const override {
    auto parts = std::make_unique<TaskLayers<Layer>>();
    for (std::int64_t i = 0; i < options_.layers; ++i) {
      const std::string name = fmt::format("encoder.layers.{}.adapter", i);
      Layer layer;
      layer.norm = LayerNorm(head, name + ".norm", options_.dim);
      layer.down = Linear(head, name + ".down", options_.dim, options_.adapter_dim);
      layer.up = Linear(head, name + ".up", options_.adapter_dim, options_.dim, 0);
      parts->layers.push_back(layer);
    }
    return parts;
  }

  void after_block(BlockState& state, const BlockContext& context) const override {
    const auto rows = state.x.split_with_sizes(row_counts(context.tasks));
    std::vector<torch::Tensor> changes;
    for (std::size_t k = 0; k < rows.size(); ++k) {
      const Layer& layer = layer_of<Layer>(context.tasks[k], context);
      changes.push_back(layer.up(at::gelu(layer.down(layer.norm(rows[k])))));
    }
    state.x = state.x + torch::cat(changes);
  }

  SharingCost cost() const override {
    const auto [dim, layers, width] = as_doubles(options_.dim, options_.layers, options_.adapter_dim);
    return {.multiplications = layers * 2 * dim * width, .kept = layers * (2 * dim + 2 * width)};
  }

 private:
  EncoderOptions options_;
};

}  // namespace

std::unique_ptr<BlockExtension> make_adapters(const EncoderOptions& options) {
  return std::make_unique<Adapters>(options);
}

}  // namespace polyhead
