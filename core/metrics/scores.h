// Metrics as sums: every sample gives numbers that are added over samples and workers; metrics are functions of the
// sums.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/kind.h"

namespace polyhead {

// The sums of one task's evaluation. What `sums` holds is the kind's own (confusion counts, n-gram counts, negative
// log-likelihood); add element-wise to merge workers. `rows` are per sample {numerator, denominator} of the headline
// ratio (accuracy: right and scored; perplexity: negative log-likelihood and tokens), for the bootstrap.
struct Scores {
  std::vector<double> sums;
  std::vector<double> rows;  // [samples, 2]
};

// Classification and tagging: sums = 3 per class (true positive, gold, predicted). `predicted` -1 is no class at all (a
// word that was cut off), which is wrong. The rows are the caller's to add: a sample may hold many predictions. Both
// metrics of no predictions are 0.
void add_prediction(Scores& scores, std::int64_t classes, std::int64_t gold, std::int64_t predicted);
double accuracy(const Scores& scores, std::int64_t classes);
// The mean F1 of classes that occur in gold or predictions, as scikit-learn's f1_score(average="macro").
double macro_f1(const Scores& scores, std::int64_t classes);

// Matthews' correlation of gold and predicted classes (Gorodkin's R_K for more than two), as scikit-learn's
// matthews_corrcoef: 0 where it is not defined.
double matthews(const Scores& scores, std::int64_t classes);

// Whether tags mark entities as BIO (IOB2), IOB1 or IOBES do: every label is "O", or one of the letters B, I, E and S,
// alone or followed by a type as in "B-PER"; and one of them is a B or has a type.
bool is_bio(const std::vector<std::string>& labels);
// Entities of one sentence, its tags [words] as indices of labels, as 3 sums: right, gold, predicted. An entity begins
// with B or S, and with an I or E that does not follow a B or I of its type; -1 counts as O. F1 over all types as
// seqeval's f1_score (micro average, default mode, which is conlleval's); 0 of no entities.
inline constexpr std::size_t kEntitySums = 3;
void add_entities(std::span<double> sums, std::span<const std::int64_t> gold, std::span<const std::int64_t> predicted,
                  const std::vector<std::string>& labels);
double entity_f1(std::span<const double> sums);

// Multilabel: gold [samples, classes] of 0 and 1, probabilities of the same shape. A label is told from kThreshold on.
// As scikit-learn's f1_score (micro; macro over all classes, zero_division 0), average_precision_score (macro over all
// classes; one without a gold label counts as 0) and accuracy_score; all 0 of no samples, NaN with a probability that
// is NaN.
inline constexpr double kThreshold = 0.5;
struct MultilabelMetrics {
  double micro_f1 = 0, macro_f1 = 0, average_precision = 0, subset_accuracy = 0;
};
MultilabelMetrics multilabel_metrics(std::span<const double> gold, std::span<const double> probabilities,
                                     std::size_t classes);

// Regression: gold and predicted values [samples, outputs]; means over the outputs. mse, mae and r2 as scikit-learn's
// mean_squared_error, mean_absolute_error and r2_score, pearson and spearman (ties share their mean rank) as scipy's
// pearsonr and spearmanr; all 0 of no samples, r2 and correlations 0 where they are not defined (fewer than two
// samples, a side that is constant), NaN with a value that is not finite.
struct RegressionMetrics {
  double mse = 0, mae = 0, r2 = 0, pearson = 0, spearman = 0;
};
RegressionMetrics regression_metrics(std::span<const double> gold, std::span<const double> predicted,
                                     std::size_t outputs);

// A 95 % percentile-bootstrap interval of sum(numerators) / sum(denominators) over rows; `exponential` takes exp of the
// ratio. Draws whose denominators add to 0 are left out; {0, 0} when none is left. The order of the rows matters within
// the sampling error.
struct Interval {
  double low = 0, high = 0;
};
Interval bootstrap_interval(std::span<const double> rows, int draws, std::uint64_t seed, bool exponential);

// The 95 % percentile interval of draws; NaN is left out, {0, 0} when nothing is left.
Interval interval_of(std::vector<double> draws);

// Two systems, each trained with the same n seeds and scored on the same samples: rows[seed] is [samples, 2] as above.
// The paired bootstrap draws seeds and samples with replacement, the same ones for both systems; a system's metric in a
// draw is the mean, over the drawn seeds, of its ratio over the drawn samples; NaN where denominators add to 0. Draw d,
// with key = derive(seed, d), takes the samples bounded(draw(key, i)) for i < samples, and the seeds
// bounded(draw(derive(key, 1), j)) for j < n: the same seeds for every task.
struct PairedDraw {
  double first = 0, second = 0;
};
std::vector<PairedDraw> paired_bootstrap(std::span<const std::vector<double>> first,
                                         std::span<const std::vector<double>> second, int draws, std::uint64_t seed);

// Texts are UTF-8; invalid bytes become U+FFFD. Metrics of no text are 0.

// BLEU (sacrebleu's defaults: 13a tokenization, 4-grams, exponential smoothing, one reference) as 10 sums:
// 4 matches, 4 totals, hypothesis length, reference length.
inline constexpr std::size_t kBleuSums = 10;
void add_bleu(std::span<double> sums, std::string_view hypothesis, std::string_view reference);
double bleu(std::span<const double> sums);
// The 13a tokenization, words separated by single spaces (NIST mteval-v13a).
std::string tokenize_13a(std::string_view text);

// chrF2 (sacrebleu's defaults: character 6-grams, beta 2, no words, whitespace ignored) as 18 sums: per order
// hypothesis n-grams, reference n-grams, matches.
inline constexpr std::size_t kChrfSums = 18;
void add_chrf(std::span<double> sums, std::string_view hypothesis, std::string_view reference);
double chrf(std::span<const double> sums);

}  // namespace polyhead
