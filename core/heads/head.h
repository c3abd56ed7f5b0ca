// A head: everything that only one task uses; it lives on the task's workers only. Adding one is one file with a class
// and one line: in registry.cpp, or, outside of Polyhead, a call of register_head.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/base/batch.h"
#include "core/heads/distillation.h"
#include "core/heads/registry.h"
#include "core/model/arena.h"
#include "core/model/encoder.h"
#include "core/model/operations.h"
#include "core/model/options.h"
#include "core/model/sharing.h"

namespace polyhead {

// What a head takes from its task's train split.
struct TrainStatistics {
  std::vector<double> mean, deviation;  // regression: [outputs]
  std::vector<double> class_weights;    // classification: [classes]; empty: all 1
  std::int64_t feature_width = 0;       // of the input's vectors; 0: the input is tokens
  bool pairs = false;                   // some samples hold a second text
  bool only_pairs = false;              // all do; not known of runs of earlier versions, which have false
};

// What a head is made for.
struct HeadSpec {
  std::string task;
  Kind kind = Kind::classification;
  std::int64_t classes = 0;  // classification, multilabel, tagging
  std::int64_t outputs = 1;  // regression
  std::int64_t vocab_size = 0;
  std::int64_t bos = 2, eos = 3, mask = 4;
  EncoderOptions encoder;
  HeadOptions options;
  TrainStatistics statistics = {};
};

// What a head sees of the encoder's output: the rows of its own task's sequences.
struct HeadInput {
  torch::Tensor states;        // [tokens, dim]
  torch::Tensor weights;       // [attention heads, tokens]: each word's weight for this task
  torch::Tensor task_weights;  // [attention heads, tokens, slots]: for all, for who looks at the competition
  double delta = 1;            // of the synthesis (core/model/task_attention.h)
  torch::Tensor tokens;        // [tokens] i64, the encoder's input; kNoToken where it was a vector
  torch::Tensor embedding;     // [vocabulary, dim], the encoder's table
  Segments segments;
  std::vector<std::uint64_t> sample_keys;  // [sequences] for dropout; empty: none (evaluation)
};

// Teacher-forced scores against the targets of a slice.
struct Scored {
  // [sequences] sums of negative log-likelihood, natural logarithm, without smoothing, weights or focus; regression:
  // the loss that is trained
  std::vector<double> loss;
  std::vector<std::int64_t> count;      // [sequences] scored targets
  std::vector<std::int64_t> predicted;  // the most probable value at every target, in the order of the slice's targets
  // multilabel: probabilities [sequences, classes]; regression: values [sequences, outputs], in their own unit
  std::vector<double> values = {};
};

// Predictions without targets, one per sequence.
struct Predicted {
  std::vector<std::vector<std::int64_t>> ids;  // label | labels from kThreshold on | tag per token | token per masked
                                               // position | generated tokens without eos
  std::vector<double> probability;             // classification: of the label
  std::vector<double> values = {};             // as in Scored; translation: log-probability of the tokens, eos included
};

class Head {
 public:
  explicit Head(HeadSpec spec);
  virtual ~Head() = default;
  Head(const Head&) = delete;
  Head& operator=(const Head&) = delete;

  const HeadSpec& spec() const { return spec_; }
  Arena& arena() { return arena_; }
  const Arena& arena() const { return arena_; }
  // What the task owns of the encoder's blocks; null when that is nothing (share = hard).
  const TaskLayers* layers() const { return layers_.get(); }

  // The sum of the losses over the slice's valid targets: a scalar.
  virtual torch::Tensor loss(const HeadInput& input, const TaskSlice& slice) const = 0;
  // What the head says at the slice's valid targets: logits, [targets, classes or vocabulary]; regression: values in
  // their own unit, [sequences, outputs]. And the sum of the losses of a head that follows what such a head said.
  // A kind without them cannot be distilled: they throw Error(config).
  virtual torch::Tensor outputs(const HeadInput& input, const TaskSlice& slice) const;
  virtual torch::Tensor distilled_loss(const HeadInput& input, const TaskSlice& slice,
                                       const Distillation& teacher) const;
  virtual Scored score(const HeadInput& input, const TaskSlice& slice) const = 0;
  virtual Predicted predict(const HeadInput& input) const = 0;
  // The same for a kind that writes a sequence, which it searches for as it is told.
  virtual Predicted generate(const HeadInput& input, const SearchOptions&) const { return predict(input); }

 protected:
  HeadSpec spec_;
  Arena arena_;

 private:
  std::unique_ptr<TaskLayers> layers_;
};

using HeadMaker = std::unique_ptr<Head> (*)(const HeadSpec&);

template <typename T>
std::unique_ptr<Head> make_head_of(const HeadSpec& spec) {
  return std::make_unique<T>(spec);
}

// From here on tasks of a kind of data can have this head, by task.NAME.head = `name`; what evaluation measures follows
// from the kind. To be called before the program runs, as examples/custom_head does. Throws std::logic_error for a
// name that is empty or taken.
void register_head(const std::string& name, Kind kind, HeadMaker make);

// The head that spec.options.head names, or else that of spec.kind; its arena is not yet finished. Throws Error(config)
// for a name that no head of this kind has here, and for options out of range.
std::unique_ptr<Head> make_head(const HeadSpec& spec);

// A head's own options (HeadOptions::own). `known`: all that the head has; throws Error(config) naming the task when
// another is given. `spec` must outlive it.
class OwnOptions {
 public:
  OwnOptions(const HeadSpec& spec, std::vector<std::string> known);
  std::string text(const std::string& key, const std::string& otherwise) const;
  double number(const std::string& key, double otherwise) const;  // throws Error(config) when it is none

 private:
  const HeadSpec& spec_;
};

// Cuts the encoder's output into the inputs of the batch's slices, in their order. training: with dropout keys.
std::vector<HeadInput> head_inputs(const Encoder& encoder, const Encoder::Output& output, const torch::Tensor& tokens,
                                   const Batch& batch, bool training);

// -log softmax(hidden table^T + bias) at `targets`, smoothed: [rows]. The logits exist once; the gradient is made in
// their place. hidden: [rows, dim]; table: [vocabulary, dim]; bias: [vocabulary]; targets: [rows] i64; smoothing in [0,
// 1). teacher: the loss is mixed with the divergence of each row, whose logits exist only within the call.
torch::Tensor tied_cross_entropy(const torch::Tensor& hidden, const torch::Tensor& table, const torch::Tensor& bias,
                                 const torch::Tensor& targets, double smoothing, const Distillation* teacher = nullptr);

// Host values to a tensor on the device of `like`, numbers in its type too, and back.
torch::Tensor to_device(const std::vector<std::int64_t>& values, const torch::Tensor& like);
torch::Tensor to_device(const std::vector<double>& values, const torch::Tensor& like);
std::vector<std::int64_t> to_host(const torch::Tensor& values);
std::vector<double> to_host_double(const torch::Tensor& values);

}  // namespace polyhead
