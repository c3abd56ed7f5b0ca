// Sharing beyond one trunk (encoder.share). x: the states of a text's words; n = LN(x); t: the text's task, whose own
// parts (index t) live in its head's arena; all else is the encoder's. Biases are left out below.
//
// adapters (Houlsby et al., 2019; one behind each block, where Pfeiffer et al., 2021, found one to be enough):
//   x <- x + U_t gelu(D_t LN_t(x)); U_t starts at 0, so that training begins as with one trunk.
// mtan (Liu, Johns and Davison, 2019, carried over from convolutions): the trunk x_l = block_l(x_l-1) is unchanged;
//   beside it flow the task's features a_l, from a_0 = 0, by a soft mask over the layer's shared features p_l:
//   p_l = LN_tl(x_l), a_l = sigmoid(H_tl gelu(G_tl [p_l; a_l-1])) * p_l
//   What is read is norm(x_L + a_L). The paper's shared map of a_l-1, which changes its width there, is part of G here.
// mmoe (Ma et al., 2018): the feed-forward of the top blocks becomes K experts of width ffn / K, so as many parameters
//   and products as before:
//   x <- x + sum_k g_k E_k(n), g = softmax(W_t n), E_k(n) = D_k gelu(U_k n)
// ple (Tang et al., 2020): m experts of the task, of the same width, enter its gate. With several such blocks a shared
//   path s runs beside the task's path x until the last (both begin as the trunk, both go through the same attention):
//   x <- x + sum_k g_k E_k(LN(s)) + sum_j g_(K+j) E_tj(LN(x)), g = softmax(W_t LN(x)), over K + m
//   s <- the same with the shared gate softmax(W LN(s)) over the K shared experts and those of the word's task: the
//   paper's, over the experts that have seen the word. W has rows for the experts of every task.
// Gates start at 0: every expert weighs the same. In the form bert, with LN behind the sums, experts and gates read x
// and s themselves, and x_L + a_L is read as it is.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "core/model/arena.h"
#include "core/model/layers.h"
#include "core/model/options.h"

namespace polyhead {

// E_1..E_n side by side: one product for all.
struct Experts {
  Parameter *up = nullptr, *up_bias = nullptr;      // [n * width, dim], [n * width]
  Parameter *down = nullptr, *down_bias = nullptr;  // [dim, n * width], [n, dim]
  Experts() = default;
  Experts(Arena& arena, const std::string& name, std::int64_t count, const EncoderOptions& options);
  torch::Tensor hidden(const torch::Tensor& n) const;  // gelu(U n): [rows, n * width]
  // sum_k gates_k D_k hidden_k; gates: [rows, n] -> [rows, dim]
  torch::Tensor mix(const torch::Tensor& hidden, const torch::Tensor& gates) const;
};

// What a task owns of the encoder's blocks; parameters are named "encoder.layers.I.…".
class TaskLayers {
 public:
  // Throws Error(config) for options out of range. options.share is not "hard".
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

// One task's rows in a packed batch; the next task's follow.
struct TaskRows {
  int task = 0;  // as slot(task) counts
  std::int64_t rows = 0;
  const TaskLayers* layers = nullptr;
};

// adapters: x behind block i, [rows of all tasks, dim]
torch::Tensor adapted(const torch::Tensor& x, const std::vector<TaskRows>& tasks, std::size_t i);
// mtan: a_i from x_i and a_i-1, which is undefined for the first block
torch::Tensor masked_features(const torch::Tensor& x, const torch::Tensor& before, const std::vector<TaskRows>& tasks,
                              std::size_t i);

// The encoder's part of a block with experts.
struct MixtureOfExperts {
  Experts experts;
  Parameter* gate = nullptr;  // of the shared path: [experts + tasks * task experts, dim]; null: it ends here
  std::int64_t count = 0, task_count = 0;  // K, and m (mmoe: 0)

  MixtureOfExperts() = default;
  MixtureOfExperts(Arena& arena, const std::string& name, std::int64_t tasks, bool last, const EncoderOptions& options);
  // The two sums, of block i: for the task's path, and for the shared one (undefined without a gate), from both paths'
  // normalised states.
  std::pair<torch::Tensor, torch::Tensor> operator()(const torch::Tensor& own, const torch::Tensor& shared,
                                                     const std::vector<TaskRows>& tasks, std::size_t i) const;
};

// The first block with experts; options.layers without any.
std::int64_t first_expert_layer(const EncoderOptions& options);
// In how many of the top blocks ple's shared path has a part; 0 with only one level.
std::int64_t shared_path_blocks(const EncoderOptions& options);
// Multiplications of a word in what share adds to the plain encoder, for the estimate of a task's cost.
double sharing_work(const EncoderOptions& options);

}  // namespace polyhead
