// Scores a task on a split: losses and predictions against the targets, translation by search, and simple baselines.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
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

// Predictions that use the train split only.
struct Baseline {
  std::int64_t majority = 0;    // classification, tagging: the most frequent class
  std::vector<double> unigram;  // masked_lm, translation: log-probability of each token, add-one smoothed
  // multilabel: the most frequent label set, [classes] of 0 and 1 (the first in order of equally frequent ones);
  // regression: the means, [outputs]
  std::vector<double> constant;
};
// Reads the whole train split. The token counts are over the tokens that can be masked (masked_lm) or over the targets
// (translation).
Baseline train_baseline(const TrainedTask& task, const TokenizerInfo& tokenizer, const SplitReader& train);

struct EvaluationRequest {
  std::int64_t samples = 0;  // at most this many, chosen by evaluation_samples(); 0: all
  bool generate = false;     // translation: search, BLEU and chrF (slow)
  SearchOptions search = {};
  const Baseline* baseline = nullptr;  // adds majority… | unigram_perplexity | prior_… | mean_mse
  // Called before every batch; returns whether to stop, for example after a signal. If it returns true on any member of
  // the group, all members return with Evaluation::stopped and no results. Empty: never stop.
  std::function<bool()> stop = {};
};

struct Evaluation {
  bool stopped = false;  // by EvaluationRequest::stop; the other fields are then not valid
  std::int64_t samples = 0;
  // loss; classification, tagging: accuracy, macro_f1 (majority), classification also matthews, tagging with labels
  // that mark entities (is_bio) entity_f1 (majority_entity_f1); multilabel: micro_f1, macro_f1, average_precision,
  // subset_accuracy (majority_micro_f1: of the most frequent label set, prior_average_precision: of equal scores);
  // regression: mse, mae, r2, pearson, spearman (mean_mse: of train's mean); masked_lm: perplexity, accuracy
  // (unigram_perplexity); translation: perplexity, accuracy (unigram_perplexity), with generate bleu, chrf, copy_bleu,
  // copy_chrf (of texts)
  std::map<std::string, double> metrics;
  // Per sample {numerator, denominator} of accuracy, micro_f1, entity_f1 or mse, or of the log-perplexity; only when
  // the group has one member.
  std::vector<double> rows;
  std::vector<double> accuracy_rows;  // those of accuracy where `rows` are of entity_f1
  AttentionSums attention;            // over the words of the samples; without words where weights are not learned
  bool original_text = false;         // tagging, translation: scored against the original, untruncated text
};

// Collective over the task's group, whose members share the samples. The model holds the task's head.
Evaluation evaluate(const Model& model, const ModelDescription& description, int task, const std::string& split,
                    const SplitReader& reader, const Tokenizer& tokenizer, const EvaluationRequest& request,
                    Communicator& group);

}  // namespace polyhead
