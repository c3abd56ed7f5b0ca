// PLE (Tang et al., 2020): as in mmoe, K shared experts of width ffn / K replace the feed-forward network of the top
// blocks. Each task has m experts of its own besides, of the same width, and its gate is over all K + m:
//   x <- x + sum_k g_k E_k(LN(s)) + sum_j g_(K+j) E_tj(LN(x)),  g = softmax(W_t LN(x))
// With several such blocks, a shared path s runs next to the task's path x up to the last one. Both start as the
// trunk's states and pass through the same attention:
//   s <- the same sum with the shared gate softmax(W LN(s))
// This gate is over the K shared experts and those of the word's task, which are the paper's experts that have seen the
// word. W has rows for the experts of every task.
//
// Gates are initially 0, so all experts have the same weight. In the form bert, the norm comes after the sums: experts
// and gates read x and s themselves.
#include <fmt/format.h>

#include <utility>

#include "core/base/as_doubles.h"
#include "core/model/block_extension.h"
#include "core/model/sharing/experts.h"

namespace polyhead {
namespace {

struct Layer {                // in the top blocks
  Parameter* gate = nullptr;  // W_t: [K + m, dim]
  Experts experts;            // E_t
};

class Ple : public BlockExtension {
 public:
  explicit Ple(const EncoderOptions& options) : options_(options) {}

  bool add_shared_parts(Arena& encoder, std::int64_t block, std::int64_t tasks, const BlockForm& form) override {
    if (block < first_expert_block(options_)) return false;
    const std::string name = fmt::format("layers.{}.experts", block);
    Block added;
    added.residual = Residual(encoder, name, options_.dim, form);
    added.experts = Experts(encoder, name, options_.experts, options_);
    if (block + 1 < options_.layers)
      added.gate =
          encoder.constant(name + ".gate", {options_.experts + tasks * options_.task_experts, options_.dim}, 0);
    blocks_.push_back(added);
    return true;
  }

  std::unique_ptr<TaskParts> add_task_parts(Arena& head) const override {
    auto parts = std::make_unique<TaskLayers<Layer>>();
    parts->layers.resize(static_cast<std::size_t>(options_.layers));
    for (std::int64_t i = first_expert_block(options_); i < options_.layers; ++i) {
      const std::string name = fmt::format("encoder.layers.{}", i);
      Layer& layer = parts->layers[static_cast<std::size_t>(i)];
      layer.gate = head.constant(name + ".gate", {options_.experts + options_.task_experts, options_.dim}, 0);
      layer.experts = Experts(head, name + ".experts", options_.task_experts, options_);
    }
    return parts;
  }

  // state.second holds the shared path s. It is undefined before the first block with experts, and after the last.
  void feed_forward(BlockState& state, const SelfAttention& attention, const BlockContext& context) const override {
    const std::int64_t level = context.block - first_expert_block(options_), second = options_.layers + level;
    const Block& block = blocks_[static_cast<std::size_t>(level)];
    const Residual& residual = block.residual;
    const bool two = state.second.defined();
    // A dropped branch is dropped in both paths.
    const auto as_first = [](BranchSites sites, const BranchSites& first) {
      sites.path = first.path;
      return sites;
    };
    const BranchSites attention_sites = context.sites.attention(context.block),
                      sum_sites = context.sites.feed_forward(context.block);
    const torch::Tensor shared =
        two ? attention(state.second, context, as_first(context.sites.attention(second), attention_sites)) : state.x;
    const torch::Tensor n = residual.input(state.x), shared_n = two ? residual.input(shared) : n;
    const auto [own_sum, shared_sum] = sums(block, n, shared_n, context);
    state.x = residual.join(own_sum, state.x, context, sum_sites);
    state.second = shared_sum.defined() ? residual.join(shared_sum, shared, context,
                                                        as_first(context.sites.feed_forward(second), sum_sites))
                                        : torch::Tensor();
  }

  std::int64_t second_path_blocks() const override { return options_.expert_layers > 1 ? options_.expert_layers : 0; }

  SharingCost cost() const override {
    const auto [dim, ffn, blocks, experts, task_experts, expert_ffn] =
        as_doubles(options_.dim, options_.ffn, options_.expert_layers, options_.experts, options_.task_experts,
                   options_.ffn / options_.experts);
    const double width = task_experts * expert_ffn;
    // The shared path in addition to the task's path: attention, and the products with `down` again.
    const double path = 4 * dim * dim + dim * (ffn + width);
    // Also the inner layers, and what each gate or product reads and writes.
    const double own = task_experts * ffn / experts;
    return {.multiplications = blocks * dim * (experts + task_experts + 2 * width) + (blocks - 1) * path,
            .kept = blocks * (2 * dim + 2 * (experts + task_experts) + ffn + 3 * own) +
                    (blocks - 1) * (10 * dim + 2 * ffn + own)};
  }

 private:
  struct Block {
    Residual residual;
    Experts experts;
    Parameter* gate = nullptr;  // W: [K + tasks * m, dim]; null in the last block, where the shared path ends
  };

  // Returns the two sums of the formulas: for the task's path, and for the shared path (undefined without a gate).
  // n: LN(x); shared: LN(s).
  std::pair<torch::Tensor, torch::Tensor> sums(const Block& block, const torch::Tensor& n, const torch::Tensor& shared,
                                               const BlockContext& context) const {
    const std::int64_t count = options_.experts, own = options_.task_experts;
    const std::vector<std::int64_t> rows = row_counts(context.tasks);
    const auto parts = n.split_with_sizes(rows);
    std::vector<torch::Tensor> shared_logits;
    if (block.gate) shared_logits = at::linear(shared, block.gate->tensor).split_with_sizes(rows);
    struct Path {
      // By task: the gates of the shared experts, [rows, K], and the sums over the task's own experts, [rows, dim].
      std::vector<torch::Tensor> gates, sums;
    } of_task, of_all;
    for (std::size_t k = 0; k < parts.size(); ++k) {
      const Layer& layer = layer_of<Layer>(context.tasks[k], context);
      const torch::Tensor hidden = layer.experts.hidden(parts[k]);
      const auto add = [&](Path& path, const torch::Tensor& logits) {
        const torch::Tensor gates = at::softmax(logits, 1);
        path.gates.push_back(gates.narrow(1, 0, count));
        path.sums.push_back(layer.experts.mix(hidden, gates.narrow(1, count, own)));
      };
      add(of_task, at::linear(parts[k], layer.gate->tensor));
      if (block.gate) {
        const std::int64_t task = context.tasks[k].task;
        add(of_all,
            torch::cat({shared_logits[k].narrow(1, 0, count), shared_logits[k].narrow(1, count + task * own, own)}, 1));
      }
    }
    const torch::Tensor hidden = block.experts.hidden(shared);
    const auto sum = [&](const Path& path) {
      return block.experts.mix(hidden, torch::cat(path.gates)) + torch::cat(path.sums);
    };
    return {sum(of_task), block.gate ? sum(of_all) : torch::Tensor()};
  }

  EncoderOptions options_;
  std::vector<Block> blocks_;  // the top blocks
};

}  // namespace

std::unique_ptr<BlockExtension> make_ple(const EncoderOptions& options) {
  return std::make_unique<Ple>(options);
}

}  // namespace polyhead
