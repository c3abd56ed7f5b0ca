// Task attention: every task has an importance, every word has a weight for each task, and each task reads the text
// with these weights.
//
// h_i is the state of word i; there are T tasks, and slot 0 is "no task". For attention head m, with queries q and
// temperature tau, the scores are
//   s_it = K_m h_i . q_tm / (tau sqrt(d_m)).
// The importance logits are b_0 = 0 and b_t = log a_t (the given importance), plus a learned part.
//
// The mode determines the weight w_it of word i for task t:
//   competitive: softmax over t = 0..T of s_it + b_t;            w <- (1 - floor) w + floor / (T + 1)
//   independent: n softmax over the n words of the text of s_it; w <- (1 - floor) w + floor
//   mean: 1;   first: 1 for the text's first word, 0 for the others
// A task reads the words with these weights:
//   per text: r_t = sum_i w_it V_tm h_i / (delta + sum_j w_jt), heads concatenated; delta is 1 if competitive, else 0
//   per word: h_i + w_it V_t h_i; cross-attention of a decoder: + log w_it
#pragma once

#include "core/model/options.h"
#include "core/model/segments.h"
#include "core/model/torch.h"

namespace polyhead {

// Delta of the mode competitive: a pseudo-word in the divisor of the synthesis. A task that gets little weight thus
// reads little, rather than the mean of the words.
inline constexpr double kDelta = 1;
// Lower bound of a weight when its logarithm is taken.
inline constexpr double kLeastWeight = 1e-30;

// competitive. states: [tokens, d]; key: [d, d] (rows are outputs); queries: [T + 1, heads, d / heads]; importance: b,
// [T + 1]. Returns weights [heads, tokens, T + 1], which are positive and sum to 1 over the last dimension.
torch::Tensor task_weights(const torch::Tensor& states, const torch::Tensor& key, const torch::Tensor& queries,
                           const torch::Tensor& importance, double temperature, double floor);

// independent. queries: [T, heads, d / heads]. Returns weights [heads, tokens, T], whose mean over the words of each
// sequence is 1.
torch::Tensor independent_weights(const torch::Tensor& states, const torch::Tensor& key, const torch::Tensor& queries,
                                  const Segments& segments, double temperature, double floor);

// mean and first. Return [heads, tokens, tasks] in the type of `like`.
torch::Tensor mean_weights(std::int64_t heads, std::int64_t tasks, const Segments& segments, const torch::Tensor& like);
torch::Tensor first_weights(std::int64_t heads, std::int64_t tasks, const Segments& segments,
                            const torch::Tensor& like);

// Returns the entropy (nats) of each word's weights over the tasks, averaged over attention heads: [tokens], in
// 0..log(tasks). weights: [heads, tokens, slots]; p_it = w_it / sum_{s >= first} w_is, as slots below `first` are not
// tasks.
torch::Tensor task_entropy(const torch::Tensor& weights, std::int64_t first);

// values: V_t h, [tokens, d]; weights: w_t, [heads, tokens]. Returns r_t, [sequences, d].
torch::Tensor synthesis(const torch::Tensor& values, const torch::Tensor& weights, const Segments& segments,
                        double delta = kDelta);

// Returns w_it V_t h_i for each word, [tokens, d]. values: [tokens, d]; weights: [heads, tokens].
torch::Tensor weighted_values(const torch::Tensor& values, const torch::Tensor& weights);

}  // namespace polyhead
