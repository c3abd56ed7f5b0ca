// What the model and its optimizer can be told, as plain structs.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace polyhead {

struct EncoderOptions {
  std::string form = "pre_norm";  // pre-norm blocks and rotary positions; or bert, as Devlin et al., 2019, have it:
                                  // post-norm blocks, learned positions, token types
  std::int64_t layers = 4;
  std::int64_t dim = 256;
  std::int64_t heads = 4;  // dim / heads must be even for rotary positions, which turn pairs of channels
  std::int64_t ffn = 1024;
  std::int64_t positions = 512;  // bert: the longest sequence
  double dropout = 0.1;          // after the embedding and after both projections of a block
  double attention_dropout = 0;  // of the weights of self-attention, and of a translation decoder's attention
  double drop_path = 0;          // stochastic depth: the last block's rate; it grows linearly from 0 at the first
  // What a block computed inside is dropped after its forward pass and computed again in backward: less memory, more
  // time, the same bits. No part of what the model is.
  bool activation_checkpointing = false;
  // Sharing beyond one trunk, core/model/sharing.h; what a form does not use is ignored.
  std::string share = "hard";     // or adapters, mtan, mmoe, ple
  std::int64_t adapter_dim = 32;  // adapters, mtan: width of the hidden layer
  std::int64_t experts = 4;       // mmoe, ple: shared ones in each of the top `expert_layers` blocks; must divide ffn
  std::int64_t expert_layers = 1;
  std::int64_t task_experts = 1;  // ple: each task's own, in the same blocks
};

// What the encoder reads besides tokens.
struct InputOptions {
  std::vector<std::int64_t> feature_widths;  // of sequences of vectors, ascending, each once
  bool pairs = false;                        // some sequences hold two texts
};

// Task attention (core/model/task_attention.h: importance, weights per word over all tasks and the slot "no task",
// weighted synthesis).
struct AttentionOptions {
  std::string mode = "competitive";  // or independent, mean, first
  std::int64_t heads = 1;            // attention heads; must divide dim
  double temperature = 1;            // tau > 0
  double floor = 0;                  // epsilon in [0, 1): the share of a word's weight that is spread evenly
  // beta >= 0: task t's loss becomes L_t - beta B_t, where B_t is the mean over all words of its samples in the step of
  // task_entropy, in nats.
  double entropy_bonus = 0;
  std::string importance = "learned";    // or fixed: the importances given are kept. competitive only
  std::vector<double> importances = {};  // by task: a > 0, relative to the others' and to 1 for "no task"; empty: all 1
};

struct HeadOptions {
  std::string head = {};  // which head of the task's kind (core/heads/head.h); empty: the kind's own
  std::map<std::string, std::string> own = {};  // of heads outside of Polyhead: what they make of it
  double dropout = 0.1;
  double label_smoothing = 0;          // classification, translation; in [0, 1)
  std::string class_weights = "none";  // classification: or balanced, by the train split's counts
  double focal_gamma = 0;              // classification: (1 - p)^gamma times the loss of a sample
  std::string loss = "mse";            // regression: or huber
  double delta = 1;                    // of huber: where it turns from square to straight, in deviations of the target
  std::int64_t decoder_layers = 2;     // translation
  std::int64_t max_target = 128;       // translation: tokens that search writes at most, "eos" included
};

// How a sequence is searched for (core/heads/beam_search.h).
struct SearchOptions {
  std::int64_t beam = 1;        // prefixes that compete at each step; 1: greedy
  double length_penalty = 0.6;  // at least 0; as in Vaswani et al., 2017, with a beam of 4
};

struct OptimizerOptions {
  double lr = 5e-4;
  std::int64_t warmup = 100;        // steps of linear warm-up
  std::string schedule = "cosine";  // after it; or linear, inverse_sqrt, constant
  double layer_decay = 1;           // the encoder's rates fall by this factor a block, from the top down
  double weight_decay = 0.01;       // matrices only: no biases, norms, task queries, importance
  double beta1 = 0.9;
  double beta2 = 0.98;
  double epsilon = 1e-8;
  double clip = 1;       // bound of the encoder's gradient norm; 0: none
  double head_clip = 1;  // bound of each head's own gradient norm; 0: none
  double ema = 0;        // decay of the moving average of the weights; 0: none is kept
};

// Each throws Error(config) naming the key that is out of range or does not fit with another; dim: the encoder's.
void check(const EncoderOptions& options);
// Throws Error(config) if sequences of so many tokens or vectors are too long for the encoder. what: where they are
// from, "data.max_length = 600"; cure: what to do.
void check_length(const EncoderOptions& options, std::uint64_t length, const std::string& what,
                  const std::string& cure);
void check(const AttentionOptions& options, std::int64_t dim);
void check(const OptimizerOptions& options);

}  // namespace polyhead
