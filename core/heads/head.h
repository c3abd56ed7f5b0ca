// A head holds everything that only one task uses; it exists only on the task's workers. To add one, write a file with
// a class, and one line: in registry.cpp, or, outside of Polyhead, a call of register_head().
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/base/batch.h"
#include "core/heads/distillation.h"
#include "core/heads/registry.h"
#include "core/kinds/samples.h"
#include "core/kinds/scored.h"
#include "core/kinds/scorer.h"
#include "core/model/arena.h"
#include "core/model/block_extension.h"
#include "core/model/encoder.h"
#include "core/model/options.h"
#include "core/model/segments.h"

namespace polyhead {

// Everything that a head is built from.
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

// The part of the encoder's output that a head reads: the rows of its own task's sequences.
struct HeadInput {
  torch::Tensor states;        // [tokens, dim]
  torch::Tensor weights;       // [attention heads, tokens]: weight of each word for this task
  torch::Tensor task_weights;  // [attention heads, tokens, slots]: weights for all tasks; used by the attention report
  double delta = 1;            // of the synthesis (core/model/task_attention.h)
  torch::Tensor tokens;        // [tokens] i64, the encoder's input; kNoToken where the row is a vector
  torch::Tensor embedding;     // [vocabulary, dim], the encoder's token table
  Segments segments;
  std::vector<std::uint64_t> sample_keys;  // [sequences] for dropout; empty: no dropout (evaluation)
  std::vector<std::int64_t> second;        // [sequences] row of the sequence where its second text begins; 0: none
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
  // What the task owns of the encoder's blocks; null if it owns nothing (share = hard).
  const TaskParts* encoder_parts() const { return encoder_parts_.get(); }

  // Returns the sum of the losses over the slice's valid targets, a scalar. Each is multiplied by its sample's weight,
  // if the slice has weights (weighted()).
  virtual torch::Tensor loss(const HeadInput& input, const TaskSlice& slice) const = 0;
  // For distillation; both throw Error(config) for a kind that does not support it.
  // - outputs() returns logits at the slice's valid targets, [targets, classes or vocabulary]; regression: values in
  //   the units of the data, [sequences, outputs].
  // - distilled_loss() returns the sum of the losses of a student, given the outputs of its teacher.
  virtual torch::Tensor outputs(const HeadInput& input, const TaskSlice& slice) const;
  virtual torch::Tensor distilled_loss(const HeadInput& input, const TaskSlice& slice,
                                       const Distillation& teacher) const;
  // Whether loss() and distilled_loss() use the weights of samples. A head that does not cannot be trained on a task
  // that has weights.
  virtual bool uses_weights() const { return false; }
  virtual Scored score(const HeadInput& input, const TaskSlice& slice) const = 0;
  virtual Predicted predict(const HeadInput& input) const = 0;
  // Same as predict() for kinds that generate a sequence, with options of the search.
  virtual Predicted generate(const HeadInput& input, const SearchOptions&) const { return predict(input); }

 protected:
  HeadSpec spec_;
  Arena arena_;

 private:
  std::unique_ptr<TaskParts> encoder_parts_;
};

using HeadMaker = std::unique_ptr<Head> (*)(const HeadSpec&);

template <typename T>
std::unique_ptr<Head> make_head_of(const HeadSpec& spec) {
  return std::make_unique<T>(spec);
}

// Registers a head, which tasks of this kind then select by task.NAME.head = `name`.
// - An evaluation has the metrics of the kind, and `metrics` besides.
// - Call it before the program runs, as examples/custom_head does.
// - Throws std::logic_error for a name that is empty or already registered, and as register_metrics().
void register_head(const std::string& name, Kind kind, HeadMaker make, const std::vector<OwnMetric>& metrics = {});

// Returns the head that spec.options.head names, or the default head of spec.kind; its arena is not finished yet.
// Throws Error(config) if no head of this kind has the name, and for options out of range.
std::unique_ptr<Head> make_head(const HeadSpec& spec);

// The options of a head that is not part of Polyhead (HeadOptions::own). known: all options of the head; throws
// Error(config), which names the task, if another one is given. `spec` must outlive this object.
class OwnOptions {
 public:
  OwnOptions(const HeadSpec& spec, const std::vector<std::string>& known);
  std::string text(const std::string& key, const std::string& otherwise) const;
  double number(const std::string& key, double otherwise) const;  // throws Error(config) if it is not a number

 private:
  const HeadSpec& spec_;
};

// Splits the encoder's output into the inputs of the batch's slices, in their order. training: with dropout keys.
std::vector<HeadInput> head_inputs(const Encoder& encoder, const Encoder::Output& output, const torch::Tensor& tokens,
                                   const Batch& batch, bool training);

// Returns the smoothed -log softmax(hidden table^T + bias) at `targets`, [rows].
// - hidden: [rows, dim]; table: [vocabulary, dim]; bias: [vocabulary]; targets: [rows] i64; smoothing in [0, 1).
// - teacher: the loss of each row is mixed with its divergence from the teacher.
// - weights: [rows], for the report of PlainLoss only; undefined: all 1.
// - The logits are stored once, and their gradient replaces them; those of the teacher exist only during the call.
torch::Tensor tied_cross_entropy(const torch::Tensor& hidden, const torch::Tensor& table, const torch::Tensor& bias,
                                 const torch::Tensor& targets, double smoothing, const Distillation* teacher = nullptr,
                                 const torch::Tensor& weights = {});

// Returns losses, [targets] or [targets, …], multiplied by the weights of their samples.
torch::Tensor weighted(const torch::Tensor& losses, const TaskSlice& slice);

// Returns the weights of the targets, [targets]; undefined if all are 1.
torch::Tensor weights_of(const TaskSlice& slice, const torch::Tensor& like);

// Returns the scores of targets that are predicted by a softmax over the last dimension.
// - logits: [targets, values]; targets: [targets], kIgnore where not scored; offsets: [sequences + 1], from 0: the
//   targets of sequence i are those in [offsets[i], offsets[i + 1]).
Scored score_targets(const torch::Tensor& logits, const std::vector<std::int64_t>& targets,
                     const std::vector<std::int64_t>& offsets);

// Copy host values to a tensor on the device of `like` (doubles also get its type), and back.
torch::Tensor to_device(const std::vector<std::int64_t>& values, const torch::Tensor& like);
torch::Tensor to_device(const std::vector<double>& values, const torch::Tensor& like);
std::vector<std::int64_t> to_host(const torch::Tensor& values);
std::vector<double> to_host_double(const torch::Tensor& values);

}  // namespace polyhead
