// Accuracy, macro F1 and Matthews' correlation from the confusion counts of each class.
#include <fmt/format.h>

#include <cmath>

#include "core/base/error.h"
#include "core/metrics/scores.h"

namespace polyhead {
namespace {

// Indices of a class's three sums.
enum { kRight, kGold, kPredicted, kPerClass };

void check_size(const Scores& scores, std::int64_t classes) {
  if (classes < 1 || (!scores.sums.empty() && scores.sums.size() != static_cast<std::size_t>(classes) * kPerClass))
    throw Error(Exit::internal, fmt::format("scores of {} classes hold {} sums, expected {} for each class", classes,
                                            scores.sums.size(), static_cast<int>(kPerClass)));
}

}  // namespace

void add_prediction(Scores& scores, std::int64_t classes, std::int64_t gold, std::int64_t predicted) {
  check_size(scores, classes);
  if (gold < 0 || gold >= classes || predicted < -1 || predicted >= classes)
    throw Error(Exit::internal,
                fmt::format("scoring class {} predicted as {}: there are {} classes", gold, predicted, classes));
  scores.sums.resize(static_cast<std::size_t>(classes) * kPerClass);
  double* const of_gold = scores.sums.data() + gold * kPerClass;
  of_gold[kGold] += 1;
  if (gold == predicted) of_gold[kRight] += 1;
  if (predicted >= 0) scores.sums[static_cast<std::size_t>(predicted) * kPerClass + kPredicted] += 1;
}

double accuracy(const Scores& scores, std::int64_t classes) {
  check_size(scores, classes);
  double right = 0, total = 0;
  for (std::size_t c = 0; c < scores.sums.size(); c += kPerClass) {
    right += scores.sums[c + kRight];
    total += scores.sums[c + kGold];
  }
  return total == 0 ? 0 : right / total;
}

double macro_f1(const Scores& scores, std::int64_t classes) {
  check_size(scores, classes);
  double sum = 0;
  int seen = 0;
  for (std::size_t c = 0; c < scores.sums.size(); c += kPerClass) {
    const double either = scores.sums[c + kGold] + scores.sums[c + kPredicted];
    if (either == 0) continue;
    sum += 2 * scores.sums[c + kRight] / either;
    ++seen;
  }
  return seen == 0 ? 0 : sum / seen;
}

double matthews(const Scores& scores, std::int64_t classes) {
  check_size(scores, classes);
  double right = 0, total = 0, both = 0, gold_squares = 0, predicted_squares = 0;
  for (std::size_t c = 0; c < scores.sums.size(); c += kPerClass) {
    const double gold = scores.sums[c + kGold], predicted = scores.sums[c + kPredicted];
    right += scores.sums[c + kRight];
    total += gold;
    both += gold * predicted;
    gold_squares += gold * gold;
    predicted_squares += predicted * predicted;
  }
  const double spread = (total * total - gold_squares) * (total * total - predicted_squares);
  return spread == 0 ? 0 : (right * total - both) / std::sqrt(spread);
}

}  // namespace polyhead
