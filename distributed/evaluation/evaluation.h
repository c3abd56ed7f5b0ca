// Scores a task on a split: losses and predictions against the targets, and simple baselines.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "core/heads/model.h"
#include "core/metrics/scores.h"
#include "datasets/dataset.h"
#include "datasets/tokenizer/tokenizer.h"
#include "distributed/communicator/communicator.h"
#include "distributed/description/description.h"
#include "distributed/evaluation/attention_report.h"

namespace polyhead {

// Predictions that use the train split only: TaskKind::baseline().
using Baseline = std::vector<double>;
// Reads the whole train split.
Baseline train_baseline(const TrainedTask& task, const TokenizerInfo& tokenizer, const SplitReader& train);

struct EvaluationRequest {
  std::int64_t samples = 0;  // at most this many, chosen by evaluation_samples(); 0: all
  bool generate = false;     // for kinds that generate text: also search, and compute the metrics that need it (slow)
  SearchOptions search = {};
  const Baseline* baseline = nullptr;  // adds its metrics, Metric::baseline_key
  // Called before every batch; returns whether to stop, for example after a signal. If it returns true on any member of
  // the group, all members return with Evaluation::stopped and no results. Empty: never stop.
  std::function<bool()> stop = {};
};

struct Evaluation {
  bool stopped = false;  // by EvaluationRequest::stop; the other fields are then not valid
  std::int64_t samples = 0;
  // The loss, the metrics of the task (metrics_of) and, with a baseline, those of the baseline. Without `generate`, the
  // metrics that need a search are missing.
  std::map<std::string, double> metrics;
  // [samples, 2] for every metric with rows, by its key; only when the group has one member. See paired_bootstrap().
  std::map<std::string, std::vector<double>> rows;
  AttentionSums attention;     // over the words of the samples; without words where weights are not learned
  bool original_text = false;  // samples were scored against their original, untruncated texts
};

// Collective over the task's group, whose members share the samples. The model holds the task's head.
Evaluation evaluate(const Model& model, const ModelDescription& description, std::size_t task, const std::string& split,
                    const SplitReader& reader, const Tokenizer& tokenizer, const EvaluationRequest& request,
                    Communicator& group);

}  // namespace polyhead
