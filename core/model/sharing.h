// Sharing beyond one trunk (encoder.share).
//
// x are the states of a text's words, n = LN(x), and t is the text's task. Parts with the index t belong to the task
// and live in its head's arena; all others belong to the encoder. Biases are omitted below.
//
// adapters (Houlsby et al., 2019; one after each block, which Pfeiffer et al., 2021, found to be enough):
//   x <- x + U_t gelu(D_t LN_t(x))
// U_t is initially 0, so training starts as with one trunk.
//
// mtan (Liu, Johns and Davison, 2019, transferred from convolutions): the trunk x_l = block_l(x_l-1) does not change.
// Next to it, the task's features a_l, with a_0 = 0, are a soft mask over the shared features p_l of the layer:
//   p_l = LN_tl(x_l), a_l = sigmoid(H_tl gelu(G_tl [p_l; a_l-1])) * p_l
// Heads read norm(x_L + a_L). The paper has a shared map of a_l-1, which changes its width; here it is part of G.
//
// mmoe (Ma et al., 2018): K experts of width ffn / K replace the feed-forward network of the top blocks, so the numbers
// of parameters and products do not change:
//   x <- x + sum_k g_k E_k(n), g = softmax(W_t n), E_k(n) = D_k gelu(U_k n)
//
// ple (Tang et al., 2020): the gate of a task also has m experts of its own, of the same width:
//   x <- x + sum_k g_k E_k(LN(s)) + sum_j g_(K+j) E_tj(LN(x)), g = softmax(W_t LN(x)), over K + m
// With several such blocks, a shared path s runs next to the task's path x up to the last one. Both start as the
// trunk's states and pass through the same attention:
//   s <- the same sum with the shared gate softmax(W LN(s))
// This gate is over the K shared experts and those of the word's task, which are the paper's experts that have seen the
// word. W has rows for the experts of every task.
//
// Gates are initially 0, so all experts have the same weight. In the form bert, the LN comes after the sums: experts
// and gates read x and s themselves, and heads read x_L + a_L without a norm.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "core/model/arena.h"
#include "core/model/layers.h"
#include "core/model/options.h"

namespace polyhead {

// The experts E_1..E_n stacked, so that one product computes all of them.
struct Experts {
  Parameter *up = nullptr, *up_bias = nullptr;      // [n * width, dim], [n * width]
  Parameter *down = nullptr, *down_bias = nullptr;  // [dim, n * width], [n, dim]
  Experts() = default;
  Experts(Arena& arena, const std::string& name, std::int64_t count, const EncoderOptions& options);
  torch::Tensor hidden(const torch::Tensor& n) const;  // gelu(U n): [rows, n * width]
  // Returns sum_k gates_k D_k hidden_k, [rows, dim]. gates: [rows, n].
  torch::Tensor mix(const torch::Tensor& hidden, const torch::Tensor& gates) const;
};

// The parts of the encoder's blocks that a task owns. Parameters are named "encoder.layers.I.…".
class TaskLayers {
 public:
  // Throws Error(config) for options out of range. options.share must not be hard.
  TaskLayers(Arena& arena, const EncoderOptions& options);

  struct Layer {
    LayerNorm norm;             // adapters, mtan
    Linear down, up;            // adapters: D, U; mtan: G, H
    Parameter* gate = nullptr;  // mmoe, ple: [experts + task experts, dim], in the top blocks
    Experts experts;            // ple
  };
  const Layer& layer(std::size_t i) const { return layers_[i]; }

 private:
  std::vector<Layer> layers_;
};

// The rows of one task in a packed batch; those of the next task follow.
struct TaskRows {
  int task = 0;  // index as in slot(task)
  std::int64_t rows = 0;
  const TaskLayers* layers = nullptr;
};

// adapters: returns x after the adapters of block i, [rows of all tasks, dim].
torch::Tensor adapted(const torch::Tensor& x, const std::vector<TaskRows>& tasks, std::size_t i);
// mtan: returns a_i, computed from x_i and a_i-1, which is undefined for the first block.
torch::Tensor masked_features(const torch::Tensor& x, const torch::Tensor& before, const std::vector<TaskRows>& tasks,
                              std::size_t i);

// The encoder's part of a block with experts.
struct MixtureOfExperts {
  Experts experts;
  Parameter* gate = nullptr;  // of the shared path: [experts + tasks * task experts, dim]; null: the path ends here
  std::int64_t count = 0, task_count = 0;  // K, and m (mmoe: 0)

  MixtureOfExperts() = default;
  MixtureOfExperts(Arena& arena, const std::string& name, std::int64_t tasks, bool last, const EncoderOptions& options);
  // Returns the two sums of block i, from the normalised states of both paths: for the task's path, and for the shared
  // path (undefined without a gate).
  std::pair<torch::Tensor, torch::Tensor> operator()(const torch::Tensor& own, const torch::Tensor& shared,
                                                     const std::vector<TaskRows>& tasks, std::size_t i) const;
};

// Returns the first block with experts, or options.layers if there is none.
std::int64_t first_expert_layer(const EncoderOptions& options);
// Returns the number of top blocks that ple's shared path takes part in; 0 if only one block has experts.
std::int64_t shared_path_blocks(const EncoderOptions& options);
// Returns the number of multiplications per word that sharing adds to the plain encoder, to estimate a task's cost.
double sharing_work(const EncoderOptions& options);

}  // namespace polyhead
