// Task attention: every task gets an importance, every word a weight for each task, each task its own weighted reading
// of the text. With h_i the state of word i, T tasks and slot 0 ("no task"), importance logits b, queries q,
// temperature tau, attention head m:
//   w_it = softmax over t = 0..T of (K_m h_i . q_tm / (tau sqrt(d_m)) + b_t);  w <- (1 - floor) w + floor / (T + 1)
//   r_t  = sum_i w_it V_tm h_i / (1 + sum_j w_jt), heads concatenated
#pragma once

#include "core/model/operations.h"
#include "core/model/torch.h"

namespace polyhead {

// The pseudo-word that every synthesis divides by (delta), so that a starved task reads little rather than the mean.
inline constexpr double kDelta = 1;

// states: [tokens, d]; key: [d, d] (rows: outputs); queries: [T + 1, heads, d / heads]; importance: [T + 1]
// -> weights [heads, tokens, T + 1], positive, summing to 1 over the last.
torch::Tensor task_weights(const torch::Tensor& states, const torch::Tensor& key, const torch::Tensor& queries,
                           const torch::Tensor& importance, double temperature, double floor);

// values: V_t h, [tokens, d]; weights: w_t, [heads, tokens] -> r_t: [sequences, d]
torch::Tensor synthesis(const torch::Tensor& values, const torch::Tensor& weights, const Segments& segments);

// w_it V_t h_i per word: values [tokens, d], weights [heads, tokens] -> [tokens, d]
torch::Tensor weighted_values(const torch::Tensor& values, const torch::Tensor& weights);

}  // namespace polyhead
