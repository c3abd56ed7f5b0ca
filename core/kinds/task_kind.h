// A kind of task: its metrics, its baseline, the cost of its heads and what else depends on the kind. Each kind is one
// file of this folder and one line of registry.cpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "core/base/kind.h"
#include "core/kinds/samples.h"
#include "core/kinds/scored.h"
#include "core/kinds/scorer.h"
#include "core/model/options.h"

namespace polyhead {

struct Metric {
  std::string key;  // in metrics.jsonl, `evaluate --json`, run.best and task.NAME.metric
  bool lower_is_better = false;
  std::string name = {};                         // in tables; empty: not shown there
  std::string baseline_key = {}, baseline = {};  // key and name of the baseline next to it; empty: none
  // Whether every sample gives a row, so that the metric has an interval and can be compared, and whether the ratio of
  // the rows' sums is the metric or its logarithm.
  enum class Rows { none, ratio, logarithm } rows = Rows::none;
  bool searched = false;  // it needs a search, which evaluations during training leave out
  int decimals = 4;       // in tables
};

// What code outside of a kind asks about it.
struct KindTraits {
  bool generates = false;       // its heads write a text: search applies, and samples have target tokens
  bool fills_masks = false;     // it predicts the tokens at <mask>
  bool original_text = false;   // it is scored against the original texts, where the data set has them
  bool smooths_labels = false;  // its default head has task.NAME.label_smoothing
  double label_smoothing = 0;   // the default of that option
};

// The shapes that the cost of a head depends on. Lengths are in tokens per sample.
struct HeadShape {
  const EncoderOptions& encoder;
  const HeadOptions& head;
  double vocabulary = 0, classes = 0;  // classes: or outputs
  double input = 0, target = 0;        // target: of a kind that generates
  double masked = 0;                   // masked_lm: input tokens to predict
};

// Of one sample: multiply-adds of the forward pass, and elements kept for backward.
struct Work {
  double multiplications = 0, kept = 0;
};

// Tokens, as a baseline counts them.
struct VocabularyView {
  std::int64_t size = 0;
  std::function<bool(std::int64_t)> maskable;  // whether masked_lm may mask the token
};

// A part of the text of an input, in characters: [begin, end).
struct TextRange {
  std::string text;
  std::uint64_t begin = 0, end = 0;
};

// One prediction, to be shown as JSON.
struct PredictionView {
  TaskView task;
  Decode decode;
  std::function<nlohmann::ordered_json(std::int64_t)> label;  // the label of this index, as JSON
  const Predicted& predicted;
  std::size_t index = 0;                      // of the sequence
  std::span<const std::int64_t> first_piece;  // tagging: row of each word's first token; below 0: truncated
  std::size_t words = 0;                      // tagging: number of words in the input; the last ones may be truncated
  const std::vector<bool>& masks;             // masked_lm: for each <mask> of the input, whether it was kept
  // span: returns the part of the context that these rows of the sequence hold, the last one included.
  std::function<TextRange(std::int64_t first, std::int64_t last)> range = {};
};

class TaskKind {
 public:
  explicit TaskKind(KindTraits traits = {}) : traits_(traits) {}
  virtual ~TaskKind() = default;
  const KindTraits& traits() const { return traits_; }

  // Returns the metrics of an evaluation besides the loss and the baselines. The first one is the headline metric.
  virtual std::vector<Metric> metrics(const TaskView& task) const = 0;
  virtual std::unique_ptr<Scorer> scorer(const ScorerSpec& spec) const = 0;
  // Returns what the train split alone would predict, as numbers whose meaning only the kind's scorer knows.
  virtual std::vector<double> baseline(const TaskView& task, const VocabularyView& vocabulary,
                                       const TrainSamples& train) const = 0;
  // Fills in the statistics that the kind's heads need. Without samples it fills in their shapes only.
  virtual void add_statistics(const TaskView& /*task*/, const HeadOptions& /*options*/, const TrainSamples& /*train*/,
                              TrainStatistics& /*out*/) const {}
  virtual Work work(const HeadShape& shape) const = 0;
  // Returns the name of an option that gives two heads parameters of different shapes; empty: there is none.
  virtual std::string shape_difference(const HeadOptions& /*a*/, const HeadOptions& /*b*/) const { return ""; }
  // Returns the members that `polyhead predict` adds to a line.
  virtual nlohmann::ordered_json prediction(const PredictionView& view) const = 0;

 private:
  KindTraits traits_;
};

}  // namespace polyhead
