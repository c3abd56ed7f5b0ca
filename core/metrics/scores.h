// Metrics as functions of sums: every sample contributes numbers that are added over samples and workers.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace polyhead {

// The sums of one task's evaluation.
// - `sums` depend on the kind (confusion counts, n-gram counts, negative log-likelihood). Add them element-wise to
//   merge workers.
// - `rows` are {numerator, denominator} of the primary ratio for each sample (accuracy: correct and scored; perplexity:
//   negative log-likelihood and tokens), for the bootstrap.
struct Scores {
  std::vector<double> sums;
  std::vector<double> rows;  // [samples, 2]
};

// Classification and tagging. sums are 3 per class: true positives, gold, predicted.
// - A `predicted` of -1 is no class (a word that was cut off), which counts as wrong.
// - The caller adds the rows, because a sample may have many predictions.
// - Both metrics are 0 without predictions.
void add_prediction(Scores& scores, std::int64_t classes, std::int64_t gold, std::int64_t predicted);
double accuracy(const Scores& scores, std::int64_t classes);
// Returns the mean F1 of the classes that occur in gold or predictions, as scikit-learn's f1_score(average="macro").
double macro_f1(const Scores& scores, std::int64_t classes);

// Returns Matthews' correlation of gold and predicted classes (Gorodkin's R_K for more than two classes), as
// scikit-learn's matthews_corrcoef; 0 where it is not defined.
double matthews(const Scores& scores, std::int64_t classes);

// Whether tags mark entities in the style of BIO (IOB2), IOB1 or IOBES: every label is "O", or one of the letters B, I,
// E and S, alone or followed by a type as in "B-PER"; and at least one label is a B or has a type.
bool is_bio(const std::vector<std::string>& labels);
// Counts the entities of one sentence. Its tags, [words], are indices of `labels`; -1 counts as O. The 3 sums are
// correct, gold and predicted.
// - An entity begins with B or S, and with an I or E that does not follow a B or I of the same type.
// - entity_f1() is F1 over all types, as seqeval's f1_score (micro average, default mode, as conlleval); 0 without
//   entities.
inline constexpr std::size_t kEntitySums = 3;
void add_entities(std::span<double> sums, std::span<const std::int64_t> gold, std::span<const std::int64_t> predicted,
                  const std::vector<std::string>& labels);
double entity_f1(std::span<const double> sums);

// Multilabel. gold: [samples, classes] of 0 and 1; probabilities: the same shape. A label is predicted from kThreshold
// on.
// - The metrics are those of scikit-learn: f1_score (micro; macro over all classes with zero_division 0),
//   average_precision_score (macro over all classes; a class without a gold label counts as 0), and accuracy_score.
// - All are 0 without samples, and NaN if a probability is NaN.
inline constexpr double kThreshold = 0.5;
struct MultilabelMetrics {
  double micro_f1 = 0, macro_f1 = 0, average_precision = 0, subset_accuracy = 0;
};
MultilabelMetrics multilabel_metrics(std::span<const double> gold, std::span<const double> probabilities,
                                     std::size_t classes);

// Regression. gold and predicted: [samples, outputs]; each metric is the mean over the outputs.
// - mse, mae and r2 are scikit-learn's mean_squared_error, mean_absolute_error and r2_score; pearson and spearman (ties
//   share their mean rank) are scipy's pearsonr and spearmanr.
// - All are 0 without samples. r2 and the correlations are 0 where they are not defined (fewer than two samples,
//   constant gold or predicted values). A value that is not finite gives NaN.
struct RegressionMetrics {
  double mse = 0, mae = 0, r2 = 0, pearson = 0, spearman = 0;
};
RegressionMetrics regression_metrics(std::span<const double> gold, std::span<const double> predicted,
                                     std::size_t outputs);

// Returns the 95 % percentile bootstrap interval of sum(numerators) / sum(denominators) over rows; with `exponential`,
// of its exponential. Draws whose denominators sum to 0 are left out; {0, 0} if none is left. The order of the rows
// matters only within the sampling error.
struct Interval {
  double low = 0, high = 0;
};
Interval bootstrap_interval(std::span<const double> rows, int draws, std::uint64_t seed, bool exponential);

// Returns the 95 % percentile interval of draws. NaN is left out; {0, 0} if nothing is left.
Interval interval_of(std::vector<double> draws);

// The paired bootstrap of two systems, which were trained with the same n seeds and scored on the same samples.
// rows[seed] is [samples, 2] as above.
// - Each draw takes seeds and samples with replacement, the same ones for both systems.
// - A system's metric in a draw is the mean over the drawn seeds of its ratio over the drawn samples; NaN where
//   denominators sum to 0.
// - Draw d, with key = derive(seed, d), takes the samples bounded(draw(key, i)) for i < samples, and the seeds
//   bounded(draw(derive(key, 1), j)) for j < n: the same seeds for every task.
struct PairedDraw {
  double first = 0, second = 0;
};
std::vector<PairedDraw> paired_bootstrap(std::span<const std::vector<double>> first,
                                         std::span<const std::vector<double>> second, int draws, std::uint64_t seed);

// Texts are UTF-8; invalid bytes become U+FFFD. Metrics are 0 without texts.

// BLEU with sacrebleu's defaults (13a tokenization, 4-grams, exponential smoothing, one reference). The 10 sums are 4
// matches, 4 totals, hypothesis length and reference length.
inline constexpr std::size_t kBleuSums = 10;
void add_bleu(std::span<double> sums, std::string_view hypothesis, std::string_view reference);
double bleu(std::span<const double> sums);
// Returns the tokens of the 13a tokenization (NIST mteval-v13a), separated by single spaces.
std::string tokenize_13a(std::string_view text);

// chrF2 with sacrebleu's defaults (character 6-grams, beta 2, no words, white space ignored). The 18 sums are, for each
// order, hypothesis n-grams, reference n-grams and matches.
inline constexpr std::size_t kChrfSums = 18;
void add_chrf(std::span<double> sums, std::string_view hypothesis, std::string_view reference);
double chrf(std::span<const double> sums);

}  // namespace polyhead
