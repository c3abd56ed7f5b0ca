// What a head returns for the samples of a slice.
#pragma once

#include <cstdint>
#include <vector>

namespace polyhead {

// Scores against the targets of a slice, with teacher forcing.
struct Scored {
  // [sequences] sums of negative log-likelihoods (natural logarithm), without label smoothing, class weights or focal
  // loss; regression: the training loss
  std::vector<double> loss;
  std::vector<std::int64_t> count;      // [sequences] number of scored targets
  std::vector<std::int64_t> predicted;  // most probable value of every target, in the order of the slice's targets
  // multilabel: probabilities, [sequences, classes]; regression: values in the units of the data, [sequences, outputs]
  std::vector<double> values = {};
};

// Predictions for inputs without targets, one per sequence.
struct Predicted {
  std::vector<std::vector<std::int64_t>> ids;  // label | labels with at least kThreshold | tag per token | token per
                                               // masked position | generated tokens without eos
  std::vector<double> probability;             // classification: probability of the label
  std::vector<double> values = {};             // as in Scored; translation: log-probability of the tokens, eos included
};

}  // namespace polyhead
