// Options of the encoder, task attention, heads, search and optimizer: plain structs, and next to each the declaration
// of its options.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/choice.h"
#include "core/base/field.h"

namespace polyhead {

// pre_norm: pre-norm blocks and rotary positions. bert (Devlin et al., 2019): post-norm blocks, learned positions,
// token types.
enum class EncoderForm { pre_norm, bert };
constexpr std::array<std::string_view, 2> choices(EncoderForm) {
  return {"pre_norm", "bert"};
}

// The function between the two layers of a feed-forward network. gelu: x (1 + erf(x / sqrt 2)) / 2; gelu_tanh: its
// approximation by tanh (Hendrycks and Gimpel, 2016).
enum class Activation { gelu, gelu_tanh, relu };
constexpr std::array<std::string_view, 3> choices(Activation) {
  return {"gelu", "gelu_tanh", "relu"};
}

// How tasks share the encoder's blocks, see core/model/sharing/.
enum class Sharing { hard, adapters, mtan, mmoe, ple, lora, task_lora };
constexpr std::array<std::string_view, 7> choices(Sharing) {
  return {"hard", "adapters", "mtan", "mmoe", "ple", "lora", "task_lora"};
}
// Whether only low-rank updates of the blocks are trained.
constexpr bool is_lora(Sharing share) {
  return share == Sharing::lora || share == Sharing::task_lora;
}
// The matrices of a block that may have them: the names in encoder.lora_targets.
inline constexpr std::array<std::string_view, 6> kLoraTargets = {"query", "key", "value", "out", "up", "down"};

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
  std::int64_t positions = 512;
  std::int64_t token_types = 2;
  double norm_epsilon = 1e-12;
  Activation activation = Activation::gelu;
  double dropout = 0.1;  // after the embedding and after both branches of a block
  double attention_dropout = 0;
  double drop_path = 0;
  bool activation_checkpointing = false;
  std::int64_t frozen_blocks = 0;
  // Of the options that follow, those that the method of sharing does not have are ignored.
  Sharing share = Sharing::hard;
  std::int64_t adapter_dim = 32;
  std::int64_t experts = 4;
  std::int64_t expert_layers = 1;
  std::int64_t task_experts = 1;
  std::int64_t lora_rank = 8;
  double lora_alpha = 16;
  double lora_dropout = 0;
  std::vector<std::string> lora_targets = {"query", "value"};
};

// [encoder]
inline std::vector<Field> fields(EncoderOptions& options) {
  return {
      {.name = "form",
       .member = &options.form,
       .help = "The form of the encoder. pre_norm has pre-norm blocks and rotary positions; bert is BERT's form with "
               "post-norm blocks, learned positions and token types."},
      {.name = "layers",
       .member = &options.layers,
       .help = "Number of transformer blocks.",
       .range = ">=1",
       .largest = 10'000},
      {.name = "dim",
       .member = &options.dim,
       .help = "Width of a token's hidden state. It must be a multiple of encoder.heads, and of twice that with form = "
               "pre_norm.",
       .range = ">=2"},
      {.name = "heads", .member = &options.heads, .help = "Number of heads of self-attention.", .range = ">=1"},
      {.name = "ffn",
       .member = &options.ffn,
       .help = "Width of the hidden layer of the feed-forward network.",
       .range = ">=1",
       .largest = 10'000'000},
      {.name = "positions",
       .member = &options.positions,
       .help = "Maximum input length in tokens.",
       .range = ">=1",
       .needs = "encoder.form=bert"},
      {.name = "token_types",
       .member = &options.token_types,
       .help =
           "Number of token types (type_vocab_size in transformers). With 2, the tokens of the second text of a pair "
           "have a type of their own. With 1, all tokens have the same type; with 0, there are no token types.",
       .range = ">=0,<=2",
       .needs = "encoder.form=bert"},
      {.name = "norm_epsilon",
       .member = &options.norm_epsilon,
       .help = "Term added to the variance in layer normalisation for numerical stability (layer_norm_eps in "
               "transformers).",
       .range = ">0,<=0.1",
       .needs = "encoder.form=bert"},
      {.name = "activation",
       .member = &options.activation,
       .help = "The activation function of the feed-forward networks. gelu is the exact form; gelu_tanh is its tanh "
               "approximation (gelu_new or gelu_pytorch_tanh in transformers).",
       .needs = "encoder.form=bert"},
      {.name = "dropout", .member = &options.dropout, .help = "Dropout probability.", .range = ">=0,<1"},
      {.name = "attention_dropout",
       .member = &options.attention_dropout,
       .help = "Dropout probability of the weights of self-attention, and of the attention weights in a translation "
               "task's decoder.",
       .range = ">=0,<1"},
      {.name = "drop_path",
       .member = &options.drop_path,
       .help = "Stochastic depth: the probability with which a sample skips a branch (attention, feed-forward) of the "
               "last block. The probability grows linearly from 0 at the first block.",
       .range = ">=0,<1"},
      {.name = "activation_checkpointing",
       .member = NamedMember(&options.activation_checkpointing, "off", "blocks"),
       .help = "Whether backward recomputes the activations inside each block (blocks) instead of storing them. This "
               "saves memory, takes about a third more time in the encoder, and gives bitwise equal results.",
       .identity = false},
      {.name = "frozen_blocks",
       .member = &options.frozen_blocks,
       .help = "Number of blocks to freeze, counted from the bottom. If it is above 0, the embedding is frozen too. It "
               "needs encoder.from or run.init_from.",
       .range = ">=0",
       .largest = 10'000},
      {.name = "share",
       .member = &options.share,
       .help = "How tasks share the encoder's blocks. hard: they share everything. adapters: each task has an adapter "
               "after every block. mtan: each task has a mask over the states of every block. mmoe and ple: in the top "
               "blocks, experts that a gate of each task mixes replace the feed-forward network; all experts are "
               "shared (mmoe), or some belong to a single task (ple). lora and task_lora: the embedding and the blocks "
               "are frozen, and low-rank updates (LoRA) are trained, which all tasks share (lora) or each task has of "
               "its own (task_lora)."},
      {.name = "adapter_dim",
       .member = &options.adapter_dim,
       .help = "Width of the hidden layer of an adapter or mask.",
       .range = ">=1",
       .needs = "encoder.share=adapters|mtan"},
      {.name = "experts",
       .member = &options.experts,
       .help = "Number of shared experts per block. Each is ffn / experts wide, so the number must divide encoder.ffn.",
       .range = ">=1",
       .needs = "encoder.share=mmoe|ple",
       .largest = 100'000},
      {.name = "expert_layers",
       .member = &options.expert_layers,
       .help = "Number of top blocks that have experts.",
       .range = ">=1",
       .needs = "encoder.share=mmoe|ple",
       .largest = 10'000},
      {.name = "task_experts",
       .member = &options.task_experts,
       .help = "Number of experts of its own that each task has in such a block. They are as wide as the shared ones.",
       .range = ">=1",
       .needs = "encoder.share=ple"},
      {.name = "lora_rank",
       .member = &options.lora_rank,
       .help = "Rank r of the LoRA updates.",
       .range = ">=1",
       .needs = "encoder.share=lora|task_lora"},
      {.name = "lora_alpha",
       .member = &options.lora_alpha,
       .help = "LoRA alpha: the updates are multiplied by lora_alpha / lora_rank.",
       .range = ">0",
       .needs = "encoder.share=lora|task_lora"},
      {.name = "lora_dropout",
       .member = &options.lora_dropout,
       .help = "Dropout probability applied to the input of the LoRA updates.",
       .range = ">=0,<1",
       .needs = "encoder.share=lora|task_lora"},
      {.name = "lora_targets",
       .member = &options.lora_targets,
       .help = "The matrices of each block that get LoRA updates, separated by commas: query, key, value and out "
               "(attention), up and down (feed-forward).",
       .needs = "encoder.share=lora|task_lora"},
  };
}

// Inputs of the encoder other than tokens.
struct InputOptions {
  std::vector<std::int64_t> feature_widths;  // widths of the inputs that are vectors, ascending, each once
  bool pairs = false;                        // some sequences hold two texts
};

// Options of task attention (core/model/task_attention.h).
struct AttentionOptions {
  AttentionMode mode = AttentionMode::competitive;
  std::int64_t heads = 1;  // must divide the encoder's dim
  double temperature = 1;  // tau
  double floor = 0;        // epsilon
  // beta. Task t's loss becomes L_t - beta B_t, where B_t is the mean of task_entropy, in nats, over all words of its
  // samples in the step.
  double entropy_bonus = 0;
  Importance importance = Importance::learned;
  std::vector<double> importances = {};  // by task (task.NAME.importance): a > 0; empty: all 1
};

// [attention]
inline std::vector<Field> fields(AttentionOptions& options) {
  return {
      {.name = "mode",
       .member = &options.mode,
       .help =
           "How words are weighted for a task. competitive: tasks compete for a share of each word. independent: a "
           "softmax over the words of the text. mean: all words have equal weight. first: only the first word counts."},
      {.name = "heads",
       .member = &options.heads,
       .help = "Number of heads of the task attention.",
       .range = ">=1",
       .needs = "attention.mode=competitive|independent"},
      {.name = "temperature",
       .member = &options.temperature,
       .help = "Temperature of the softmax that gives words their weights: over tasks (competitive) or over words "
               "(independent).",
       .range = ">0",
       .needs = "attention.mode=competitive|independent"},
      {.name = "floor",
       .member = &options.floor,
       .help = "Epsilon: the fraction of a word's weight that is spread evenly over tasks and \"no task\" "
               "(competitive), or over words (independent).",
       .range = ">=0,<1",
       .needs = "attention.mode=competitive|independent"},
      {.name = "entropy_bonus",
       .member = &options.entropy_bonus,
       .help = "Factor of the entropy bonus: each task's loss is reduced by this factor times the mean entropy (in "
               "nats) of its words' weights over tasks. 0 disables it.",
       .range = ">=0",
       .needs = "attention.mode=competitive|independent"},
      {.name = "importance",
       .member = &options.importance,
       .help = "Whether the tasks' importances are learned, or fixed at task.NAME.importance.",
       .needs = "attention.mode=competitive"},
  };
}

// Options of a task's head. Each kind of task has those whose `kinds` name it.
struct HeadOptions {
  std::string head = {};                        // a head of the task's kind (core/heads/head.h)
  std::map<std::string, std::string> own = {};  // the head interprets them
  double dropout = 0.1;
  double label_smoothing = 0;
  ClassWeights class_weights = ClassWeights::none;
  double focal_gamma = 0;
  RegressionLoss loss = RegressionLoss::mse;
  double delta = 1;
  std::int64_t decoder_layers = 2;
  std::int64_t max_target = 128;  // "eos" included
};

// [task.NAME]
inline std::vector<Field> fields(HeadOptions& options) {
  return {
      {.name = "head",
       .member = &options.head,
       .help = "Name of the head, out of those that the program registers for the task's kind. If empty, the default "
               "head of the kind is used."},
      {.name = "head_options",
       .member = &options.own,
       .help = "Options of a head that is not part of Polyhead: KEY=VALUE, separated by commas.",
       .needs = "head",
       .stored = "own"},
      {.name = "dropout",
       .member = &options.dropout,
       .help = "Dropout probability of the head. If not given, encoder.dropout is used.",
       .range = ">=0,<1",
       .resolved = true},
      {.name = "label_smoothing",
       .member = &options.label_smoothing,
       .help = "Label smoothing. If not given, it is 0.1 for translation and 0 otherwise.",
       .range = ">=0,<1",
       .kinds = {Kind::classification, Kind::translation},
       .resolved = true},
      {.name = "class_weights",
       .member = &options.class_weights,
       .help = "Weights of the classes in the loss. With balanced, the loss of a sample is multiplied by samples / "
               "(classes x samples of its class), counted in the train split.",
       .kinds = {Kind::classification}},
      {.name = "focal_gamma",
       .member = &options.focal_gamma,
       .help = "Gamma of the focal loss, which multiplies the loss of a sample by (1 - p)^gamma. 0 disables it.",
       .range = ">=0",
       .kinds = {Kind::classification}},
      {.name = "loss",
       .member = &options.loss,
       .help = "The loss of standardised values: mean squared error (mse) or Huber loss (huber).",
       .kinds = {Kind::regression}},
      {.name = "delta",
       .member = &options.delta,
       .help = "Delta of the Huber loss: the error, in standard deviations of the target, above which the loss grows "
               "linearly.",
       .range = ">0",
       .kinds = {Kind::regression},
       .needs = "loss=huber"},
      {.name = "decoder_layers",
       .member = &options.decoder_layers,
       .help = "Number of blocks of the decoder.",
       .range = ">=1",
       .kinds = {Kind::translation},
       .largest = 10'000},
      {.name = "max_target",
       .member = &options.max_target,
       .help = "Maximum number of tokens that search generates.",
       .range = ">=1",
       .kinds = {Kind::translation},
       .largest = 1'000'000'000},
  };
}

// Options of the search for a sequence (core/heads/beam_search.h).
struct SearchOptions {
  std::int64_t beam = 1;        // number of prefixes that compete in each step
  double length_penalty = 0.6;  // the default is that of Vaswani et al., 2017, for a beam of 4
};

// On the command line of evaluate and predict.
inline std::vector<Field> fields(SearchOptions& options) {
  return {
      {.name = "beam",
       .member = &options.beam,
       .help = "Beam size of the search (translation only). 1 searches greedily.",
       .range = ">=1"},
      {.name = "length-penalty",
       .member = &options.length_penalty,
       .help = "Length penalty alpha of beam search: log-probabilities are divided by ((5 + length) / 6)^alpha. 0 "
               "disables it.",
       .range = ">=0",
       .needs = "beam!=1"},
  };
}

struct OptimizerOptions {
  double lr = 5e-4;
  std::int64_t warmup = 100;
  Schedule schedule = Schedule::cosine;
  double layer_decay = 1;
  double weight_decay = 0.01;
  double beta1 = 0.9;
  double beta2 = 0.98;
  double epsilon = 1e-8;
  double clip = 1;
  double head_clip = 1;
  double ema = 0;
};

// [optimizer]
inline std::vector<Field> fields(OptimizerOptions& options) {
  return {
      {.name = "lr", .member = &options.lr, .help = "The maximum learning rate.", .range = ">0"},
      {.name = "warmup",
       .member = &options.warmup,
       .help = "Number of linear warm-up steps after which optimizer.lr is reached.",
       .range = ">=0"},
      {.name = "schedule",
       .member = &options.schedule,
       .help = "The learning rate after the warm-up. cosine and linear decay to 0 at run.steps, inverse_sqrt decays "
               "with the inverse square root of the step, constant does not decay."},
      {.name = "layer_decay",
       .member = &options.layer_decay,
       .help = "Layer-wise learning rate decay: the learning rate is multiplied by this factor once for the encoder's "
               "top block, twice for the block below it, and so on down to the embedding. Heads and task attention are "
               "not affected.",
       .range = ">0,<=1"},
      {.name = "weight_decay",
       .member = &options.weight_decay,
       .help =
           "Coefficient of decoupled weight decay. It does not apply to norms, biases, task queries and importances.",
       .range = ">=0"},
      {.name = "beta1", .member = &options.beta1, .help = "Decay rate of the first moment.", .range = ">=0,<1"},
      {.name = "beta2", .member = &options.beta2, .help = "Decay rate of the second moment.", .range = ">=0,<1"},
      {.name = "epsilon",
       .member = &options.epsilon,
       .help = "Term added to the square root of the second moment for numerical stability.",
       .range = ">0"},
      {.name = "clip",
       .member = &options.clip,
       .help = "Maximum norm of the encoder's gradient. 0 disables clipping.",
       .range = ">=0"},
      {.name = "head_clip",
       .member = &options.head_clip,
       .help = "Maximum norm of each head's gradient. 0 disables clipping.",
       .range = ">=0"},
      {.name = "ema",
       .member = &options.ema,
       .help = "Decay of an exponential moving average of the weights, which is saved with each checkpoint (see "
               "--weights average of evaluate and predict). In step n it is at most (1 + n) / (10 + n). 0 disables it.",
       .range = ">=0,<1"},
  };
}

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
