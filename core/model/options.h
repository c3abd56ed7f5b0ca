// Options of the encoder, task attention, heads, search and optimizer, as plain structs.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/choice.h"

namespace polyhead {

// pre_norm: pre-norm blocks and rotary positions. bert (Devlin et al., 2019): post-norm blocks, learned positions,
// token types.
enum class EncoderForm { pre_norm, bert };
constexpr std::array<std::string_view, 2> choices(EncoderForm) {
  return {"pre_norm", "bert"};
}

// How tasks share the encoder's blocks, see core/model/sharing/.
enum class Sharing { hard, adapters, mtan, mmoe, ple };
constexpr std::array<std::string_view, 5> choices(Sharing) {
  return {"hard", "adapters", "mtan", "mmoe", "ple"};
}

// How words are weighted for a task, see core/model/task_attention.h.
enum class AttentionMode { competitive, independent, mean, first };
constexpr std::array<std::string_view, 4> choices(AttentionMode) {
  return {"competitive", "independent", "mean", "first"};
}
// Whether the weights depend on learned queries.
constexpr bool has_queries(AttentionMode mode) {
  return mode == AttentionMode::competitive || mode == AttentionMode::independent;
}

// fixed: the given importances do not change.
enum class Importance { learned, fixed };
constexpr std::array<std::string_view, 2> choices(Importance) {
  return {"learned", "fixed"};
}

// balanced: by the counts in the train split.
enum class ClassWeights { none, balanced };
constexpr std::array<std::string_view, 2> choices(ClassWeights) {
  return {"none", "balanced"};
}

enum class RegressionLoss { mse, huber };
constexpr std::array<std::string_view, 2> choices(RegressionLoss) {
  return {"mse", "huber"};
}

// The learning rate after the warm-up, see core/optimizer/adamw.h.
enum class Schedule { cosine, linear, inverse_sqrt, constant };
constexpr std::array<std::string_view, 4> choices(Schedule) {
  return {"cosine", "linear", "inverse_sqrt", "constant"};
}

struct EncoderOptions {
  EncoderForm form = EncoderForm::pre_norm;
  std::int64_t layers = 4;
  std::int64_t dim = 256;
  std::int64_t heads = 4;  // with rotary positions dim / heads must be even, because they rotate pairs of channels
  std::int64_t ffn = 1024;
  std::int64_t positions = 512;  // bert: maximum length of a sequence
  double dropout = 0.1;          // after the embedding and after both branches of a block
  double attention_dropout = 0;  // of the weights of self-attention, and of the attention in a translation decoder
  double drop_path = 0;  // stochastic depth: probability in the last block; it grows linearly from 0 at the first
  // Discards the activations inside a block after its forward pass and recomputes them in backward: less memory, more
  // time, the same bits. It is not part of the model's identity.
  bool activation_checkpointing = false;
  Sharing share = Sharing::hard;  // of the options below, those that the method does not have are ignored
  std::int64_t adapter_dim = 32;  // adapters, mtan: width of the hidden layer
  std::int64_t experts =
      4;  // mmoe, ple: number of shared experts in each of the top `expert_layers` blocks; must divide ffn
  std::int64_t expert_layers = 1;
  std::int64_t task_experts = 1;  // ple: number of experts per task, in the same blocks
};

// Inputs of the encoder other than tokens.
struct InputOptions {
  std::vector<std::int64_t> feature_widths;  // widths of the inputs that are vectors, ascending, each once
  bool pairs = false;                        // some sequences hold two texts
};

// Options of task attention (core/model/task_attention.h).
struct AttentionOptions {
  AttentionMode mode = AttentionMode::competitive;
  std::int64_t heads = 1;  // attention heads; must divide dim
  double temperature = 1;  // tau > 0
  double floor = 0;        // epsilon in [0, 1): the fraction of a word's weight that is spread evenly
  // beta >= 0. Task t's loss becomes L_t - beta B_t, where B_t is the mean of task_entropy, in nats, over all words of
  // its samples in the step.
  double entropy_bonus = 0;
  Importance importance = Importance::learned;  // only in the mode competitive
  std::vector<double> importances =
      {};  // by task: a > 0, relative to the other tasks and to 1 for "no task"; empty: all 1
};

struct HeadOptions {
  std::string head = {};  // name of a head of the task's kind (core/heads/head.h); empty: the kind's default head
  std::map<std::string, std::string> own =
      {};  // options of a head that is not part of Polyhead; the head interprets them
  double dropout = 0.1;
  double label_smoothing = 0;                       // classification, translation; in [0, 1)
  ClassWeights class_weights = ClassWeights::none;  // classification
  double focal_gamma = 0;                           // classification: (1 - p)^gamma multiplies the loss of a sample
  RegressionLoss loss = RegressionLoss::mse;        // regression
  double delta = 1;  // huber: error at which the loss becomes linear, in standard deviations of the target
  std::int64_t decoder_layers = 2;  // translation
  std::int64_t max_target = 128;    // translation: maximum number of tokens that search generates, "eos" included
};

// Options of the search for a sequence (core/heads/beam_search.h).
struct SearchOptions {
  std::int64_t beam = 1;        // number of prefixes that compete in each step; 1: greedy
  double length_penalty = 0.6;  // at least 0; the default is that of Vaswani et al., 2017, for a beam of 4
};

struct OptimizerOptions {
  double lr = 5e-4;
  std::int64_t warmup = 100;  // steps of linear warm-up
  Schedule schedule = Schedule::cosine;
  double layer_decay = 1;      // factor of the encoder's learning rate per block, from the top down
  double weight_decay = 0.01;  // of matrices only: not of biases, norms, task queries and importances
  double beta1 = 0.9;
  double beta2 = 0.98;
  double epsilon = 1e-8;
  double clip = 1;       // maximum norm of the encoder's gradient; 0: no limit
  double head_clip = 1;  // maximum norm of each head's gradient; 0: no limit
  double ema = 0;        // decay of the moving average of the weights; 0: no average is kept
};

// Each throws Error(config), naming the key that is out of range or incompatible with another. dim: the encoder's
// width.
void check(const EncoderOptions& options);
// Throws Error(config) if sequences of this length (tokens or vectors) are too long for the encoder. what: where the
// length comes from, such as "data.max_length = 600"; cure: what to do.
void check_length(const EncoderOptions& options, std::uint64_t length, const std::string& what,
                  const std::string& cure);
void check(const AttentionOptions& options, std::int64_t dim);
void check(const OptimizerOptions& options);

}  // namespace polyhead
