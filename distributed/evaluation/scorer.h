// What an evaluation measures besides the loss, by kind of task: one file each.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "core/heads/head.h"
#include "datasets/dataset.h"
#include "datasets/tokenizer/tokenizer.h"
#include "distributed/communicator/communicator.h"
#include "distributed/description/description.h"
#include "distributed/evaluation/evaluation.h"

namespace polyhead {

// One sample of a batch of a single task, with the head's predictions.
struct ScoredSample {
  std::size_t index;  // in the batch; the samples of a batch are added in this order
  const StoredSample& stored;
  const TaskSlice& slice;
  const HeadInput& input;
  const Scored& scored;
  const Predicted& generated;  // empty unless the evaluation generates
};

// A sample's numerator and denominator in a metric that is a ratio of sums, for the bootstrap.
struct SampleRow {
  double numerator = 0, denominator = 0;
};
struct SampleRows {
  SampleRow headline;
  std::optional<SampleRow> accuracy;  // if the headline metric is another one
};

class Scorer {
 public:
  virtual ~Scorer() = default;

  virtual SampleRows add(const ScoredSample& sample) = 0;
  // Calls use() for every number that must be summed over the members of the group, always in the same order.
  virtual void each(const std::function<void(double&)>& use) = 0;
  // Gathers from the other members what cannot be summed. Collective.
  virtual void gather(Communicator& /*group*/) {}
  // Adds the metrics. loss: the mean over all targets, natural logarithm.
  virtual void add_metrics(std::map<std::string, double>& metrics, double loss) const = 0;
  // Whether any sample was scored against its original, untruncated text.
  virtual bool original_text() const { return false; }
};

// The arguments of make_scorer(). The objects referred to must outlive the scorer.
struct ScorerSpec {
  const TrainedTask& task;
  const SplitReader& reader;
  const Tokenizer& tokenizer;
  bool generate = false;
  const Baseline* baseline = nullptr;  // null: no baseline metrics
};

std::unique_ptr<Scorer> make_class_scorer(const ScorerSpec& spec);  // classification, tagging
std::unique_ptr<Scorer> make_token_scorer(const ScorerSpec& spec);  // masked_lm, translation
std::unique_ptr<Scorer> make_table_scorer(const ScorerSpec& spec);  // multilabel, regression
// Returns the scorer of the task's kind.
std::unique_ptr<Scorer> make_scorer(const ScorerSpec& spec);

}  // namespace polyhead
