// MMoE (Ma et al., 2018): K experts of width ffn / K replace the feed-forward network of the top blocks, so the numbers
// of parameters and products do not change. Each task mixes them with a gate of its own:
//   x <- x + sum_k g_k E_k(n),  g = softmax(W_t n)
// Gates are initially 0, so all experts have the same weight. In the form bert, the norm comes after the sum: experts
// and gates read x itself.
#include <fmt/format.h>

#include "core/base/as_doubles.h"
#include "core/model/block_extension.h"
#include "core/model/sharing/experts.h"

namespace polyhead {
namespace {

struct Layer {
  Parameter* gate = nullptr;  // W_t: [K, dim], in the top blocks
};

class Mmoe : public BlockExtension {
 public:
  explicit Mmoe(const EncoderOptions& options) : options_(options) {}

  bool add_shared_parts(Arena& encoder, std::int64_t block, std::int64_t /*tasks*/, const BlockForm& form) override {
    if (block < first_expert_block(options_)) return false;
    const std::string name = fmt::format("layers.{}.experts", block);
    Block added;
    added.residual = Residual(encoder, name, options_.dim, form);
    added.experts = Experts(encoder, name, options_.experts, options_);
    blocks_.push_back(added);
    return true;
  }

  std::unique_ptr<TaskParts> add_task_parts(Arena& head) const override {
    auto parts = std::make_unique<TaskLayers<Layer>>();
    parts->layers.resize(static_cast<std::size_t>(options_.layers));
    for (std::int64_t i = first_expert_block(options_); i < options_.layers; ++i)
      parts->layers[static_cast<std::size_t>(i)].gate =
          head.constant(fmt::format("encoder.layers.{}.gate", i), {options_.experts, options_.dim}, 0);
    return parts;
  }

  void feed_forward(BlockState& state, const SelfAttention& /*attention*/, const BlockContext& context) const override {
    const auto& [residual, experts] = blocks_[static_cast<std::size_t>(context.block - first_expert_block(options_))];
    const torch::Tensor n = residual.input(state.x);
    const auto rows = n.split_with_sizes(row_counts(context.tasks));
    std::vector<torch::Tensor> gates;
    for (std::size_t k = 0; k < rows.size(); ++k)
      gates.push_back(at::softmax(at::linear(rows[k], layer_of<Layer>(context.tasks[k], context).gate->tensor), 1));
    state.x = residual.join(experts.mix(experts.hidden(n), torch::cat(gates)), state.x, context,
                            context.sites.feed_forward(context.block));
  }

  // The experts are the plain feed-forward network in parts.
  SharingCost cost() const override {
    const auto [dim, ffn, experts, blocks] =
        as_doubles(options_.dim, options_.ffn, options_.experts, options_.expert_layers);
    return {.multiplications = blocks * dim * experts, .kept = blocks * (dim + 2 * experts + ffn)};
  }

 private:
  struct Block {
    Residual residual;
    Experts experts;
  };
  EncoderOptions options_;
  std::vector<Block> blocks_;  // the top blocks
};

}  // namespace

std::unique_ptr<BlockExtension> make_mmoe(const EncoderOptions& options) {
  return std::make_unique<Mmoe>(options);
}

}  // namespace polyhead
