// What an evaluation measures besides the loss. Every kind of task has its own scorer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/base/batch.h"
#include "core/kinds/samples.h"
#include "core/kinds/scored.h"

namespace polyhead {

// What a kind knows about a task. The names outlive this object.
struct TaskView {
  const std::vector<std::string>& labels;   // classification, multilabel, tagging
  const std::vector<std::string>& outputs;  // regression with more than one
  std::string head = {};                    // name of its head; empty: the kind's default head
};

// Returns the text of tokens.
using Decode = std::function<std::string(std::span<const std::int64_t>)>;

// One sample of a batch that holds a single task, with what the head made of it.
struct ScoredSample {
  std::size_t index;  // in the batch; the samples of a batch are added in this order
  const SampleFields& stored;
  const TaskSlice& slice;
  std::span<const std::int64_t> offsets;  // [sequences + 1] rows of the slice where its sequences begin, from 0
  const Scored& scored;
  const Predicted& generated;  // empty unless the evaluation generates
};

// A sample's part of a metric that is a ratio of sums.
struct SampleRow {
  double numerator = 0, denominator = 0;
};

// A metric that a head brings, besides those of its kind: the ratio of sums over all samples.
struct OwnMetric {
  std::string key;   // as Metric::key (core/kinds/task_kind.h)
  std::string name;  // as Metric::name
  bool lower_is_better = false;
  SampleRow (*score)(const ScoredSample& sample) = nullptr;
};

class Scorer {
 public:
  virtual ~Scorer() = default;

  // Returns the sample's row of every metric that has rows (Metric::rows), in the order of the task's metrics.
  virtual std::vector<SampleRow> add(const ScoredSample& sample) = 0;
  // Calls use() for every number that is to be summed over the members of the group, always in the same order.
  virtual void each(const std::function<void(double&)>& use) = 0;
  // For what cannot be summed: returns the bytes of this member, and takes those of all members. nullopt: nothing.
  virtual std::optional<std::string> bytes() const { return std::nullopt; }
  virtual void merge(const std::vector<std::string>& /*of_members*/) {}
  // Adds the metrics. loss: the mean over all targets, natural logarithm.
  virtual void add_metrics(std::map<std::string, double>& metrics, double loss) const = 0;
  // Whether any sample was scored against its original, untruncated text.
  virtual bool original_text() const { return false; }
};

// What a scorer is made for. All references outlive it.
struct ScorerSpec {
  TaskView task;
  Decode decode;
  bool features = false;                          // the inputs are vectors, not tokens
  bool generate = false;                          // ScoredSample::generated is given
  const std::vector<double>* baseline = nullptr;  // TaskKind::baseline(); null: no baseline metrics
};

}  // namespace polyhead
