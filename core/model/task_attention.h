// Task attention: every task gets an importance, every word a weight for each task, each task its own weighted reading
// of the text. With h_i the state of word i, T tasks and slot 0 ("no task"), queries q, temperature tau, attention head
// m, importance logits b_0 = 0 and b_t = log a_t plus what is learned (a: the importances given), and
//   s_it = K_m h_i . q_tm / (tau sqrt(d_m)),
// a mode says what a word weighs for a task, w_it:
//   competitive: softmax over t = 0..T of s_it + b_t;          w <- (1 - floor) w + floor / (T + 1)
//   independent: n softmax over the n words of the text of s_it; w <- (1 - floor) w + floor
//   mean: 1;   first: 1 for the text's first word, 0 for the others
// and all that reads words for a task reads them by w:
//   r_t = sum_i w_it V_tm h_i / (delta + sum_j w_jt), heads concatenated; delta is 1 under competition, else 0
//   per word: h_i + w_it V_t h_i; a decoder's cross-attention: + log w_it
#pragma once

#include "core/model/operations.h"
#include "core/model/options.h"
#include "core/model/torch.h"

namespace polyhead {

// The pseudo-word that a synthesis divides by under competition (delta), so that a starved task reads little rather
// than the mean.
inline constexpr double kDelta = 1;
// Weights count as at least this where their logarithm is taken.
inline constexpr double kLeastWeight = 1e-30;

// competitive. states: [tokens, d]; key: [d, d] (rows: outputs); queries: [T + 1, heads, d / heads]; importance: b, [T
// + 1] -> weights [heads, tokens, T + 1], positive, summing to 1 over the last.
torch::Tensor task_weights(const torch::Tensor& states, const torch::Tensor& key, const torch::Tensor& queries,
                           const torch::Tensor& importance, double temperature, double floor);

// independent. queries: [T, heads, d / heads] -> [heads, tokens, T], the mean over the words of each sequence is 1.
torch::Tensor independent_weights(const torch::Tensor& states, const torch::Tensor& key, const torch::Tensor& queries,
                                  const Segments& segments, double temperature, double floor);

// mean and first: [heads, tokens, tasks] of the type of `like`.
torch::Tensor mean_weights(std::int64_t heads, std::int64_t tasks, const Segments& segments, const torch::Tensor& like);
torch::Tensor first_weights(std::int64_t heads, std::int64_t tasks, const Segments& segments,
                            const torch::Tensor& like);

// Entropy in nats of each word's weights over the tasks, p_it = w_it / sum_{s >= first} w_is (`first` slots are no
// tasks), the mean over attention heads. weights: [heads, tokens, slots] -> [tokens], in 0..log(tasks).
torch::Tensor task_entropy(const torch::Tensor& weights, std::int64_t first);

// values: V_t h, [tokens, d]; weights: w_t, [heads, tokens] -> r_t: [sequences, d]
torch::Tensor synthesis(const torch::Tensor& values, const torch::Tensor& weights, const Segments& segments,
                        double delta = kDelta);

// w_it V_t h_i per word: values [tokens, d], weights [heads, tokens] -> [tokens, d]
torch::Tensor weighted_values(const torch::Tensor& values, const torch::Tensor& weights);

}  // namespace polyhead
